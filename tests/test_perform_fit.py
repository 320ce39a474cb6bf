"""What a voice cannot be expected to play well of a score is counted, pitch by pitch."""

from fractions import Fraction

import pytest

from pnet_tf import perform_fit, savedmodel
from pnet_tf.errors import InputError
from pnet_tf.score import Note, score_from_notes
from pnet_tf.spec import FeatureSpec

HEARD = set(range(57, 73))


def score_of(*pitches):
    half = Fraction(1, 2)
    return score_from_notes("piece", [Note(i * half, (i + 1) * half, pitch) for i, pitch in enumerate(pitches)])


@pytest.fixture
def voice():
    return savedmodel.Voice(None, FeatureSpec(), "violin", tuple(9 if pitch in HEARD else 0 for pitch in range(128)), 64)


def test_notes_out_of_range_are_not_counted_among_the_unheard(voice):
    fit = perform_fit.fit_score(score_of(53, 53, 55, 60, 76), voice, semitones=0, tempo=1.0)
    assert (fit.outside, fit.unheard, fit.n_lost, fit.semitones) == ({53: 2}, {55: 1, 76: 1}, 0, 0)


def test_auto_says_by_how_much_and_the_tempo_shortens(voice):
    fit = perform_fit.fit_score(score_of(45, 50), voice, semitones=None, tempo=2.0)
    assert (fit.semitones, [note.pitch for note in fit.score.notes]) == (12, [57, 62])
    assert fit.score.end_sec == Fraction(1, 2)


def test_notes_that_leave_midis_pitches_are_counted(voice):
    fit = perform_fit.fit_score(score_of(60, 120), voice, semitones=20, tempo=1.0)
    assert (fit.n_lost, [note.pitch for note in fit.score.notes]) == (1, [80])
    with pytest.raises(InputError, match="no note is left"):
        perform_fit.fit_score(score_of(60), voice, semitones=100, tempo=1.0)
