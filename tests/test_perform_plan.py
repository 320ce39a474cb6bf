"""Which scores become which files."""

import pathlib

import pytest

from pnet_tf.errors import InputError, UsageError
from pnet_tf.perform_plan import Task, plan_tasks


@pytest.fixture
def scores(tmp_path):
    for name in ("b.mid", "a.musicxml", "c.CSV", "notes.txt", "sound.wav", ".b.mid.swp"):
        (tmp_path / name).write_text("x")
    (tmp_path / "folder.mid").mkdir()
    return tmp_path


def test_one_score_becomes_the_files_that_are_named(scores):
    score, out, plot = scores / "b.mid", pathlib.Path("x.WAV"), pathlib.Path("x.png")
    assert plan_tasks([str(score)], out, None) == [Task(score, out, None)]
    assert plan_tasks([str(score)], out, plot) == [Task(score, out, plot)]


def test_a_file_asked_for_by_name_may_have_any_suffix(scores):
    assert plan_tasks([str(scores / "notes.txt")], pathlib.Path("x.wav"), None)[0].score == scores / "notes.txt"


def test_a_folder_becomes_a_folder_of_its_scores_in_order(scores):
    tasks = plan_tasks([str(scores)], pathlib.Path("out"), pathlib.Path("plots"))
    assert tasks == [
        Task(scores / name, pathlib.Path("out", f"{stem}.wav"), pathlib.Path("plots", f"{stem}.png"))
        for name, stem in (("a.musicxml", "a"), ("b.mid", "b"), ("c.CSV", "c"))
    ]


def test_an_example_is_a_score_like_others(scores):
    (task,) = plan_tasks(["example:ode_to_joy_flute"], pathlib.Path("x.wav"), None)
    assert task.score.name == "ode_to_joy_flute.mid" and task.out == pathlib.Path("x.wav")
    tasks = plan_tasks(["example:ode_to_joy_flute", str(scores / "b.mid")], pathlib.Path("out"), None)
    assert [task.out.name for task in tasks] == ["ode_to_joy_flute.wav", "b.wav"]


def test_scores_and_folders_mix(scores, tmp_path):
    other = tmp_path / "folder.mid" / "d.mid"
    other.write_text("x")
    tasks = plan_tasks([str(other), str(scores)], pathlib.Path("out"), None)
    assert [(task.score.name, task.out.name, task.plot) for task in tasks] == [
        (name, f"{name[0]}.wav", None) for name in ("d.mid", "a.musicxml", "b.mid", "c.CSV")
    ]


@pytest.mark.parametrize(
    ("names", "out", "plot", "error", "message"),
    [
        (["b.mid"], "x.mp3", None, UsageError, "--out=x.mp3: expected a name that ends in .wav"),
        (["b.mid"], "x", None, UsageError, "--out=x: expected a name that ends in .wav"),
        (["b.mid"], "folder.mid", None, UsageError, "folder.mid: is a folder; name the wav to write"),
        (["b.mid"], "x.wav", "x.jpg", UsageError, "--plot=x.jpg: expected a name that ends in .png"),
        (["b.mid"], "x.wav", "folder.mid", UsageError, "expected a name that ends in .png"),
        ([""], "x.wav", None, UsageError, "--out=x.wav: names a file; 3 scores need a folder"),
        (["b.mid", "c.CSV"], "sound.wav", None, UsageError, "names a file; 2 scores need a folder"),
        (["", "b.mid"], "out", None, InputError, "two scores are called b and would write one wav"),
        (["missing.mid"], "x.wav", None, InputError, "missing.mid: no such score"),
        (["folder.mid"], "out", None, InputError, "folder.mid: no scores in this folder (looked for .mid"),
    ],
)
def test_what_does_not_fit_is_said(names, out, plot, error, message, scores, monkeypatch):
    monkeypatch.chdir(scores)
    with pytest.raises(InputError) as refused:
        plan_tasks([name or "." for name in names], pathlib.Path(out), pathlib.Path(plot) if plot else None)
    assert message in str(refused.value)
    assert type(refused.value) is error
