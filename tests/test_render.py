"""Windows and how they join, the choice of a transposition, and what a performance is."""

import dataclasses
import types
from fractions import Fraction

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pnet_tf import render, roll, savedmodel
from pnet_tf.errors import InputError
from pnet_tf.score import Note, score_from_notes
from pnet_tf.spec import FeatureSpec

SPEC = FeatureSpec()
LENGTHS = {"n_frames": st.integers(1, 20_000), "window_frames": st.integers(16, 1000)}


def score_of(*pitches, note_sec=Fraction(1, 2), gap_sec=Fraction(0)):
    starts = [index * (note_sec + gap_sec) for index in range(len(pitches))]
    return score_from_notes("piece", [Note(start, start + note_sec, pitch) for start, pitch in zip(starts, pitches)])


# --- windows


@settings(max_examples=200, deadline=None)
@given(**LENGTHS)
def test_windows_cover_a_piece_from_its_first_frame_to_its_last(n_frames, window_frames):
    starts = render.window_starts(n_frames, window_frames)
    length = min(n_frames, window_frames)
    assert starts[0] == 0
    assert starts[-1] + length == n_frames
    assert (np.diff(starts) > 0).all()
    assert len(starts) == 1 or length == window_frames


@settings(max_examples=200, deadline=None)
@given(**LENGTHS)
def test_neighbours_overlap_by_what_both_cannot_know_and_the_fade(n_frames, window_frames):
    """Or by half a window, where windows are short."""
    starts = render.window_starts(n_frames, window_frames)
    wanted = min(2 * render.RECEPTIVE_FRAMES + render.FADE_FRAMES, window_frames - window_frames // 2)
    # Spread evenly, starts are rounded: to a frame in each direction.
    assert (starts[:-1] + window_frames - starts[1:] >= wanted - 1).all()


@settings(max_examples=200, deadline=None)
@given(**LENGTHS)
def test_the_shares_of_the_windows_add_up_to_one_everywhere(n_frames, window_frames):
    starts, length = render.window_starts(n_frames, window_frames), min(n_frames, window_frames)
    total = np.zeros(n_frames)
    for index, first in enumerate(starts):
        weights = render._window_weights(starts, index, length)
        assert weights.min() >= -1e-6 and weights.max() <= 1 + 1e-6
        total[first : first + length] += weights
    np.testing.assert_allclose(total, 1, atol=1e-5)


def test_of_a_window_in_training_length_only_frames_that_know_enough_are_used():
    """Two windows of 864 frames, 576 apart: a fade of 32 frames in the middle of the 288 that they share."""
    starts = render.window_starts(864 + 576, 864)
    assert starts.tolist() == [0, 576]
    first, second = (render._window_weights(starts, index, 864) for index in range(2))
    np.testing.assert_array_equal(first[: 576 + 128], 1)
    np.testing.assert_array_equal(first[864 - 128 :], 0)
    np.testing.assert_array_equal(second[:128], 0)
    np.testing.assert_allclose(second[128 : 128 + 32], (np.arange(32) + 0.5) / 32, atol=1e-6)


def voice_that(draw, *, window_frames=64, pitch_frames=(1,) * 128):
    """A voice whose network is a function of the rolls; `shapes` lists what it was given."""
    shapes = []

    def spectrogram(pianoroll, onset_offset):
        shapes.append(tuple(pianoroll.shape))
        return {"log_power": tf.constant(draw(pianoroll.numpy(), onset_offset.numpy()))}

    def inversion(log_power, iterations, seed):
        return {"waveform": tf.zeros([1, SPEC.n_samples(log_power.shape[1])])}

    model = types.SimpleNamespace(signatures={"spectrogram": spectrogram, "inversion": inversion})
    return savedmodel.Voice(model, SPEC, "violin", pitch_frames, window_frames), shapes


COLOURS = np.random.default_rng(5).normal(size=(2, SPEC.n_pitches, SPEC.n_bins)).astype(np.float32)


def frame_by_frame(pianoroll, onset_offset):
    return pianoroll @ COLOURS[0] + onset_offset @ COLOURS[1]


@pytest.mark.parametrize("n_frames", [1, 30, 64, 65, 200, 777])
def test_a_voice_that_looks_at_single_frames_draws_the_piece_as_in_one_go(n_frames):
    """However many windows there are, nothing shifts, is lost, or counts twice."""
    random = np.random.default_rng(n_frames)
    rolls = roll.Rolls(
        (random.random((n_frames, 128)) < 0.1).astype(np.int8), random.integers(-1, 2, (n_frames, 128), np.int8)
    )
    voice, shapes = voice_that(frame_by_frame)
    drawn = render.draw_spectrogram(rolls, voice)
    expected = frame_by_frame(rolls.pianoroll.astype(np.float32), rolls.onset_offset.astype(np.float32))
    np.testing.assert_allclose(drawn, expected, atol=1e-4)
    assert {shape[1] for shape in shapes} == {min(n_frames, 64)}
    assert sum(shape[0] for shape in shapes) == len(render.window_starts(n_frames, 64))


def test_a_performance_lasts_a_second_longer_than_its_score():
    voice, _ = voice_that(frame_by_frame)
    said = []
    performance = render.perform(score_of(60, 62, 64), voice, say=said.append)
    n_frames = 259 + 172  # 1.5 s, rounded up, and a second
    assert performance.log_power.shape == (n_frames, SPEC.n_bins)
    assert performance.waveform.shape == ((n_frames - 1) * 256,)
    assert len(performance.waveform) / 44100 == pytest.approx(2.5, abs=0.01)
    assert said == [f"drawing {n_frames} frames", "sounding them, 32 iterations"]
    expected = roll.rolls_from_score(score_of(60, 62, 64), SPEC, n_frames=n_frames)
    np.testing.assert_array_equal(performance.pianoroll, expected.pianoroll)


def test_a_score_without_notes_is_refused():
    voice, _ = voice_that(frame_by_frame)
    empty = dataclasses.replace(score_of(60), notes=())
    with pytest.raises(InputError, match="piece: has no notes to perform"):
        render.perform(empty, voice)


def test_the_same_seed_plays_the_same_samples(tiny_model):
    voice = savedmodel.open_voice(tiny_model)
    first, second = (render.perform(score_of(60, 67), voice, iterations=3, seed=4).waveform for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert np.isfinite(first).all() and np.abs(first).max() > 1e-5
    more = render.perform(score_of(60, 67), voice, iterations=6, seed=4).waveform
    assert np.abs(more - first).max() > 1e-3 * np.abs(first).max()


# --- pitches


def test_unheard_pitches_are_counted_note_by_note():
    assert render.unheard_pitches(score_of(60, 72, 60, 61, 72, 72), frozenset({61})) == {60: 2, 72: 3}
    assert render.unheard_pitches(score_of(60, 61), frozenset({60, 61, 62})) == {}


@pytest.mark.parametrize(
    ("pitches", "heard", "semitones"),
    [
        ((60, 64), {60, 64}, 0),  # all heard where it is
        ((60, 64), set(range(50, 80)), 0),  # all heard wherever it goes near by
        ((60, 64), {65, 69}, 5),
        ((60, 64), {72, 76, 61, 65}, 12),  # an octave before a nearer semitone
        ((60, 64), {48, 52, 72, 76}, 12),  # up before down at the same distance
        ((60, 64), {48, 52, 84, 88}, -12),  # the nearer octave
        ((60, 64), {59, 63, 61, 65}, 1),  # and the same for single steps
        ((60, 60, 60, 64), {62}, 2),  # notes count, not pitches
        ((60, 64), set(), 0),
        ((0, 4), {0, 4, 120, 124}, 0),
        ((3, 40), {0, 1, 2, 37}, -3),
    ],
)
def test_the_best_transposition(pitches, heard, semitones):
    assert render.best_transposition(score_of(*pitches), frozenset(heard), SPEC) == semitones


def test_a_transposition_that_loses_notes_is_no_bargain():
    """Moved down by 10, the note at 5 would be gone: as bad as an unheard one, and farther away."""
    assert render.best_transposition(score_of(5, 60), frozenset({50}), SPEC) == -10
    assert render.best_transposition(score_of(5, 60), frozenset({50, 60}), SPEC) == 0
