"""A person's own recordings: which files belong together, which are the test, and what is said of the others."""

import numpy as np
import pytest
import soundfile

from pnet_tf import corpus
from pnet_tf.errors import InputError
from pnet_tf.own_pairs import PairsCorpus
from pnet_tf.spec import FeatureSpec

RATE_HZ = FeatureSpec().sample_rate_hz
CSV = "start_time,end_time,instrument,note\n0,22050,41,60\n"
# One track at 480 ticks a quarter and 120 quarters a minute: middle C for a quarter, half a second.
MIDI = (
    b"MThd\x00\x00\x00\x06\x00\x00\x00\x01\x01\xe0"
    b"MTrk\x00\x00\x00\x0d\x00\x90\x3c\x40\x83\x60\x80\x3c\x40\x00\xff\x2f\x00"
)


def add(folder, name, *, audio=".wav", score=".mid"):
    folder.mkdir(parents=True, exist_ok=True)
    if audio:
        kind = "WAV" if audio.lower() == ".wav" else "FLAC"
        soundfile.write(folder / f"{name}{audio}", np.zeros(100), RATE_HZ, format=kind)
    if score == ".csv":
        (folder / f"{name}.csv").write_text(CSV)
    elif score:
        (folder / f"{name}{score}").write_bytes(MIDI)


def test_pairs_give_their_own_files_and_their_notes(tmp_path):
    add(tmp_path, "a")
    add(tmp_path, "b", audio=".FLAC", score=".csv")
    found = PairsCorpus(tmp_path, "violin")
    assert (found.kind, found.names, dict(found.skipped)) == ("pairs", ("a", "b"), {})
    recordings = list(found.recordings(["b", "a"], tmp_path))
    assert [recording.name for recording in recordings] == ["a", "b"]
    for recording in recordings:
        (note,) = recording.score.notes
        assert (note.pitch, float(note.start_sec), float(note.end_sec)) == (60, 0, 0.5)
        found.release(recording)
        assert recording.audio.exists()
    assert recordings[1].audio.name == "b.FLAC"
    assert recordings[1].label_source == str(tmp_path / "b.csv")


@pytest.mark.parametrize(("n", "n_test"), [(1, 0), (2, 0), (3, 1), (19, 1), (20, 2), (35, 3)])
def test_without_a_test_folder_the_last_tenth_is_the_test(tmp_path, n, n_test, caplog):
    caplog.set_level("INFO", logger="absl")
    for i in range(n):
        add(tmp_path, f"piece {i:02}")
    found = PairsCorpus(tmp_path, "violin")
    assert [found.split_of(name) for name in found.names] == ["train"] * (n - n_test) + ["test"] * n_test
    if n_test:
        assert f"piece {n - 1:02}" in caplog.text
    else:
        assert "all of them train" in caplog.text


def test_a_test_folder_decides(tmp_path):
    for name in "abcd":
        add(tmp_path, name)
    add(tmp_path / "train", "e")
    add(tmp_path / "test", "A1")
    found = PairsCorpus(tmp_path, "violin")
    assert {name for name in found.names if found.split_of(name) == "test"} == {"A1"}
    assert len(found.names) == 6


def test_files_without_a_partner_are_named_and_counted(tmp_path, caplog):
    caplog.set_level("WARNING", logger="absl")
    add(tmp_path, "a")
    add(tmp_path, "lonely", score=None)
    add(tmp_path, "silent", audio=None)
    found = PairsCorpus(tmp_path, "violin")
    assert dict(found.skipped) == {corpus.NO_LABELS: 1, corpus.NO_AUDIO: 1}
    assert "lonely.wav" in caplog.text
    assert "silent.mid" in caplog.text


def test_labels_win_over_a_score_and_the_other_is_named(tmp_path, caplog):
    caplog.set_level("WARNING", logger="absl")
    add(tmp_path, "a")
    add(tmp_path, "a", audio=None, score=".csv")
    found = PairsCorpus(tmp_path, "violin")
    assert found.skipped[corpus.SECOND_COPY] == 1
    assert "a.mid" in caplog.text
    assert next(found.recordings(["a"], tmp_path)).label_source.endswith("a.csv")


def test_labels_of_other_instruments_make_a_pair_unfit(tmp_path):
    add(tmp_path, "a", score=".csv")
    add(tmp_path, "b", score=".csv")
    (tmp_path / "b.csv").write_text(CSV + "0,22050,1,40\n")
    violin, piano = PairsCorpus(tmp_path, "violin"), PairsCorpus(tmp_path, "piano")
    assert (violin.names, dict(violin.skipped)) == (("a",), {corpus.NOT_SOLO: 1})
    assert (piano.names, dict(piano.skipped)) == ((), {corpus.NOT_PLAYING: 1, corpus.NOT_SOLO: 1})


def test_two_pairs_of_one_name_are_refused(tmp_path):
    add(tmp_path, "a")
    add(tmp_path / "test", "a")
    with pytest.raises(InputError, match="two pairs of one name"):
        PairsCorpus(tmp_path, "violin")


def test_a_score_that_cannot_be_read_is_handed_on_and_the_walk_goes_on(tmp_path):
    for name in ("a", "b"):
        add(tmp_path, name)
    (tmp_path / "a.mid").write_bytes(b"MThd")
    bad, good = PairsCorpus(tmp_path, "violin").recordings(["a", "b"], tmp_path)
    assert isinstance(bad.score, InputError) and "a.mid" in str(bad.score)
    assert [note.pitch for note in good.score.notes] == [60]


def test_of_a_score_with_two_parts_the_named_one_plays(tmp_path):
    add(tmp_path, "a")
    track = MIDI[14:]
    other = track.replace(b"\x90\x3c", b"\x91\x43").replace(b"\x80\x3c", b"\x81\x43")
    two = MIDI[:8] + b"\x00\x01\x00\x02" + MIDI[12:14] + track + other
    (tmp_path / "a.mid").write_bytes(two)
    (asked,) = PairsCorpus(tmp_path, "violin").recordings(["a"], tmp_path)
    assert isinstance(asked.score, InputError) and "--part" in str(asked.score)
    (named,) = PairsCorpus(tmp_path, "violin", part="2").recordings(["a"], tmp_path)
    assert [note.pitch for note in named.score.notes] == [67]
