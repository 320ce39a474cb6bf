"""An unpacked MusicNet: audio and labels are paired, splits come from the folders, what has no partner is counted."""

from fractions import Fraction

import numpy as np
import pytest
import soundfile

from pnet_tf import corpus, musicnet_folder
from pnet_tf.errors import InputError
from pnet_tf.score_notes import Note
from pnet_tf.spec import FeatureSpec

RATE_HZ = FeatureSpec().sample_rate_hz
HEADER = "start_time,end_time,instrument,note,start_beat,end_beat,note_value\n"


def add(root, split, name, *, instruments=(41,), suffix=".wav"):
    """Audio of a tenth of a second, and a note of 10 ms for each instrument; None leaves the one or the other out."""
    for what in ("data", "labels"):
        (root / f"{split}_{what}").mkdir(parents=True, exist_ok=True)
    if suffix is not None:
        samples = np.full(RATE_HZ // 10, 0.25)
        kind = "WAV" if suffix.lower() == ".wav" else "FLAC"
        soundfile.write(root / f"{split}_data" / f"{name}{suffix}", samples, RATE_HZ, format=kind)
    if instruments is not None:
        rows = [f"{441 * i},{441 * i + 441},{program},{60 + i},0,1,Half\n" for i, program in enumerate(instruments)]
        (root / f"{split}_labels" / f"{name}.csv").write_text(HEADER + "".join(rows))


@pytest.fixture
def root(tmp_path):
    add(tmp_path, "train", "10")
    add(tmp_path, "train", "9", instruments=(41, 41), suffix=".flac")
    add(tmp_path, "test", "11")
    add(tmp_path, "train", "20", instruments=(41, 43))
    add(tmp_path, "train", "21", instruments=(43,))
    return tmp_path


def test_solo_recordings_come_with_their_own_audio_score_and_split(root, tmp_path):
    found = musicnet_folder.FolderCorpus(root, "violin")
    assert (found.kind, found.names) == ("folder", ("10", "11", "9"))
    assert dict(found.skipped) == {corpus.NOT_SOLO: 1, corpus.NOT_PLAYING: 1}
    assert {name: found.split_of(name) for name in found.names} == {"9": "train", "10": "train", "11": "test"}
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    recordings = {recording.name: recording for recording in found.recordings(["9", "11"], scratch)}
    assert list(recordings) == ["11", "9"]
    assert recordings["9"].audio == root / "train_data" / "9.flac"
    assert recordings["9"].score.notes == (
        Note(Fraction(0), Fraction(1, 100), 60),
        Note(Fraction(1, 100), Fraction(2, 100), 61),
    )
    assert recordings["9"].label_source == str(root / "train_labels" / "9.csv")
    assert recordings["11"].split == "test"
    for recording in recordings.values():
        found.release(recording)
        assert recording.audio.exists()
    assert list(scratch.iterdir()) == []


def test_another_label_rate_changes_the_times(root, tmp_path):
    found = musicnet_folder.FolderCorpus(root, "violin", label_rate_hz=RATE_HZ // 2)
    (recording,) = found.recordings(["10"], tmp_path)
    assert recording.score.notes[0].end_sec == Fraction(2, 100)


def test_what_has_no_partner_is_named_and_counted(root, caplog):
    caplog.set_level("WARNING", logger="absl")
    add(root, "train", "30", instruments=None)
    add(root, "test", "31", suffix=None)
    add(root, "train", "9", suffix=".wav", instruments=(41, 41))
    found = musicnet_folder.FolderCorpus(root, "violin")
    assert found.skipped[corpus.NO_LABELS] == found.skipped[corpus.NO_AUDIO] == found.skipped[corpus.SECOND_COPY] == 1
    for name in ("train_data/30.wav", "test_labels/31.csv", "train_data/9.flac"):
        assert name in caplog.text
    (recording,) = found.recordings(["9"], root)
    assert recording.audio.suffix == ".wav"


def test_suffixes_in_capitals_count_and_hidden_files_do_not(root):
    add(root, "train", "40", suffix=".WAV")
    add(root, "train", "._41")
    found = musicnet_folder.FolderCorpus(root, "violin")
    assert found.names == ("10", "11", "40", "9")
    assert corpus.NO_AUDIO not in found.skipped


def test_one_recording_in_both_splits_is_refused(root):
    add(root, "test", "10")
    with pytest.raises(InputError, match="both splits"):
        musicnet_folder.FolderCorpus(root, "violin")


def test_a_name_of_no_recording_is_our_own_mistake(root):
    with pytest.raises(KeyError, match="99"):
        list(musicnet_folder.FolderCorpus(root, "violin").recordings(["99"], root))


def test_the_root_may_lie_one_folder_down(root, tmp_path):
    assert musicnet_folder.find_root(root) == root
    other = tmp_path / "above"
    add(other / "musicnet", "train", "1")
    assert musicnet_folder.find_root(other) == other / "musicnet"
    assert musicnet_folder.find_root(other / "musicnet" / "train_data") is None
