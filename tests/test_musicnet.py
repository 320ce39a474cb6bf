"""A source is told by its content; what cannot be used is said with the layout expected."""

import os
import subprocess
import sys
import zipfile

import pytest

from pnet_tf import musicnet
from pnet_tf.errors import InputError, UsageError
from tests import test_musicnet_folder, test_musicnet_npz, test_musicnet_tar, test_own_pairs


def test_a_musicnet_folder_opens(tmp_path):
    test_musicnet_folder.add(tmp_path / "musicnet", "train", "1")
    for source in (tmp_path, tmp_path / "musicnet"):
        found = musicnet.open_corpus(source, "Violin")
        assert (found.kind, found.names) == ("folder", ("1",))


def test_a_tar_opens_whatever_its_name(tmp_path):
    path = test_musicnet_tar.stored(tmp_path / "x.gz", test_musicnet_tar.packed(test_musicnet_tar.MEMBERS))
    assert musicnet.open_corpus(path, "violin").kind == "tar"


def test_an_npz_opens_and_the_official_ids_split_it(tmp_path):
    members = {name: test_musicnet_npz.member(test_musicnet_npz.violin(1)) for name in ("2191", "2244")}
    found = musicnet.open_corpus(test_musicnet_npz.archive(tmp_path / "musicnet.npz", **members), "violin")
    assert found.kind == "npz"
    assert (found.split_of("2191"), found.split_of("2244")) == ("test", "train")


def test_a_folder_with_the_download_opens_the_download(tmp_path):
    data = test_musicnet_tar.packed(test_musicnet_tar.MEMBERS)
    test_musicnet_tar.stored(tmp_path / "musicnet.tar.gz", data)
    (tmp_path / "musicnet_metadata.csv").write_text("id,composer\n")
    assert musicnet.open_corpus(tmp_path, "violin").kind == "tar"


def test_own_pairs_open(tmp_path):
    test_own_pairs.add(tmp_path, "take 1")
    assert musicnet.open_corpus(tmp_path, "violin").kind == "pairs"


def test_the_label_rate_reaches_every_kind(tmp_path):
    test_musicnet_folder.add(tmp_path / "a", "train", "1")
    test_own_pairs.add(tmp_path / "b", "take", score=".csv")
    members = {"1": test_musicnet_npz.member(test_musicnet_npz.violin(1))}
    sources = [
        (tmp_path / "a", "1"),
        (tmp_path / "b", "take"),
        (test_musicnet_npz.archive(tmp_path / "c.npz", **members), "1"),
        (test_musicnet_tar.stored(tmp_path / "d.tar", test_musicnet_tar.packed(test_musicnet_tar.MEMBERS)), "1"),
    ]
    for number, (source, name) in enumerate(sources):
        ends = []
        for rate_hz in (None, 22050):
            scratch = tmp_path / f"scratch {number} {rate_hz}"
            scratch.mkdir()
            (recording,) = musicnet.open_corpus(source, "violin", label_rate_hz=rate_hz).recordings([name], scratch)
            ends.append(recording.score.end_sec)
        assert ends[1] == 2 * ends[0]


def test_an_unknown_instrument_is_wrong_usage_even_without_a_source(tmp_path):
    with pytest.raises(UsageError, match="violin"):
        musicnet.open_corpus(tmp_path / "none", "kazoo")


def test_a_missing_source_says_what_was_expected(tmp_path):
    with pytest.raises(InputError, match=r"does not exist, expected musicnet\.tar\.gz"):
        musicnet.open_corpus(tmp_path / "none", "violin")


def test_an_empty_folder_says_what_was_looked_for(tmp_path):
    with pytest.raises(InputError, match=r"no solo recording of violin \(found: nothing.*train_data/ID\.wav"):
        musicnet.open_corpus(tmp_path, "violin")


def test_a_corpus_of_others_says_what_there_was(tmp_path):
    test_musicnet_folder.add(tmp_path, "train", "1")
    test_musicnet_folder.add(tmp_path, "train", "2", instruments=(41, 74))
    with pytest.raises(InputError, match="found: 1 other instruments play too, 1 without the instrument"):
        musicnet.open_corpus(tmp_path, "flute")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x1f\x8b\x08\x00", b"PK\x03\x04"])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    (tmp_path / "musicnet.tar.gz").write_bytes(content)
    with pytest.raises(InputError, match="neither a tar nor an npz"):
        musicnet.open_corpus(tmp_path / "musicnet.tar.gz", "violin")


def test_a_zip_of_something_else_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("a.txt", "")
    with pytest.raises(InputError, match="neither a tar nor an npz"):
        musicnet.open_corpus(tmp_path / "a.zip", "violin")


def test_the_test_ids_are_the_official_ten():
    assert len(musicnet.TEST_IDS) == 10
    assert {"2191", "2298"} <= musicnet.TEST_IDS


def test_it_imports_without_tensorflow():
    code = "import sys, pnet_tf.musicnet; sys.exit(bool({'tensorflow', 'intervaltree', 'librosa'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "fifo.tar.gz")
    with pytest.raises(InputError, match=r"fifo\.tar\.gz: not a regular file"):
        musicnet.open_corpus(tmp_path / "fifo.tar.gz", "violin")
