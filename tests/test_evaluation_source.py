"""Recordings come one at a time, cut to what is compared; a bad one is no end of the others."""

import tempfile
from fractions import Fraction

import numpy as np
import pytest

from pnet_tf import evaluation_source, musicnet
from pnet_tf.errors import InputError, UsageError
from pnet_tf.evaluation_source import Passage
from pnet_tf.spec import FeatureSpec
from tests.small_corpus import RATE_HZ, add_recording, notes_of, waveform_of, write_audio, write_labels

SPEC = FeatureSpec()


@pytest.fixture
def source(tmp_path):
    add_recording(tmp_path, "1", 3)
    add_recording(tmp_path, "2", 2, split="test")
    # Its last note ends after two seconds, and then there are four of something else.
    write_audio(tmp_path / "test_data" / "3.wav", waveform_of(notes_of(2 * RATE_HZ), 6 * RATE_HZ))
    write_labels(tmp_path / "test_labels" / "3.csv", notes_of(2 * RATE_HZ))
    return tmp_path


def taken(source, names, **options):
    return dict(evaluation_source.passages(musicnet.open_corpus(source, "violin"), names, SPEC, **options))


def test_a_split_or_some_of_it_is_chosen(source):
    corpus = musicnet.open_corpus(source, "violin")
    assert evaluation_source.choose(corpus, "test", []) == ["2", "3"]
    assert evaluation_source.choose(corpus, "test", ["3"]) == ["3"]
    with pytest.raises(UsageError, match=r"--recordings=1: not among the test recordings \(2, 3\)"):
        evaluation_source.choose(corpus, "test", ["1"])


def test_a_source_without_the_split_says_what_it_has(tmp_path):
    add_recording(tmp_path, "1", 1)
    with pytest.raises(InputError, match="no test recordings, 1 for --split=train"):
        evaluation_source.choose(musicnet.open_corpus(tmp_path, "violin"), "test", [])


def test_a_recording_ends_a_second_after_its_last_note(source):
    passages = taken(source, ["2", "3"])
    assert len(passages["2"].waveform) == 2 * RATE_HZ
    end_sec = passages["3"].score.end_sec
    assert len(passages["3"].waveform) == int((end_sec + 1) * RATE_HZ)
    np.testing.assert_array_equal(passages["3"].waveform[:100], waveform_of(notes_of(2 * RATE_HZ), 6 * RATE_HZ)[:100])


def test_the_beginning_is_cut_with_its_score(source):
    passage = taken(source, ["1"], seconds=0.8)["1"]
    assert len(passage.waveform) == int(0.8 * RATE_HZ)
    assert [note.pitch for note in passage.score.notes] == [60, 64]
    assert passage.score.notes[1].end_sec == Fraction(4, 5)


def test_a_bad_recording_is_told_and_the_others_follow(source):
    (source / "test_data" / "2.wav").write_bytes(b"no audio")
    write_audio(source / "test_data" / "4.wav", np.zeros(RATE_HZ, np.float32))
    write_labels(source / "test_labels" / "4.csv", notes_of(RATE_HZ))
    add_recording(source, "5", 1, split="test")
    passages = taken(source, ["2", "4", "5"])
    assert [isinstance(passages[name], InputError) for name in "245"] == [True, True, False]
    assert "2.wav: cannot open it as audio" in str(passages["2"])
    assert "silent" in str(passages["4"])
    assert isinstance(passages["5"], Passage)


def test_a_bad_score_of_a_pair_is_told(tmp_path):
    write_audio(tmp_path / "take.wav", waveform_of(notes_of(RATE_HZ), RATE_HZ))
    (tmp_path / "take.mid").write_bytes(b"MThd, or so it says")
    assert "take.mid" in str(taken(tmp_path, ["take"])["take"])


def test_a_recording_whose_notes_all_begin_later_is_told(source):
    write_labels(source / "test_labels" / "2.csv", [(5 * RATE_HZ, 6 * RATE_HZ, 60)])
    assert "no note of its score lies within the 2.00 s" in str(taken(source, ["2"])["2"])


def test_nothing_is_left_in_the_scratch_folder(source, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    for _, passage in evaluation_source.passages(musicnet.open_corpus(source, "violin"), ["1", "2"], SPEC):
        assert isinstance(passage, Passage)
        assert len(list(scratch.iterdir())) == 1
    assert not list(scratch.iterdir())


def test_audio_on_another_file_system_is_fetched_and_not_kept(source, tmp_path, monkeypatch):
    """TensorFlow's own file system in memory stands for a bucket."""
    import tensorflow as tf

    for path in source.rglob("*.*"):
        target = f"ram://evaluate/{path.relative_to(source)}"
        tf.io.gfile.makedirs(target.rpartition("/")[0])
        with tf.io.gfile.GFile(target, "wb") as file:
            file.write(path.read_bytes())
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    fetched = evaluation_source.passages(musicnet.open_corpus("ram://evaluate", "violin"), ["2"], SPEC)
    _, there = next(fetched)
    assert not [path for path in scratch.rglob("*") if path.is_file()]
    here = taken(source, ["2"])["2"]
    np.testing.assert_array_equal(there.waveform, here.waveform)
    assert there.score.notes == here.score.notes
