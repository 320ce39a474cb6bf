"""Performs scores with an exported voice.

    python tools/perform.py --model=models/violin --score=examples/tune.musicxml --out=tune.wav --plot=tune.png

A score is MIDI, MusicXML (plain or compressed), anything else that music21 reads, or a MusicNet label csv. With several
scores, or a folder of them, --out (and --plot) name folders.
"""

import pathlib
import sys

from absl import flags as absl_flags

from pnet_tf import command, limits, perform_plan, score
from pnet_tf.errors import InputError, UsageError
from pnet_tf.voice import RUNTIME_CHOICES


def define_flags(flags: absl_flags.FlagValues) -> None:
    """Defines the flags of this command."""
    absl_flags.DEFINE_string("model", None, "A SavedModel, a voice folder, or a shipped voice.", flag_values=flags, required=True)
    absl_flags.DEFINE_multi_string(
        "score",
        None,
        "A score, a folder of scores, or an example, such as example:greensleeves_violin; may be given again.",
        flag_values=flags,
        required=True,
    )
    absl_flags.DEFINE_string("out", None, "The wav to write; a folder for several scores.", flag_values=flags, required=True)
    absl_flags.DEFINE_enum(
        "runtime",
        "auto",
        list(RUNTIME_CHOICES),
        "What draws and sounds: onnx, which starts sooner, is taken for voice folders where it is installed.",
        flag_values=flags,
    )
    absl_flags.DEFINE_integer(
        "iterations", 32, "Iterations of Griffin-Lim.", lower_bound=0, upper_bound=100_000, flag_values=flags
    )
    absl_flags.DEFINE_integer(
        "seed", 0, "Of the phases of --phase_start=random.", lower_bound=0, upper_bound=2**31 - 1, flag_values=flags
    )
    absl_flags.DEFINE_enum(
        "phase_start",
        "spsi",
        ["spsi", "advance", "random"],
        "What Griffin-Lim starts from: phases that follow the spectrum's peaks, that each bin turns by itself, or any.",
        flag_values=flags,
    )
    absl_flags.DEFINE_string(
        "loudness", "-16", "Integrated loudness of the file in LUFS (EBU R 128); none keeps the voice's.", flag_values=flags
    )
    absl_flags.DEFINE_float("tempo", 1.0, "2.0 plays twice as fast.", flag_values=flags)
    absl_flags.DEFINE_string(
        "transpose", "0", "Semitones; auto: those with the fewest pitches unheard in training.", flag_values=flags
    )
    absl_flags.DEFINE_string("part", None, "The part to play, by name or number.", flag_values=flags)
    absl_flags.DEFINE_string("plot", None, "A picture to write; a folder for several scores.", flag_values=flags)
    limits.define_flags(flags, audio=False)


def main(flags: absl_flags.FlagValues) -> None:
    """Performs as the flags say.

    Raises:
      UsageError: a flag's value cannot be used.
      InputError: a score or the model cannot be used; the other scores are performed.
    """
    if not 0.05 <= flags.tempo <= 20:
        raise UsageError(f"--tempo={flags.tempo:g}: expected a factor from 0.05 to 20 (1 is as written)")
    semitones = _parse_transpose(flags.transpose)
    loudness_lufs = _parse_loudness(flags.loudness)
    with limits.raised_to(limits.of_flags(flags)):
        _perform(flags, semitones, loudness_lufs)


def _perform(flags: absl_flags.FlagValues, semitones: int | None, loudness_lufs: float | None) -> None:
    tasks = perform_plan.plan_tasks(flags.score, pathlib.Path(flags.out), pathlib.Path(flags.plot) if flags.plot else None)
    # What is wrong with a single score shows before a runtime starts.
    first = score.read_score(tasks[0].score, part=flags.part) if len(tasks) == 1 else None
    from pnet_tf import performer, render  # bring NumPy, SciPy and a runtime

    settings = performer.Settings(
        sound=render.Settings(flags.iterations, flags.seed, flags.phase_start),
        loudness_lufs=loudness_lufs,
        tempo=flags.tempo,
        semitones=semitones,
        part=flags.part,
    )
    with command.unwinding_on_sigterm():
        failures = performer.perform_tasks(tasks, flags.model, settings, first=first, runtime=flags.runtime)
    if len(failures) == 1 and len(tasks) == 1:
        raise failures[0]
    if len(failures) == len(tasks):
        raise InputError(f"none of {len(tasks)} scores could be performed")
    if failures:
        raise InputError(f"{len(failures)} of {len(tasks)} scores could not be performed; the others are in {flags.out}")


def _parse_transpose(text: str) -> int | None:
    """Semitones, or None for `auto`."""
    if text == "auto":
        return None
    try:
        semitones = int(text)
    except ValueError as error:
        raise UsageError(f"--transpose={text}: expected a whole number of semitones, or auto") from error
    if not -127 <= semitones <= 127:
        raise UsageError(f"--transpose={text}: expected -127 to 127 semitones")
    return semitones


def _parse_loudness(text: str) -> float | None:
    """LUFS, or None for `none`."""
    if text == "none":
        return None
    try:
        lufs = float(text)
    except ValueError as error:
        raise UsageError(f"--loudness={text}: expected LUFS, such as -16, or none") from error
    if not -70 < lufs <= -5:
        raise UsageError(f"--loudness={text}: expected more than -70 and at most -5 LUFS, or none")
    return lufs


def console() -> None:
    """`pnet-perform`."""
    sys.exit(command.run(define_flags, main, lighter_extra="play"))


if __name__ == "__main__":
    console()
