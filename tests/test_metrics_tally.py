"""Tallies of segments add up to those of the whole, and count what they say they count."""

from fractions import Fraction

import mir_eval
import numpy as np
import pytest

from pnet_tf import metrics_tally
from pnet_tf.metrics_sound import Sound
from pnet_tf.score import Note, score_from_notes
from pnet_tf.spec import FeatureSpec

SPEC = FeatureSpec()
RATE_HZ = SPEC.sample_rate_hz
N_SAMPLES = 3 * RATE_HZ
# Six notes in three seconds: each 0.4 s, with a rest of 0.1 s before it.
NOTES = [(k * RATE_HZ // 2 + RATE_HZ // 10, (k + 1) * RATE_HZ // 2, (60, 64, 67, 72)[k % 4]) for k in range(6)]


def waveform_of(notes, *, decay=4.0, n_partials=3, noise=1e-4):
    """Tones that fade to nothing at their ends, over a little noise: float32 [N_SAMPLES]."""
    waveform = noise * np.random.default_rng(5).standard_normal(N_SAMPLES)
    for start, end, pitch in notes:
        t = np.arange(end - start) / RATE_HZ
        phase = 2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * t
        tone = sum(np.sin(k * phase) / k for k in range(1, n_partials + 1))
        waveform[start:end] += 0.3 * tone * np.exp(-decay * t) * np.minimum(1, (t[-1] - t) / 0.05)
    return waveform.astype(np.float32)


def score_of(*notes):
    return score_from_notes("piece", [Note(Fraction(str(start)), Fraction(str(end)), pitch) for start, end, pitch in notes])


SCORE = score_of(*((Fraction(a, RATE_HZ), Fraction(b, RATE_HZ), pitch) for a, b, pitch in NOTES))


@pytest.fixture(scope="module")
def sounds():
    """A recording, and one whose third note is missing and that has some noise."""
    other = waveform_of([note for k, note in enumerate(NOTES) if k != 2], noise=1e-3)
    return Sound(waveform_of(NOTES), SPEC), Sound(other, SPEC)


def test_the_segments_add_up_to_the_whole(sounds):
    whole, parts = (metrics_tally.tally(*sounds, SCORE, n_segments=n) for n in (1, 3))
    assert whole.keys() == parts.keys()
    for name, tally in whole.items():
        assert tally.shape[0] == 1 and parts[name].shape == (3, tally.shape[1])
        np.testing.assert_allclose(parts[name].sum(axis=0), tally[0], rtol=1e-9, atol=1e-6, err_msg=name)


def test_a_segment_holds_what_happens_in_it(sounds):
    """Two notes a segment; the first of the second is missing."""
    tallies = metrics_tally.tally(*sounds, SCORE, n_segments=3)
    met, wanted, _ = tallies["onsets"].T
    assert wanted.tolist() == [2, 2, 2]
    assert met.tolist() == [2, 1, 2]
    distance, frames = tallies["log_mel"].T
    assert distance[1] / frames[1] > 1.5 * distance[2] / frames[2]


def test_onsets_are_matched_as_mir_eval_matches_them(sounds):
    met, wanted, heard = metrics_tally.tally(*sounds, SCORE)["onsets"][0]
    onsets = metrics_tally.score_onsets_sec(SCORE, 3.0)
    expected = mir_eval.onset.f_measure(onsets, sounds[1].onsets_sec, window=0.05)
    assert (2 * met / (wanted + heard), met / heard, met / wanted) == pytest.approx(expected)


def test_the_onsets_of_a_chord_are_one_and_those_after_the_end_none():
    score = score_of((0.1, 0.5, 60), (0.1, 0.5, 64), (0.12, 0.5, 67), (0.125, 0.5, 70), (0.15, 0.5, 72), (2.0, 2.5, 60))
    np.testing.assert_allclose(metrics_tally.score_onsets_sec(score, 2.0), [0.1, 0.15])


def test_pitch_is_asked_for_where_one_note_sounds_alone_for_the_whole_of_the_trackers_window():
    """A4 alone for a second, a chord for half of one, silence; the window reaches 46 ms to both sides."""
    score = score_of((0, 1.5, 69), (1, 1.5, 76))
    sound = Sound(np.ones(2 * RATE_HZ, np.float32), SPEC)
    wanted = metrics_tally.single_pitch_hz(score, sound)
    at_sec = np.arange(len(wanted)) * 1024 / RATE_HZ
    np.testing.assert_allclose(wanted, np.where((at_sec > 0.046) & (at_sec < 0.954), 440.0, 0.0))


def test_a_frame_between_two_notes_has_no_one_pitch_but_one_between_two_of_the_same_has():
    sound = Sound(np.ones(2 * RATE_HZ, np.float32), SPEC)
    apart = metrics_tally.single_pitch_hz(score_of((0, 1, 69), (1, 2, 71)), sound)
    again = metrics_tally.single_pitch_hz(score_of((0, 1, 69), (1, 2, 69)), sound)
    assert (apart > 0).sum() == (again > 0).sum() - 4


def test_notes_of_a_tenth_of_a_second_played_as_written_have_their_pitches():
    """Frames between notes have no part in it: a tracker hears one note or the other there."""
    pitches = [69, 72, 76, 71, 74, 77] * 4
    length = RATE_HZ // 8
    sound = Sound(waveform_of([(k * length, (k + 1) * length, pitch) for k, pitch in enumerate(pitches)]), SPEC)
    score = score_of(*((Fraction(k, 8), Fraction(k + 1, 8), pitch) for k, pitch in enumerate(pitches)))
    right, wanted = metrics_tally.tally(sound, sound, score)["pitch"][0]
    assert right / wanted > 0.95 and wanted >= len(pitches)


@pytest.mark.parametrize(("moved", "share"), [(0, (0.97, 1)), (-12, (0, 0.03)), (-7, (0, 0.03)), (7, (0, 0.03)), (12, (0, 0.03))])
def test_leaps_that_are_played_as_written_have_their_pitches_and_an_octave_beside_has_not(moved, share):
    """Notes of a fifth of a second that leap up by a sixth and ring on: librosa's own numbers hear many an octave too low."""
    pitches = [60, 69, 62, 71, 64, 73, 60, 68, 59, 67, 76, 67, 59, 68]
    length = RATE_HZ // 5
    played = [(k * length, min((k + 2) * length, N_SAMPLES), pitch + moved) for k, pitch in enumerate(pitches)]
    sound = Sound(waveform_of(played, decay=20, n_partials=8), SPEC)
    score = score_of(*((Fraction(k, 5), Fraction(k + 1, 5), pitch) for k, pitch in enumerate(pitches)))
    right, wanted = metrics_tally.tally(sound, sound, score)["pitch"][0]
    assert share[0] <= right / wanted <= share[1] and wanted > 40


def test_the_right_pitch_is_counted_and_a_wrong_one_is_not():
    """Two seconds of A4; the score wants A4, then B4, and in the second of the chord nothing."""
    tone = Sound(np.sin(2 * np.pi * 440 * np.arange(3 * RATE_HZ) / RATE_HZ), SPEC)
    score = score_of((0, 1, 69), (1, 2, 71), (2, 3, 60), (2, 3, 64))
    right, wanted = metrics_tally.tally(tone, tone, score, n_segments=3)["pitch"].T
    assert wanted.tolist() == [40, 39, 0]
    np.testing.assert_allclose(right, [40, 0, 0], atol=1)


@pytest.mark.parametrize(("shift_cents", "share"), [(40, 1.0), (60, 0.0)])
def test_a_pitch_may_be_50_cents_off(shift_cents, share):
    hz = 440 * 2 ** (shift_cents / 1200)
    tone = Sound(np.sin(2 * np.pi * hz * np.arange(RATE_HZ) / RATE_HZ), SPEC)
    right, wanted = metrics_tally.tally(tone, tone, score_of((0, 1, 69)))["pitch"][0]
    assert right / wanted == pytest.approx(share, abs=0.05)


def test_a_score_of_chords_alone_asks_for_no_pitch(sounds):
    chords = score_of((0, 3, 60), (0, 3, 64))
    assert metrics_tally.tally(*sounds, chords)["pitch"].tolist() == [[0, 0]]


def test_levels_are_those_above_a_recording_s_own_mean(sounds):
    """So that recordings of different loudness, pooled, do not correlate by that alone."""
    n, ours, theirs, *_ = metrics_tally.tally(*sounds, SCORE)["level"][0]
    assert n == 1 + N_SAMPLES // 512
    np.testing.assert_allclose([ours, theirs], 0, atol=1e-6)


def test_two_lengths_are_refused(sounds):
    with pytest.raises(ValueError, match="132300 samples beside 5"):
        metrics_tally.tally(sounds[0], Sound(np.ones(5, np.float32), SPEC), SCORE)
