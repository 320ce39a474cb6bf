"""Rolls: the rules of the frame grid by hand, and joined halves, re-attacks and onsets by property."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pnet_tf import roll
from pnet_tf.errors import InputError
from pnet_tf.score import Note, Score
from pnet_tf.spec import FeatureSpec

SPEC = FeatureSpec()


def score_of(*notes):
    """A score from (first sample, end sample, pitch)."""
    return Score(
        "test",
        tuple(sorted(Note(Fraction(a, SPEC.sample_rate_hz), Fraction(b, SPEC.sample_rate_hz), p) for a, b, p in notes)),
    )


def column(rolls, pitch=60):
    return rolls.pianoroll[:, pitch].tolist(), rolls.onset_offset[:, pitch].tolist()


def test_a_note_is_active_from_the_first_frame_at_or_after_its_start_to_the_last_before_its_end():
    hop = SPEC.hop_samples
    rolls = roll.rolls_from_score(score_of((2 * hop, 4 * hop, 60), (hop + 1, 3 * hop + 1, 61)), SPEC, n_frames=6)
    assert column(rolls, 60) == ([0, 0, 1, 1, 0, 0], [0, 0, 1, 0, -1, 0])
    assert column(rolls, 61) == ([0, 0, 1, 1, 0, 0], [0, 0, 1, 0, -1, 0])


@pytest.mark.parametrize("frame", [1, 3, 7, 13, 1000, 123_472])
def test_a_start_on_a_frame_is_exact_however_late(frame):
    """In floating point 13 * 256 / 44100 * 172.265625 is more than 13; the grid must not slip."""
    start = frame * SPEC.hop_samples
    notes = roll.note_frames(score_of((start, start + SPEC.hop_samples, 60), (start + 1, start + 300, 62)), SPEC)
    assert (notes.start.tolist(), notes.end.tolist()) == ([frame, frame + 1], [frame + 1, frame + 2])


@pytest.mark.parametrize("length_samples", [0, 1, 100])
def test_the_shortest_note_sounds_in_one_frame(length_samples):
    rolls = roll.rolls_from_score(score_of((300, 300 + length_samples, 60)), SPEC, n_frames=5)
    assert column(rolls) == ([0, 0, 1, 0, 0], [0, 0, 1, -1, 0])


def test_a_reattack_is_an_onset_and_wins_over_the_offset():
    hop = SPEC.hop_samples
    rolls = roll.rolls_from_score(score_of((0, 2 * hop, 60), (2 * hop, 4 * hop, 60)), SPEC, n_frames=6)
    assert column(rolls) == ([1, 1, 1, 1, 0, 0], [1, 0, 1, 0, -1, 0])


def test_an_offset_inside_another_note_of_the_pitch_is_not_shown():
    hop = SPEC.hop_samples
    rolls = roll.rolls_from_score(score_of((0, 3 * hop, 60), (hop, 5 * hop, 60)), SPEC, n_frames=7)
    assert column(rolls) == ([1, 1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, -1, 0])


def test_a_window_that_begins_inside_a_note_shows_no_onset_there():
    hop = SPEC.hop_samples
    rolls = roll.rolls_from_score(score_of((0, 5 * hop, 60)), SPEC, start_frame=2, n_frames=5)
    assert column(rolls) == ([1, 1, 1, 0, 0], [0, 0, 0, -1, 0])


def test_a_window_right_behind_a_note_shows_its_offset():
    rolls = roll.rolls_from_score(score_of((0, 2 * SPEC.hop_samples, 60)), SPEC, start_frame=2, n_frames=2)
    assert column(rolls) == ([0, 0], [-1, 0])


def test_frames_before_the_piece_are_empty():
    rolls = roll.rolls_from_score(score_of((0, SPEC.hop_samples, 60)), SPEC, start_frame=-2, n_frames=4)
    assert column(rolls) == ([0, 0, 1, 0], [0, 0, 1, -1])


def test_a_pitch_that_the_roll_does_not_have_is_named():
    score = Score("loud", (Note(Fraction(0), Fraction(1), 128),))
    with pytest.raises(InputError, match="loud: pitch 128"):
        roll.note_frames(score, SPEC)


NOTES = st.lists(
    st.tuples(st.integers(0, 40 * 256), st.integers(0, 9 * 256), st.integers(58, 61)).map(lambda n: (n[0], n[0] + n[1], n[2])),
    min_size=1,
    max_size=12,
)


@given(NOTES, st.integers(0, 60))
@settings(max_examples=200, deadline=None)
def test_halves_join_to_the_whole(notes, middle):
    score, n_frames = score_of(*notes), 60
    whole = roll.rolls_from_score(score, SPEC, n_frames=n_frames)
    first = roll.rolls_from_score(score, SPEC, n_frames=middle)
    second = roll.rolls_from_score(score, SPEC, start_frame=middle, n_frames=n_frames - middle)
    for name in ("pianoroll", "onset_offset"):
        joined = np.concatenate([getattr(first, name), getattr(second, name)])
        np.testing.assert_array_equal(joined, getattr(whole, name))


@given(NOTES)
@settings(max_examples=200, deadline=None)
def test_onsets_are_as_many_as_distinct_note_starts_and_rolls_follow_the_definition(notes):
    """Checked against the definition, frame by frame, in exact arithmetic of its own."""
    score, n_frames, hop = score_of(*notes), 60, SPEC.hop_samples
    rolls = roll.rolls_from_score(score, SPEC, n_frames=n_frames)
    expected = np.zeros((n_frames, SPEC.n_pitches), np.int8)
    onsets = set()
    for start, end, pitch in notes:
        active = [t for t in range(n_frames) if start <= t * hop < end] or [-(-start // hop)]
        expected[active, pitch] = 1
        onsets.add((active[0], pitch))
    np.testing.assert_array_equal(rolls.pianoroll, expected)
    assert set(zip(*np.nonzero(rolls.onset_offset == 1), strict=True)) == onsets
    assert not (rolls.pianoroll[rolls.onset_offset == -1]).any()
