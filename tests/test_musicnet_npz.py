"""The old npz: recordings, splits and labels come out; a poisoned or broken file ends in one line and runs nothing."""

import io
import os
import pickle
import zipfile
from fractions import Fraction

import intervaltree
import numpy as np
import pytest
import soundfile

from pnet_tf import corpus
from pnet_tf.errors import InputError
from pnet_tf.musicnet_npz import NpzCorpus, is_npz
from pnet_tf.score_notes import Note
from pnet_tf.spec import FeatureSpec

RATE_HZ = FeatureSpec().sample_rate_hz
HEADERS = {
    1: b"{'descr': '|O', 'fortran_order': False, 'shape': (2,), }",
    2: b"{'descr': 'O', 'fortran_order': False, 'shape': (2L,), }",  # as Python 2 wrote longs
}


def member(value, *, version: int = 1, header: bytes | None = None) -> bytes:
    header = HEADERS[version] if header is None else header
    length = len(header).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + pickle.dumps(value, 2)


def pair(waveform, *notes) -> np.ndarray:
    both = np.empty(2, object)
    both[0], both[1] = waveform, intervaltree.IntervalTree.from_tuples(notes)
    return both


def violin(seed: int) -> np.ndarray:
    waveform = np.random.default_rng(seed).uniform(-1.5, 1.5, 500 + seed).astype(np.float32)
    return pair(waveform, (441, 882, (41, 62, 1, 1.0, "Half")), (0, 441, (41, 60, 0, 0.5, "Quarter")))


def archive(path, **members: bytes):
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(f"{name}.npy", data)
    return path


@pytest.fixture
def npz(tmp_path):
    duo = pair(np.zeros(9, np.float32), (0, 5, (41, 60, 0, 0.5, "Half")), (0, 5, (43, 40, 0, 0.5, "Half")))
    cello = pair(np.zeros(9, np.float32), (0, 5, (43, 40, 0, 0.5, "Half")))
    members = {"2191": member(violin(1)), "2244": member(violin(2), version=2), "5": member(duo), "6": member(cello)}
    return archive(tmp_path / "musicnet.npz", **members)


def opened(path, instrument="violin", **kwargs):
    return NpzCorpus(path, instrument, test_ids={"2191"}, **kwargs)


def test_solo_recordings_come_with_waveform_score_and_split(npz, tmp_path):
    found = opened(npz)
    assert (found.kind, found.names) == ("npz", ("2191", "2244"))
    assert dict(found.skipped) == {corpus.NOT_SOLO: 1, corpus.NOT_PLAYING: 1}
    assert (found.split_of("2191"), found.split_of("2244")) == ("test", "train")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    n = 0
    for recording in found.recordings(["2191", "2244"], scratch):
        n += 1
        assert os.listdir(scratch) == [f"{recording.name}.wav"]
        samples, rate_hz = soundfile.read(recording.audio, dtype="float32")
        assert rate_hz == RATE_HZ
        np.testing.assert_array_equal(samples, violin({"2191": 1, "2244": 2}[recording.name])[0])
        assert recording.score.notes == (
            Note(Fraction(0), Fraction(1, 100), 60),
            Note(Fraction(1, 100), Fraction(2, 100), 62),
        )
        assert recording.split == found.split_of(recording.name)
        found.release(recording)
    assert n == 2
    assert os.listdir(scratch) == []


def test_only_the_recordings_asked_for_are_written(npz, tmp_path):
    assert [recording.name for recording in opened(npz).recordings(["2244"], tmp_path)] == ["2244"]
    with pytest.raises(KeyError):
        list(opened(npz).recordings(["5"], tmp_path))


def test_another_rate_holds_for_waveform_and_labels(npz, tmp_path):
    (recording,) = opened(npz, label_rate_hz=22050).recordings(["2191"], tmp_path)
    assert soundfile.info(recording.audio).samplerate == 22050
    assert recording.score.end_sec == Fraction(882, 22050)


class Runs:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_poisoned_file_is_refused_and_nothing_of_it_runs(tmp_path):
    poisoned = violin(1)
    poisoned[0] = Runs(tmp_path / "ran")
    path = archive(tmp_path / "a.npz", **{"1": member(violin(1)), "2": member(poisoned)})
    with pytest.raises(InputError, match=r"a\.npz: 2\.npy: refused: the file asks to load posix\.mkdir"):
        opened(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no npy data"),
        (b"\x93NUMPY\x01", "no npy data"),
        (member(violin(1), header=b"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }"), "without labels"),
        (member(violin(1))[:-300], "damaged"),
        (member(pair(np.zeros((2, 2), np.float32))), "not a waveform with intervals"),
        (member(pair(np.zeros(2, np.int16))), "not a waveform with intervals"),
        (member(violin(1)[:1]), "not a waveform with intervals"),
        (member(pair(np.zeros(2, np.float32), (0, 1, None))), "without instrument and note"),
        (member(pair(np.zeros(2, np.float32), (0, 1, ("x", "y")))), "without instrument and note"),
        (member(pair(np.zeros(2, np.float32), (0, 1, (41, 500)))), "expected a MIDI pitch"),
    ],
)
def test_what_is_not_as_musicnet_has_it_is_one_line(tmp_path, data, said):
    with pytest.raises(InputError, match=said) as caught:
        opened(archive(tmp_path / "a.npz", **{"1": data}))
    assert "\n" not in str(caught.value)
    assert "1.npy" in str(caught.value)


def test_a_damaged_archive_is_one_line(npz):
    data = bytearray(npz.read_bytes())
    data[200:300] = bytes(100)
    npz.write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        opened(npz)


def test_members_with_unsafe_names_are_left_alone(tmp_path):
    path = archive(tmp_path / "a.npz", **{"../1": member(violin(1)), "2": member(violin(2))})
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("readme.txt", "hello")
    assert opened(path).names == ("2",)


def test_a_full_disk_leaves_nothing_in_scratch(npz, tmp_path, monkeypatch):
    def full(path, *_, **__):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(soundfile, "write", full)
    with pytest.raises(InputError, match="is the disk full"):
        list(opened(npz).recordings(["2191"], scratch))
    assert os.listdir(scratch) == []


def test_an_npz_is_told_by_its_content(npz, tmp_path):
    assert is_npz(npz.rename(tmp_path / "whatever"))
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as file:
        file.writestr("a.txt", "")
    assert not is_npz(tmp_path / "other.zip")
    (tmp_path / "text").write_bytes(io.BytesIO(b"text").getvalue())
    assert not is_npz(tmp_path / "text")
