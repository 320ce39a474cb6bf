"""`evaluate` as a person meets it: a real voice, a report and a page; and one line for each mistake."""

import json

import pytest

from pnet_tf import command, evaluate
from pnet_tf.metrics import METRICS


def run(*arguments):
    return command.run(evaluate.define_flags, evaluate.main, list(arguments))


def failure(capsys, *arguments):
    """Exit code and the last line on stderr, which is the only one that reports a failure."""
    code = run(*arguments)
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return code, said.splitlines()[-1].removeprefix("evaluate: ")


def test_a_voice_is_measured_beside_its_controls(tiny_model, tiny_corpus, tmp_path, capsys):
    out, page = tmp_path / "new" / "report.json", tmp_path / "page"
    flags = ["--iterations=1", "--seconds=2.5", "--segment_sec=1", "--resamples=50", "--excerpt_sec=0.5", "--seed=0,1"]
    flags += ["--controls=recording,inverted,late,mean_spectrum", f"--html={page}"]
    assert run(f"--model={tiny_model}", f"--source={tiny_corpus}", f"--out={out}", *flags) == 0
    report = json.loads(out.read_text())
    assert [one["kind"] for one in report["candidates"]] == ["model", "ceiling", "ceiling", "control", "control"]
    assert [one["name"] for one in report["compared"]] == ["3"]
    assert report["resampling"]["n_units"] == 2 and report["asked"]["seeds"] == [0, 1]
    assert {metric["name"] for metric in report["metrics"]} == {metric.name for metric in METRICS}
    (model, recording, *_) = report["candidates"]
    assert model["values"]["log_mel_error_db"]["value"] > 1
    assert recording["values"]["chroma_cosine"]["value"] == 1
    assert len(list(page.glob("*.wav"))) == len(list(page.glob("*-*.png"))) == 5
    table = capsys.readouterr().out
    assert table.splitlines()[2].startswith(tiny_model.name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "page"]


def test_a_bad_recording_is_named_and_the_report_is_about_the_others(tiny_model, tiny_corpus, tmp_path, capsys):
    source = tmp_path / "source"
    for split, name in (("train_data", "1.wav"), ("train_labels", "1.csv"), ("train_labels", "2.csv")):
        (source / split).mkdir(parents=True, exist_ok=True)
        (source / split / name).write_bytes((tiny_corpus / split / name).read_bytes())
    (source / "train_data" / "2.wav").write_bytes(b"no audio")
    flags = ["--split=train", "--controls=", "--iterations=0", "--seconds=1", "--resamples=0"]
    code, said = failure(
        capsys, f"--model={tiny_model}", f"--source={source}", f"--out={tmp_path / 'x.json'}", *flags
    )
    assert code == 1
    assert said.startswith("1 of 2 recordings cannot be used (") and said.endswith("x.json is about the others")
    assert [one["name"] for one in json.loads((tmp_path / "x.json").read_text())["compared"]] == ["1"]


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--seed=a", "--seed=a: expected whole numbers"),
        ("--seconds=0", "--seconds=0: expected a number of seconds"),
        ("--excerpt_sec=nan", "--excerpt_sec=nan: expected a number of seconds"),
        ("--controls=early", "no control 'early'"),
        ("--split=validation", "--split"),
        ("--instrument=theremin", "unknown instrument 'theremin'"),
        ("--resampling=bars", "--resampling"),
        ("--resamples=-1", "--resamples"),
        ("--model=", "a model without a name"),
        ("--out=.", "is a folder"),
        ("--modle=x", "unknown flag --modle"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(flag, message, tiny_corpus, tmp_path, capsys):
    code, said = failure(capsys, "--model=m", f"--source={tiny_corpus}", f"--out={tmp_path / 'x.json'}", flag)
    assert code == 2
    assert message in said


@pytest.mark.parametrize("flag", ["model", "source", "out"])
def test_what_is_required_is_asked_for(flag, capsys):
    given = {"model": "m", "source": "s", "out": "x.json"}
    del given[flag]
    assert failure(capsys, *(f"--{name}={value}" for name, value in given.items())) == (2, f"--{flag} is required (see --help)")


def test_wrong_files_are_one_line_and_exit_code_1(tiny_corpus, tmp_path, capsys):
    out = f"--out={tmp_path / 'x.json'}"
    code, said = failure(capsys, "--model=m", f"--source={tmp_path / 'nowhere'}", out)
    assert (code, said) == (1, f"{tmp_path / 'nowhere'}: does not exist; --source takes an archive or a folder (see --help)")
    code, said = failure(capsys, "--model=no such voice", f"--source={tiny_corpus}", out)
    assert code == 1 and said.startswith("no such voice: no such folder")
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "mine").touch()
    code, said = failure(capsys, "--model=m", f"--source={tiny_corpus}", out, f"--html={tmp_path / 'page'}")
    assert code == 1 and said.endswith("page: exists already; remove it, or give another --html")
    assert [path.name for path in tmp_path.iterdir()] == ["page"]
