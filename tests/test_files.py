"""A file is there whole or not at all, whatever happens while it is written."""

import errno
import os
import subprocess
import sys

import numpy as np
import pytest

from pnet_tf import files
from pnet_tf.errors import InputError
from pnet_tf.files import held, put_in_place, require_space, temporary_beside, write_arrays, write_whole


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


def test_arrays_are_what_numpy_reads(tmp_path):
    arrays = {"a/kernel": np.arange(6, dtype=np.float16).reshape(2, 3), "b": np.float32(3.5), "c": np.zeros((0, 2))}
    write_arrays(tmp_path / "a.npz", arrays)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as stored:
        assert sorted(stored.files) == sorted(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(stored[name], array)
            assert stored[name].dtype == array.dtype
    with pytest.raises(ValueError, match="allow_pickle"):
        write_arrays(tmp_path / "b.npz", {"a": np.array([print], dtype=object)})


def test_arrays_on_a_disk_that_fills_up_are_one_error_and_no_noise(tmp_path):
    """numpy's own archive is closed by the garbage collector, and then fails again."""
    program = (
        "import pathlib, resource, sys, numpy as np; from pnet_tf import files\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try: files.write_arrays(pathlib.Path(sys.argv[1]), {'a': np.zeros(20_000), 'b': np.zeros(9)})\n"
        "except OSError as error: print(error.errno)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "a.npz")], capture_output=True, text=True, check=True)
    assert (int(done.stdout), done.stderr) == (errno.EFBIG, "")


def test_a_folder_is_held_by_one_and_free_again_when_that_one_ends(tmp_path):
    with held(tmp_path, taken="somebody else is there"):
        with pytest.raises(InputError, match="somebody else is there"), held(tmp_path, taken="somebody else is there"):
            pass
    with held(tmp_path, taken=""):
        pass


# --- reading


@pytest.mark.parametrize("read", [files.read_small, files.open_regular])
def test_what_has_no_end_is_not_read(tmp_path, read):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("fifo", "zero"):
        with pytest.raises((InputError, OSError), match="not a regular file"):
            read(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        read(tmp_path)


def test_a_small_file_is_read_up_to_its_limit_over_links(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("a")
    assert files.read_small(tmp_path / "link", 5) == b"12345"
    with pytest.raises(InputError, match="a: larger than 0 MiB, no such file is"):
        files.read_small(tmp_path / "a", 4)
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(InputError, match="sparse: larger than 64 MiB"):
        files.read_small(tmp_path / "sparse")


def test_reading_up_to_a_number_takes_memory_for_what_is_there(tmp_path):
    (tmp_path / "a").write_bytes(bytes(3 * 2**20))
    with files.open_regular(tmp_path / "a") as file:
        assert len(files.read_up_to(file, 2**20 + 1)) == 2**20 + 1
        assert len(files.read_up_to(file, 2**50)) == 2**21 - 1
        assert files.read_up_to(file, 2**50) == b""
