"""Scores are fitted to a voice, what it cannot be expected to play is named, and one bad score does not stop the rest."""

from fractions import Fraction

import numpy as np
import pytest
import soundfile

from pnet_tf import audio_file, export, files, performer, render, savedmodel, voice_folder
from pnet_tf.errors import InputError
from pnet_tf.perform_plan import Task
from pnet_tf.performer import Settings
from pnet_tf.score import Note, score_from_notes
from pnet_tf.spec import FeatureSpec

# Heard A3 to C5; a violin begins at G3.
HEARD = set(range(57, 73))


def score_of(*pitches):
    half = Fraction(1, 2)
    return score_from_notes("piece", [Note(i * half, (i + 1) * half, pitch) for i, pitch in enumerate(pitches)])


@pytest.fixture
def voice():
    pitch_frames = tuple(9 if pitch in HEARD else 0 for pitch in range(128))
    return savedmodel.Voice(None, FeatureSpec(), "violin", pitch_frames, 64)


def fit(score, voice, caplog, **settings):
    """The pitches after fitting, and what was logged."""
    with caplog.at_level("INFO", logger="absl"):
        moved = performer.fit_to_voice(score, voice, Settings(**settings))
    return [note.pitch for note in moved.notes], [record.getMessage() for record in caplog.records]


def test_a_score_that_the_voice_knows_is_played_as_it_is(voice, caplog):
    assert fit(score_of(57, 72), voice, caplog) == ([57, 72], [])


def test_notes_out_of_range_and_unheard_ones_are_named_once_each(voice, caplog):
    """F3 lies under the violin; G3 and E5 it could play, but never heard."""
    _, said = fit(score_of(53, 53, 55, 60, 76, 76, 76), voice, caplog)
    assert said == [
        "piece: outside the range of a violin: F3 (2 notes)",
        "piece: never heard by this voice in training: G3 (1 note), E5 (3 notes)",
    ]


def test_an_instrument_without_a_known_range_warns_of_the_unheard_alone(voice, caplog):
    strange = savedmodel.Voice(None, voice.spec, "theremin", voice.pitch_frames, 64)
    assert fit(score_of(20), strange, caplog)[1] == ["piece: never heard by this voice in training: G♯0 (1 note)"]


def test_auto_says_which_transposition_it_took(voice, caplog):
    assert fit(score_of(45, 50), voice, caplog, semitones=None) == (
        [57, 62],
        ["piece: transposed by +12 semitones (--transpose=auto)"],
    )


def test_a_transposition_is_exact_and_warnings_are_about_what_is_played(voice, caplog):
    assert fit(score_of(57, 60), voice, caplog, semitones=-4) == (
        [53, 56],
        [
            "piece: outside the range of a violin: F3 (1 note)",
            "piece: never heard by this voice in training: G♯3 (1 note)",
        ],
    )


def test_notes_that_a_transposition_loses_are_counted(voice, caplog):
    pitches, said = fit(score_of(1, 70), voice, caplog, semitones=-2)
    assert pitches == [68]
    assert said == ["piece: 1 of 2 notes leave MIDI's pitches when transposed by -2 semitones, and are not played"]


def test_a_transposition_that_leaves_no_note_is_refused(voice):
    with pytest.raises(InputError, match=r"piece: transposed by \+100 semitones no note is left; use another --transpose"):
        performer.fit_to_voice(score_of(60), voice, Settings(semitones=100))


def test_twice_the_tempo_halves_every_time(voice):
    moved = performer.fit_to_voice(score_of(60, 62), voice, Settings(tempo=2.0))
    assert [(note.start_sec, note.end_sec) for note in moved.notes] == [
        (Fraction(0), Fraction(1, 4)),
        (Fraction(1, 4), Fraction(1, 2)),
    ]


def test_a_shipped_voice_performs_by_its_name(tiny_run, tmp_path, monkeypatch):
    export.export_voice(tiny_run, tmp_path / "voices" / "oboe")
    monkeypatch.setattr(voice_folder, "SHIPPED", tmp_path / "voices")
    assert performer.perform_tasks(tasks_of(tmp_path, "a"), "oboe", Settings(render.Settings(iterations=1))) == []
    assert soundfile.info(tmp_path / "out" / "a.wav").frames == (87 + 172 - 1) * 256


def tasks_of(folder, *names):
    for name in names:
        rows = "0,22050,41,60,0,1,Quarter\n" if name != "bad" else "0,1,41\n"
        (folder / f"{name}.csv").write_text("start_time,end_time,instrument,note,start_beat,end_beat,note_value\n" + rows)
    return [Task(folder / f"{name}.csv", folder / "out" / f"{name}.wav", None) for name in names]


def test_one_bad_score_is_reported_and_the_rest_performed(tiny_model, tmp_path, caplog):
    settings = Settings(render.Settings(iterations=1))
    failures = performer.perform_tasks(tasks_of(tmp_path, "a", "bad", "c"), str(tiny_model), settings)
    assert len(failures) == 1
    assert str(tmp_path / "bad.csv") in str(failures[0])
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [str(failures[0])]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.wav", "c.wav"]
    samples, rate = soundfile.read(tmp_path / "out" / "a.wav")
    assert (rate, len(samples)) == (44100, (87 + 172 - 1) * 256)  # half a second and one more, in frames
    assert np.isfinite(samples).all()


def test_a_folder_of_bad_scores_is_told_of_in_some_lines(tiny_model, tmp_path, caplog):
    (bad,) = tasks_of(tmp_path, "bad")
    assert len(performer.perform_tasks([bad] * 50, str(tiny_model), Settings())) == 50
    said = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(said) == 21
    assert said[0] == said[19] and "bad.csv" in said[0]
    assert said[20] == "further scores that cannot be performed are counted only"


@pytest.mark.parametrize("failing", ["write", "replace"])
def test_a_full_disk_leaves_nothing(failing, tiny_model, tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(audio_file.soundfile.SoundFile if failing == "write" else files.os, failing, full)
    (failure,) = performer.perform_tasks(tasks_of(tmp_path, "a"), str(tiny_model), Settings(render.Settings(iterations=1)))
    assert "a.wav: cannot write the sound (No space left on device)" in str(failure)
    assert list((tmp_path / "out").iterdir()) == []
