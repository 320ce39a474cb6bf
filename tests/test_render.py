"""What a performance is, in one piece and in blocks, and the choice of a transposition."""

import dataclasses
from fractions import Fraction

import numpy as np
import pytest

from pnet_tf import render, roll, savedmodel, windows
from pnet_tf.errors import InputError
from pnet_tf.score import Note, score_from_notes
from pnet_tf.spec import FeatureSpec

SPEC = FeatureSpec()


def score_of(*pitches, note_sec=Fraction(1, 2), gap_sec=Fraction(0)):
    starts = [index * (note_sec + gap_sec) for index in range(len(pitches))]
    return score_from_notes("piece", [Note(start, start + note_sec, pitch) for start, pitch in zip(starts, pitches)])


def voice_that(draw, *, window_frames=64, pitch_frames=(1,) * 128):
    """A voice whose network is a function of the rolls; `shapes` lists what it was given."""
    shapes = []

    def spectrogram(*, pianoroll, onset_offset):
        shapes.append(tuple(pianoroll.shape))
        return draw(pianoroll, onset_offset)

    return savedmodel.Voice(spectrogram, SPEC, "violin", pitch_frames, window_frames), shapes


COLOURS = np.random.default_rng(5).normal(size=(2, SPEC.n_pitches, SPEC.n_bins)).astype(np.float32)


def frame_by_frame(pianoroll, onset_offset):
    return pianoroll @ COLOURS[0] + onset_offset @ COLOURS[1]


@pytest.mark.parametrize("seconds", [Fraction(1, 100), Fraction(1), Fraction(3)])
@pytest.mark.parametrize("window_frames", [64, 864])
def test_a_voice_that_looks_at_single_frames_draws_the_piece_as_in_one_go(seconds, window_frames):
    """However many windows there are, nothing shifts, is lost, or counts twice."""
    voice, shapes = voice_that(frame_by_frame, window_frames=window_frames)
    score = score_of(60, 64, 67, note_sec=seconds / 3)
    piece = render.Piece(score, voice)
    drawn = np.concatenate(list(piece.log_power()))
    rolls = roll.rolls_from_score(score, SPEC, n_frames=piece.n_frames)
    expected = frame_by_frame(rolls.pianoroll.astype(np.float32), rolls.onset_offset.astype(np.float32))
    np.testing.assert_allclose(drawn, expected, atol=1e-4)
    assert {shape[1] for shape in shapes} == {min(piece.n_frames, window_frames)}
    assert sum(shape[0] for shape in shapes) == len(windows.window_starts(piece.n_frames, window_frames))


def test_the_noise_of_the_voices_recordings_sounds_while_notes_do():
    voice, _ = voice_that(lambda pianoroll, _: np.zeros((*pianoroll.shape[:2], SPEC.n_bins), np.float32))
    floor = (0.08,) * SPEC.n_bins
    score, settings = score_of(60, note_sec=Fraction(1)), render.Settings(iterations=1)
    with_floor = render.perform(score, dataclasses.replace(voice, noise_floor=floor), settings=settings)
    without = render.perform(score, voice, settings=settings)
    np.testing.assert_allclose(with_floor.log_power[:200], 0.08, atol=1e-6)
    assert not without.log_power.any() and not without.waveform.any()
    assert with_floor.waveform[: SPEC.sample_rate_hz].std() > 0 and with_floor.log_power[-1].max() < 1e-6


def test_a_performance_is_no_louder_than_the_voices_recordings_were():
    voice, _ = voice_that(lambda pianoroll, _: np.full((*pianoroll.shape[:2], SPEC.n_bins), 9, np.float32))
    held = dataclasses.replace(voice, ceiling=tuple(np.linspace(5, 12, SPEC.n_bins).tolist()))
    drawn = render.perform(score_of(60), held, settings=render.Settings(iterations=1)).log_power[:80]
    np.testing.assert_allclose(drawn, np.broadcast_to(np.minimum(9, held.ceiling), drawn.shape), atol=1e-5)


def test_what_is_drawn_loudest_rises_to_what_the_recordings_have():
    voice, _ = voice_that(lambda pianoroll, _: np.full((*pianoroll.shape[:2], SPEC.n_bins), 9, np.float32))
    risen = dataclasses.replace(voice, peaks=((8.0, 10.0), (0.0, 1.0)))
    drawn = render.perform(score_of(60), risen, settings=render.Settings(iterations=1)).log_power[:80]
    np.testing.assert_allclose(drawn, 9.5, atol=1e-5)


def test_a_performance_lasts_a_second_longer_than_its_score():
    voice, _ = voice_that(frame_by_frame)
    performance = render.perform(score_of(60, 62, 64), voice, settings=render.Settings(iterations=1))
    n_frames = 259 + 172  # 1.5 s, rounded up, and a second
    assert performance.log_power.shape == (n_frames, SPEC.n_bins)
    assert performance.waveform.shape == ((n_frames - 1) * 256,)
    assert len(performance.waveform) / 44100 == pytest.approx(2.5, abs=0.01)
    expected = roll.rolls_from_score(score_of(60, 62, 64), SPEC, n_frames=n_frames)
    np.testing.assert_array_equal(performance.pianoroll, expected.pianoroll)


def test_blocks_are_the_performance_and_the_first_comes_after_two_windows():
    voice, shapes = voice_that(frame_by_frame, window_frames=864)
    score, settings = score_of(*[60, 62, 64, 65] * 6), render.Settings(iterations=1)
    piece = render.Piece(score, voice)
    blocks, n_windows = [], None
    for block in piece.blocks(settings):
        blocks.append(block)
        if len(block.waveform) and n_windows is None:
            n_windows = sum(shape[0] for shape in shapes)
    assert n_windows == 2
    whole = render.perform(score, voice, settings=settings)
    np.testing.assert_array_equal(np.concatenate([block.waveform for block in blocks]), whole.waveform)
    assert len(whole.waveform) == piece.n_samples


def test_a_long_rest_is_silent_and_notes_are_as_drawn():
    loud, _ = voice_that(lambda pianoroll, onset_offset: np.full((*pianoroll.shape[:2], SPEC.n_bins), 3, np.float32))
    notes = [Note(Fraction(0), Fraction(1), 60), Note(Fraction(5), Fraction(6), 60)]
    performance = render.perform(score_from_notes("rest", notes), loud, settings=render.Settings(iterations=0))
    rate = float(SPEC.frame_rate_hz)
    sounds = np.r_[0 : int(1.4 * rate), int(5 * rate) : int(6.4 * rate)]
    np.testing.assert_allclose(performance.log_power[sounds], 3, atol=1e-6)  # shares of two windows add up to 1
    np.testing.assert_array_equal(performance.log_power[int(2.1 * rate) : int(4.8 * rate)], 0)
    assert performance.log_power[-1].max() < 0.01  # it does not break off
    assert np.abs(performance.waveform[int(2.2 * 44100) : int(4.7 * 44100)]).max() < 1e-6


def test_a_score_without_notes_is_refused():
    voice, _ = voice_that(frame_by_frame)
    empty = dataclasses.replace(score_of(60), notes=())
    with pytest.raises(InputError, match="piece: has no notes to perform"):
        render.perform(empty, voice)


def test_the_same_seed_plays_the_same_samples(tiny_model):
    voice = savedmodel.open_voice(tiny_model)
    settings = render.Settings(iterations=3, seed=4, phase_start="random")
    first, second = (render.perform(score_of(60, 67), voice, settings=settings).waveform for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert np.isfinite(first).all() and np.abs(first).max() > 1e-5
    for change in ({"iterations": 6}, {"seed": 5}, {"phase_start": "spsi"}):
        other = render.perform(score_of(60, 67), voice, settings=dataclasses.replace(settings, **change)).waveform
        assert np.abs(other - first).max() > 1e-3 * np.abs(first).max()


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
