"""The examples by name, in a checkout."""

import pathlib

import pytest

from pnet_tf import example_scores, score
from pnet_tf.errors import InputError

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent / "examples"


def test_every_score_of_the_folder_is_listed_and_can_be_read():
    found = example_scores.list_examples()
    assert list(found) == sorted(path.stem for path in EXAMPLES.iterdir() if path.suffix in score.SUFFIXES)
    assert {"greensleeves_violin", "bach_cello_suite_1_prelude", "ode_to_joy_flute"} <= set(found)
    for path in found.values():
        assert score.read_score(path).n_notes > 20


def test_a_name_behind_the_prefix_is_an_example_and_anything_else_a_path():
    assert example_scores.find_score("example:ode_to_joy_flute") == EXAMPLES / "ode_to_joy_flute.mid"
    for text in ("ode_to_joy_flute", "./example:ode_to_joy_flute", "folder/x.mid"):
        assert example_scores.find_score(text) == pathlib.Path(text)


def test_an_unknown_example_is_refused_with_those_there_are():
    with pytest.raises(InputError, match="example:odd: no such example; there is example:bach_.*, example:ode_to_joy_flute$"):
        example_scores.find_score("example:odd")


def test_an_installation_without_them_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(example_scores, "_FOLDERS", (tmp_path / "none",))
    assert example_scores.list_examples() == {}
    with pytest.raises(InputError, match="there is none at all"):
        example_scores.find_score("example:ode_to_joy_flute")


def test_what_is_installed_comes_before_a_folder_beside_the_package(monkeypatch, tmp_path):
    for name in ("inside", "beside"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.mid").touch()
    monkeypatch.setattr(example_scores, "_FOLDERS", (tmp_path / "inside", tmp_path / "beside"))
    assert list(example_scores.list_examples()) == ["inside"]
