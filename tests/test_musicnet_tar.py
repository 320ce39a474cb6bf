"""The archive: read as a stream, one audio file on the disk at a time, and no member gets where it does not belong."""

import gzip
import io
import os
import tarfile

import numpy as np
import pytest
import soundfile

from pnet_tf import corpus, musicnet_tar
from pnet_tf.errors import InputError
from pnet_tf.musicnet_tar import TarCorpus, is_tar
from pnet_tf.spec import FeatureSpec

RATE_HZ = FeatureSpec().sample_rate_hz
CSV = "start_time,end_time,instrument,note,start_beat,end_beat,note_value\n"


def wav(seed: int, *, kind: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.random.default_rng(seed).uniform(-0.5, 0.5, 3000), RATE_HZ, format=kind)
    return file.getvalue()


def csv(*instruments: int) -> bytes:
    return (CSV + "".join(f"{i * 10},{i * 10 + 441},{program},60,0,1,Half\n" for i, program in enumerate(instruments))).encode()


MEMBERS = {
    "musicnet/train_data/1.wav": wav(1),
    "musicnet/train_data/2.wav": wav(2),
    "musicnet/test_data/3.flac": wav(3, kind="FLAC"),
    "musicnet/train_data/4.wav": wav(4),
    "musicnet/train_labels/1.csv": csv(41),
    "musicnet/train_labels/2.csv": csv(41, 43),
    "musicnet/test_labels/3.csv": csv(41, 41),
    "musicnet/train_labels/4.csv": csv(41),
}


def packed(members, *, extra=()) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for info in extra:
            archive.addfile(info, io.BytesIO(bytes(info.size)))
    return file.getvalue()


def stored(path, data: bytes):
    path.write_bytes(gzip.compress(data, 1) if path.suffix == ".gz" else data)
    return path


@pytest.fixture(params=["musicnet.tar.gz", "musicnet.tar"])
def path(request, tmp_path):
    return stored(tmp_path / request.param, packed(MEMBERS))


@pytest.fixture
def scratch(tmp_path):
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


def test_solo_recordings_come_one_at_a_time(path, scratch):
    found = TarCorpus(path, "violin")
    assert (found.kind, found.names, dict(found.skipped)) == ("tar", ("1", "3", "4"), {corpus.NOT_SOLO: 1})
    assert [found.split_of(name) for name in found.names] == ["train", "test", "train"]
    assert os.listdir(scratch) == []
    names = []
    for recording in found.recordings(["4", "3"], scratch):
        names.append(recording.name)
        assert os.listdir(scratch) == [recording.audio.name]
        folder = f"musicnet/{recording.split}_data"
        assert recording.audio.read_bytes() == MEMBERS[f"{folder}/{recording.audio.name}"]
        assert recording.score.n_notes == {"3": 2, "4": 1}[recording.name]
        assert f"_labels/{recording.name}.csv" in recording.label_source
        found.release(recording)
    assert names == ["3", "4"]
    assert os.listdir(scratch) == []


def test_reading_stops_at_the_last_recording_asked_for(tmp_path, scratch):
    data = packed(MEMBERS)
    path = stored(tmp_path / "a.tar", data)
    found = TarCorpus(path, "violin")
    path.write_bytes(data[: len(data) // 2])
    assert [recording.name for recording in found.recordings(["1"], scratch)] == ["1"]
    assert list(found.recordings([], scratch)) == []


@pytest.mark.parametrize("folder", ["", "./", "./musicnet/"])
def test_the_folder_above_may_be_missing(tmp_path, folder):
    members = {name.replace("musicnet/", folder): data for name, data in MEMBERS.items()}
    assert TarCorpus(stored(tmp_path / "a.tar", packed(members)), "violin").names == ("1", "3", "4")


def test_what_has_no_partner_is_counted(tmp_path):
    members = dict(MEMBERS)
    del members["musicnet/train_labels/1.csv"], members["musicnet/train_data/4.wav"]
    found = TarCorpus(stored(tmp_path / "a.tar", packed(members)), "violin")
    assert found.names == ("3",)
    assert (found.skipped[corpus.NO_LABELS], found.skipped[corpus.NO_AUDIO]) == (1, 1)


def test_the_first_of_two_audio_files_is_taken(tmp_path, scratch):
    members = {**MEMBERS, "musicnet/train_data/1.flac": wav(9, kind="FLAC")}
    found = TarCorpus(stored(tmp_path / "a.tar", packed(members)), "violin")
    assert found.skipped[corpus.SECOND_COPY] == 1
    assert [recording.audio.name for recording in found.recordings(["1"], scratch)] == ["1.wav"]


# --- members that do not belong


@pytest.mark.parametrize(
    "name",
    [
        "/train_data/8.wav",
        "../train_data/8.wav",
        "musicnet/../train_data/8.wav",
        "musicnet/train_data/../8.wav",
        "musicnet/train_data/..wav",
        "musicnet/train_data/a\\b.wav",
        "musicnet/train_data/8.wav.exe",
        "musicnet/train_data/deeper/8.wav",
        "other/train_data/8.wav",
        "musicnet/train_data/8.csv",
    ],
)
def test_paths_that_lead_elsewhere_are_ignored(tmp_path, scratch, name):
    found = TarCorpus(stored(tmp_path / "a.tar", packed({name: wav(8), **MEMBERS})), "violin")
    assert found.names == ("1", "3", "4")
    assert dict(found.skipped) == {corpus.NOT_SOLO: 1}
    assert len(list(found.recordings(found.names, scratch))) == 3
    assert sorted(os.listdir(scratch)) == ["1.wav", "3.flac", "4.wav"]


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
)
def test_links_and_devices_are_ignored(tmp_path, scratch, kind):
    members = dict(MEMBERS)
    del members["musicnet/train_data/1.wav"]
    info = tarfile.TarInfo("musicnet/train_data/1.wav")
    info.type, info.linkname = kind, "/etc/hostname"
    found = TarCorpus(stored(tmp_path / "a.tar", packed(members, extra=[info])), "violin")
    assert found.names == ("3", "4")
    assert found.skipped[corpus.NO_AUDIO] == 1


def test_a_label_file_of_any_size_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr("pnet_tf.limits._FILE_BYTES", 100)
    with pytest.raises(InputError, match="larger than 100 bytes"):
        TarCorpus(stored(tmp_path / "a.tar", packed(MEMBERS)), "violin")


def test_the_stream_goes_back_by_the_byte_that_tarfile_looks_at_and_no_further():
    stream = musicnet_tar._Forward(io.BytesIO(b"abcdefgh"))
    assert stream.read(4) == b"abcd"
    stream.seek(3)
    assert (stream.read(3), stream.tell()) == (b"def", 6)
    stream.seek(7)
    assert stream.read(1) == b"h"
    for position in (5, 9):
        with pytest.raises(tarfile.ReadError):
            stream.seek(position)


def test_a_size_below_zero_does_not_read_in_circles(tmp_path):
    data = bytearray(packed({"musicnet/train_data/1.wav": wav(1)}))
    data[124:136] = b"\xff" * 8 + (-1024 & 0xFFFFFFFF).to_bytes(4, "big")
    data[148:156] = b" " * 8
    data[148:156] = f"{sum(data[:512]):06o}\0 ".encode()
    with pytest.raises(InputError, match="cut off or damaged"):
        TarCorpus(stored(tmp_path / "a.tar", bytes(data)), "violin")


# --- cut and damaged


@pytest.mark.parametrize("kind", [b"L", b"K", b"x", b"g"])
@pytest.mark.parametrize("size", [b"77777777777\0", b"\x80" + b"\0" * 3 + b"\x7f" + b"\xff" * 7])
def test_a_header_that_says_it_is_gigabytes_long_is_one_line(tmp_path, kind, size):
    header = bytearray(tarfile.TarInfo("long").tobuf())
    header[124:136], header[156:157] = size, kind
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "a.tar").write_bytes(bytes(header) + bytes(10240))
    with pytest.raises(InputError, match="cut off or damaged .a header of [0-9]+ bytes"):
        TarCorpus(tmp_path / "a.tar", "violin")


@pytest.mark.parametrize("pax", [{"GNU.sparse.major": "x", "GNU.sparse.minor": "0"}, {"GNU.sparse.size": "x"}, {"size": "x"}])
def test_an_extended_header_without_numbers_is_one_line_or_passed_over(tmp_path, pax):
    """https://github.com/python/cpython/pull/153637"""
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("train_labels/1.csv")
        info.pax_headers = pax
        archive.addfile(info)
    try:
        assert TarCorpus(tmp_path / "a.tar", "violin").names == ()
    except InputError as error:
        assert "cut off or damaged" in str(error)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.8, 0.95])
def test_a_cut_gzip_is_one_line(tmp_path, share):
    path = stored(tmp_path / "a.tar.gz", packed(MEMBERS))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(InputError, match="cut off or damaged") as caught:
        TarCorpus(path, "violin")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_tar_cut_anywhere_is_one_line(tmp_path):
    """Also between two members, where tarfile itself ends quietly."""
    data = packed(MEMBERS)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = archive.getmembers()
    cuts = {at for member in members for at in (member.offset, member.offset + 100, member.offset_data)}
    cuts |= {member.offset_data + 5 for member in members} | {len(data) - 10240}
    for cut in sorted(cuts - {0}):
        with pytest.raises(InputError, match="cut off or damaged"):
            TarCorpus(stored(tmp_path / "a.tar", data[:cut]), "violin")


def test_rubbish_between_members_is_one_line(tmp_path):
    data = bytearray(packed(MEMBERS))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        offset = archive.getmembers()[3].offset
    data[offset : offset + 512] = b"x" * 512
    with pytest.raises(InputError, match="cut off or damaged"):
        TarCorpus(stored(tmp_path / "a.tar", bytes(data)), "violin")


def test_an_archive_cut_since_it_was_opened_leaves_no_half_audio(path, scratch):
    found = TarCorpus(path, "violin")
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match="cut off or damaged"):
        list(found.recordings(["1"], scratch))
    assert os.listdir(scratch) == []


def test_a_full_disk_is_one_line_and_leaves_no_half_audio(path, scratch, monkeypatch):
    found = TarCorpus(path, "violin")
    real_open = type(path).open

    class Full(io.BytesIO):
        def write(self, _):
            raise OSError(28, "No space left on device")

    def full(self, mode="r", *arguments, **named):
        if mode != "wb":
            return real_open(self, mode, *arguments, **named)
        self.touch()
        return Full()

    monkeypatch.setattr(type(path), "open", full)
    with pytest.raises(InputError, match=r"No space left on device.*is the disk full"):
        list(found.recordings(["1"], scratch))
    assert os.listdir(scratch) == []


def test_a_tar_is_told_by_its_content(path, tmp_path):
    assert is_tar(path.rename(tmp_path / "whatever"))
    for content in (b"", b"\x1f\x8b", b"\x1f\x8b\x08" + bytes(50), b"text" * 200):
        (tmp_path / "other").write_bytes(content)
        assert not is_tar(tmp_path / "other")
