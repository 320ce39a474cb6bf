"""`perform` as a person meets it: what it takes, what it writes, and what it says when something is wrong."""

import pathlib
import re
import shutil
import subprocess
import sys
import time

import pytest
import soundfile
from absl import flags as absl_flags

from pnet_tf import command, perform_command

ROOT = pathlib.Path(__file__).resolve().parent.parent
LABELS = "start_time,end_time,instrument,note,start_beat,end_beat,note_value\n"


def run(*arguments):
    return command.run(perform_command.define_flags, perform_command.main, list(arguments))


def failure(capsys, *arguments):
    """Exit code and the last line on stderr, which is the only one that reports a failure."""
    code = run(*arguments)
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return code, said.splitlines()[-1].removeprefix("perform_command: ")


@pytest.fixture
def score(tmp_path):
    """A second of a violin's middle C and a second of a flute's E."""
    path = tmp_path / "score.csv"
    path.write_text(LABELS + "0,44100,41,60,0,1,Quarter\n44100,88200,41,62,0,1,Quarter\n")
    return path


@pytest.mark.parametrize(("tempo", "seconds"), [("1", 3.0), ("2", 2.0)])
def test_twice_the_tempo_takes_half_the_time(tempo, seconds, score, tiny_model, tmp_path):
    """The second after the last note stays a second."""
    out = tmp_path / "new" / "x.wav"
    assert run(f"--model={tiny_model}", f"--score={score}", f"--out={out}", f"--tempo={tempo}", "--iterations=1") == 0
    assert soundfile.info(out).duration == pytest.approx(seconds, abs=0.01)
    assert [path.name for path in out.parent.iterdir()] == ["x.wav"]


def test_the_part_is_passed_on(score, tiny_model, tmp_path, capsys):
    with score.open("a") as file:
        file.write("0,22050,74,72,0,1,Quarter\n")
    common = (f"--model={tiny_model}", f"--score={score}", f"--out={tmp_path / 'x.wav'}", "--iterations=1")
    code, said = failure(capsys, *common)
    assert code == 1
    assert "violin" in said and "flute" in said
    assert run(*common, "--part=flute") == 0
    assert soundfile.info(tmp_path / "x.wav").duration == pytest.approx(1.5, abs=0.01)


def test_a_folder_of_scores_is_performed_and_a_bad_one_reported(score, tiny_model, tmp_path, capsys):
    shutil.copy(score, tmp_path / "other.csv")
    (tmp_path / "bad.mid").write_bytes(b"MThd, or so it says")
    code, said = failure(
        capsys, f"--model={tiny_model}", f"--score={tmp_path}", f"--out={tmp_path / 'out'}", "--iterations=1"
    )
    assert (code, said) == (1, f"1 of 3 scores could not be performed; the others are in {tmp_path / 'out'}")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["other.wav", "score.wav"]


def test_where_no_score_of_several_can_be_performed_none_is_promised(tiny_model, tmp_path, capsys):
    for name in ("one.mid", "two.mid"):
        (tmp_path / name).write_bytes(b"MThd, or so it says")
    code, said = failure(capsys, f"--model={tiny_model}", f"--score={tmp_path}", f"--out={tmp_path / 'out'}")
    assert (code, said) == (1, "none of 2 scores could be performed")
    assert not (tmp_path / "out").exists()


def test_a_missing_score_among_several_is_reported_and_the_others_performed(score, tiny_model, tmp_path, capsys):
    arguments = (f"--score={score}", f"--score={tmp_path / 'nope.csv'}", f"--out={tmp_path / 'out'}", "--iterations=1")
    code, said = failure(capsys, f"--model={tiny_model}", *arguments)
    assert (code, said) == (1, f"1 of 2 scores could not be performed; the others are in {tmp_path / 'out'}")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["score.wav"]


def test_what_the_flags_say_by_themselves_is_what_the_rooms_say():
    """The flags cannot ask the rooms: those bring TensorFlow."""
    from pnet_tf import perform_sound, phase_start, render

    flags = absl_flags.FlagValues()
    perform_command.define_flags(flags)
    defaults = {name: flags[name].default for name in ("iterations", "seed", "phase_start", "loudness")}
    assert render.Settings(defaults["iterations"], defaults["seed"], defaults["phase_start"]) == render.Settings()
    assert float(defaults["loudness"]) == perform_sound.LOUDNESS_LUFS
    assert tuple(flags["phase_start"].parser.enum_values) == phase_start.PHASE_STARTS


def test_sigterm_leaves_nothing_half_written(tiny_model, tmp_path):
    """In the middle of a long piece, with a file of that name there already."""
    score, out = tmp_path / "long.csv", tmp_path / "out" / "x.wav"
    score.write_text(LABELS + "".join(f"{k * 44100},{k * 44100 + 40000},41,60,0,1,Quarter\n" for k in range(3000)))
    out.parent.mkdir()
    out.write_text("before")
    command_line = [sys.executable, "-m", "pnet_tf.perform_command", f"--model={tiny_model}", f"--score={score}", f"--out={out}"]
    with subprocess.Popen(command_line, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not any(path.stat().st_size > 100_000 for path in out.parent.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.terminate()
        _, said = process.communicate(timeout=60)
    assert process.returncode == 143
    assert said.splitlines()[-1].endswith(": terminated")
    assert {path.name: path.read_text() for path in out.parent.iterdir()} == {"x.wav": "before"}


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--tempo=0", "--tempo=0: expected a factor from 0.05 to 20"),
        ("--tempo=nan", "--tempo=nan: expected a factor"),
        ("--transpose=up", "--transpose=up: expected a whole number of semitones, or auto"),
        ("--transpose=200", "expected -127 to 127 semitones"),
        ("--iterations=-1", "--iterations"),
        ("--iterations=99999999999", "--iterations"),
        ("--seed=99999999999", "--seed"),
        ("--phase_start=guess", "--phase_start"),
        ("--loudness=loud", "--loudness=loud: expected LUFS, such as -16, or none"),
        ("--loudness=3", "--loudness=3: expected more than -70 and at most -5 LUFS, or none"),
        ("--loudness=nan", "--loudness=nan: expected more than -70"),
        ("--out=x.mp3", "--out=x.mp3: expected a name that ends in .wav"),
        ("--plot=x.jpg", "--plot=x.jpg: expected a name that ends in .png"),
        ("--sped=2", "unknown flag --sped"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(flag, message, score, capsys):
    code, said = failure(capsys, "--model=m", f"--score={score}", "--out=x.wav", flag)
    assert code == 2
    assert message in said


# Not an ImportError: a command that catches one would hide that it asked.
WITHOUT_TENSORFLOW = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"tensorflow", "keras"}:
            raise SystemError(name + " imported")

sys.meta_path.insert(0, Refuse())
from pnet_tf import perform_command
perform_command.console()
"""


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.csv", LABELS, "empty.csv"),
        ("nothing.mid", "", "nothing.mid: the file is empty, expected a score"),
        ("broken.musicxml", "<score-partwise><part>", "broken.musicxml"),
        ("noise.mid", "no MIDI at all", "noise.mid: not a readable score"),
        (None, None, "missing.mid: no such score"),
    ],
)
def test_a_bad_score_is_one_line_before_tensorflow_starts(name, content, message, tmp_path):
    path = tmp_path / (name or "missing.mid")
    if name:
        path.write_text(content)
    arguments = ["--model=m", f"--score={path}", f"--out={tmp_path / 'x.wav'}"]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert message in done.stderr
    assert not (tmp_path / "x.wav").exists()


def test_a_model_that_is_none_is_one_line(score, tiny_model, tmp_path, capsys):
    bare = tmp_path / "bare"
    bare.mkdir()
    damaged = shutil.copytree(tiny_model, tmp_path / "damaged")
    (damaged / "saved_model.pb").write_bytes(b"\xff" * 1000)
    foreign = shutil.copytree(tiny_model, tmp_path / "foreign")
    shutil.rmtree(foreign / "assets")
    common = (f"--score={score}", f"--out={tmp_path / 'x.wav'}")
    for model, message in (
        ("no such voice", "no such voice: no such folder, and no voice of that name is shipped"),
        (bare, f"{bare}: not a SavedModel (no saved_model.pb)"),
        (damaged, f"{damaged}: damaged SavedModel"),
        (foreign, f"{foreign}: holds no feature_spec.json"),
    ):
        code, said = failure(capsys, f"--model={model}", *common)
        assert code == 1
        assert said.startswith(message)
    assert not (tmp_path / "x.wav").exists()


def test_a_name_that_no_file_can_have_is_one_line(score, capsys):
    code, said = failure(capsys, "--model=m", f"--score={'x' * 300}.mid", "--out=x.wav")
    assert code == 1
    assert said.startswith("no file or folder can have this name here: choose another")
    code, said = failure(capsys, "--model=" + "m" * 300, f"--score={score}", "--out=x.wav")
    assert code == 1


def test_a_place_that_cannot_be_written_is_one_line(score, tiny_model, tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    common = (f"--model={tiny_model}", f"--score={score}", "--iterations=1")
    code, said = failure(capsys, *common, f"--out={tmp_path / 'file' / 'x.wav'}")
    assert (code, re.sub(r"\(.*\)", "()", said)) == (
        1,
        f"{tmp_path / 'file' / 'x.wav'}: cannot write the sound (); choose another place",
    )
    code, said = failure(capsys, *common, f"--out={tmp_path / 'x.wav'}", f"--plot={tmp_path / 'file' / 'x.png'}")
    assert code == 1
    assert str(tmp_path / "file") in said
