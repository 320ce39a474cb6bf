"""What flags say becomes a plan, and what cannot be written is refused before anything is computed."""

import os

import pytest

from pnet_tf import evaluation_plan
from pnet_tf.errors import InputError, UsageError


def test_models_come_in_several_flags_or_with_commas(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a,b").mkdir()
    assert evaluation_plan.parse_models(["violin", "x,y"]) == ("violin", "x", "y")
    assert evaluation_plan.parse_models(["a,b"]) == ("a,b",)
    with pytest.raises(UsageError, match="--model=x,: a model without a name"):
        evaluation_plan.parse_models(["x,"])


def test_seeds_are_different_whole_numbers():
    assert evaluation_plan.parse_seeds(["0", "2", "1"]) == (0, 2, 1)
    for texts in (["a"], ["1", "1"], ["-1"], [str(2**31)], [], [""], ["1.5"]):
        with pytest.raises(UsageError, match="--seed="):
            evaluation_plan.parse_seeds(texts)


def test_controls_are_those_there_are():
    assert evaluation_plan.parse_controls(["soundfont", "recording"]) == ("recording", "soundfont")
    assert evaluation_plan.parse_controls([""]) == () == evaluation_plan.parse_controls([])
    with pytest.raises(UsageError, match="no control 'early'"):
        evaluation_plan.parse_controls(["early"])


def test_missing_folders_are_made(tmp_path):
    evaluation_plan.require_places(tmp_path / "new" / "x.json", tmp_path / "pages" / "one")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "pages"]
    assert not list((tmp_path / "pages").iterdir())


def test_what_is_in_the_way_is_named(tmp_path):
    with pytest.raises(UsageError, match="is a folder"):
        evaluation_plan.require_places(tmp_path, None)
    (tmp_path / "page").mkdir()
    evaluation_plan.require_places(tmp_path / "x.json", tmp_path / "page")
    (tmp_path / "page" / "mine.txt").touch()
    for taken in (tmp_path / "page", tmp_path / "page" / "mine.txt"):
        with pytest.raises(InputError, match="exists already"):
            evaluation_plan.require_places(tmp_path / "x.json", taken)


def test_a_place_that_may_not_be_written_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(InputError, match="not allowed to write into"):
        evaluation_plan.require_places(tmp_path / "x.json", None)
