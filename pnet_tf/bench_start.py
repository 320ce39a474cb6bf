"""What `bench` measures of the two runtimes: how soon a fresh process sounds through each, and how fast it goes on."""

import pathlib
import statistics
import subprocess
import sys

from absl import flags as absl_flags

from pnet_tf import bench_made_up, bench_stages, render, runtimes, voice_folder
from pnet_tf.bench_timing import Figure, seconds_of, take_turns
from pnet_tf.score import Score, read_score
from pnet_tf.spec import FeatureSpec
from pnet_tf.voice import RUNTIMES

_PIECE_SEC = 60
# Opens a voice and ends with the first samples of a stream, as whoever listens would have them.
_FIRST_SOUND = """
import sys
from pnet_tf import perform_sound, render, runtimes, score
voice = runtimes.open_voice(sys.argv[1], runtime=sys.argv[2])
piece = render.Piece(score.read_score(sys.argv[3]), voice)
sounds = perform_sound.stream_performance(piece, voice, settings=render.Settings(int(sys.argv[4])))
sys.stdout.buffer.write(next(sounds).tobytes())
sys.stdout.flush()
"""


def measure_start(flags: absl_flags.FlagValues, scratch: pathlib.Path) -> list[Figure]:
    """A voice folder through both runtimes, which take turns: first sound, whole files, and the loaded voice.

    Without a model it is the shipped violin; without a score one is made up, so that reading it takes no time.
    """
    model = flags.model or "violin"
    given = read_score(flags.score) if flags.score else bench_made_up.made_up_score(_PIECE_SEC)
    spec = FeatureSpec.read(voice_folder.find_voice(model))
    path = flags.score or bench_stages.write_labels(given, spec, scratch / "score.csv")
    first = {r: [sys.executable, "-c", _FIRST_SOUND, model, r, str(path), str(flags.iterations)] for r in RUNTIMES}
    arguments = [f"--model={model}", f"--score={path}", f"--out={scratch}/out.wav", f"--iterations={flags.iterations}"]
    perform = [sys.executable, "-m", "pnet_tf.perform_command", *arguments]
    whole = {runtime: [*perform, f"--runtime={runtime}"] for runtime in RUNTIMES}
    figures = _beside_each_other("first sound in a fresh process", first, flags.rounds)
    figures += _beside_each_other("a whole file by the command", whole, min(flags.rounds, 3))
    return [*figures, *_loaded(model, flags, given)]


def _beside_each_other(what: str, commands: dict[str, list[str]], rounds: int) -> list[Figure]:
    """Median seconds of both runtimes' commands, which take turns, and the median of their ratios."""

    def run(runtime: str) -> None:
        """One fresh process."""
        subprocess.run(commands[runtime], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    slow, quick, _ = take_turns(lambda: run("tensorflow"), lambda: run("onnx"), rounds=rounds)
    return [
        Figure(f"{what}, tensorflow", slow, "s"), Figure(f"{what}, onnx", quick, "s"),
        Figure(f"{what}: tensorflow / onnx", slow / quick, "x"),
    ]  # fmt: skip


def _loaded(model: str, flags: absl_flags.FlagValues, score: Score) -> list[Figure]:
    """What a second of sound takes once voice and inversion are loaded, and drawing alone."""
    return [figure for runtime in RUNTIMES for figure in _loaded_in(runtime, model, flags, score)]


def _loaded_in(runtime: str, model: str, flags: absl_flags.FlagValues, score: Score) -> list[Figure]:
    voice, settings = runtimes.open_voice(model, runtime=runtime), render.Settings(flags.iterations)
    duration = len(render.perform(score, voice, settings=settings).waveform) / voice.spec.sample_rate_hz
    piece = render.Piece(score, voice)
    works = {
        "performing": lambda: render.perform(score, voice, settings=settings), "drawing": lambda: list(piece.log_power())
    }
    return [
        Figure(
            f"loaded, {runtime}: {name} / duration",
            statistics.median(seconds_of(work) for _ in range(flags.rounds)) / duration,
            "x",
        )
        for name, work in works.items()
    ]
