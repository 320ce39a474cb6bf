"""A file is there whole or not at all, whatever happens while it is written."""

import errno
import os

import pytest

from pnet_tf.files import put_in_place, require_space, temporary_beside, write_whole


def test_the_text_is_written_as_utf_8(tmp_path):
    write_whole(tmp_path / "a.json", "für Elise\n")
    assert (tmp_path / "a.json").read_bytes() == b"f\xc3\xbcr Elise\n"
    assert os.listdir(tmp_path) == ["a.json"]


def test_what_was_there_is_replaced(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("a long old text")
    write_whole(path, "new")
    assert path.read_text() == "new"


def test_a_failure_while_writing_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "x" * 100_000 + "\ud800")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_failure_while_renaming_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    path.write_text("old")

    def refuse(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_the_file_appears_in_one_step(tmp_path, monkeypatch):
    """Before the rename the new text is complete under another name, and the old one untouched."""
    path, seen = tmp_path / "a.json", []
    path.write_text("old")
    rename = os.replace

    def look(source, target):
        seen.append((source.read_text(), target.read_text()))
        rename(source, target)

    monkeypatch.setattr(os, "replace", look)
    write_whole(path, "new")
    assert seen == [("new", "old")]


def test_too_little_room_is_a_full_disk(tmp_path):
    require_space(tmp_path, 1)
    with pytest.raises(OSError, match="MB free") as caught:
        require_space(tmp_path, 2**62)
    assert caught.value.errno == errno.ENOSPC


def test_a_temporary_file_takes_its_place_with_the_rights_of_others(tmp_path):
    path = tmp_path / "new" / "a.wav"
    temporary = temporary_beside(path)
    assert temporary.parent == path.parent
    assert not path.exists()
    for text in ("first", "second"):
        temporary.write_text(text)
        put_in_place(temporary, path)
        assert path.read_text() == text
        temporary = temporary_beside(path)
    temporary.unlink()
    (tmp_path / "other").write_text("")
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode
    assert os.listdir(path.parent) == ["a.wav"]
