"""Labels that belong to a sound raise no warning; late, early and foreign ones and a foreign tuning do."""

import dataclasses
from fractions import Fraction

import librosa
import numpy as np
import pytest

from pnet_tf.alignment import OnsetProbe, check_alignment
from pnet_tf.score_notes import Note, Score
from pnet_tf.spec import FeatureSpec

SPEC = FeatureSpec()
RATE_HZ = SPEC.sample_rate_hz
DURATION_SEC = 16


def uneven_score(seed: int, *, n_notes: int = 40, end_sec: float = DURATION_SEC - 1) -> Score:
    """Notes 0.15 to 0.6 s apart: no shift brings them onto each other."""
    rng = np.random.default_rng(seed)
    starts = np.cumsum(rng.uniform(0.15, 0.6, n_notes))
    starts = starts / starts[-1] * end_sec
    pitches = rng.integers(60, 84, n_notes)
    return Score(
        "uneven",
        tuple(
            Note(Fraction(int(start * RATE_HZ), RATE_HZ), Fraction(int((start + 0.3) * RATE_HZ), RATE_HZ), int(pitch))
            for start, pitch in zip(starts, pitches, strict=True)
        ),
    )


def plucked(score: Score, *, cents: float = 0.0, seconds: float = DURATION_SEC) -> np.ndarray:
    """Each note four decaying partials, at RMS 0.05 over the whole: log power [frames, bins]."""
    waveform = np.random.default_rng(9).normal(0, 1e-4, round(seconds * RATE_HZ))
    for note in score.notes:
        start = round(note.start_sec * RATE_HZ)
        t = np.arange(min(RATE_HZ // 2, len(waveform) - start)) / RATE_HZ
        f0_hz = 440 * 2 ** ((note.pitch - 69 + cents / 100) / 12)
        for partial in range(1, 5):
            waveform[start : start + len(t)] += np.sin(2 * np.pi * partial * f0_hz * t) * np.exp(-6 * t) / partial
    waveform *= SPEC.level_rms / np.sqrt(np.mean(waveform**2))
    stft = librosa.stft(waveform, n_fft=SPEC.n_fft, hop_length=SPEC.hop_samples, center=True, pad_mode="constant")
    return np.log1p((SPEC.target_gain * np.abs(stft.T)) ** 2).astype(np.float32)


def moved(score: Score, milliseconds: int) -> Score:
    by = Fraction(milliseconds, 1000)
    return dataclasses.replace(score, notes=tuple(Note(n.start_sec + by, n.end_sec + by, n.pitch) for n in score.notes))


SCORE = uneven_score(1)


@pytest.fixture(scope="module")
def log_power() -> np.ndarray:
    return plucked(SCORE)


def test_labels_in_place_raise_no_warning(log_power):
    found = check_alignment(log_power, SCORE, SPEC)
    assert found.warnings == ()
    assert found.onset_share >= 0.95
    assert found.chance_share < 0.6
    assert abs(found.best_shift_sec) < 0.015
    assert abs(found.tuning_cents) < 8


@pytest.mark.parametrize(("milliseconds", "word"), [(150, "late"), (300, "late"), (-80, "early"), (-200, "early")])
def test_moved_labels_are_noticed_with_the_move_that_mends_them(log_power, milliseconds, word):
    found = check_alignment(log_power, moved(SCORE, milliseconds), SPEC)
    assert found.best_shift_sec == pytest.approx(-milliseconds / 1000, abs=0.015)
    assert len(found.warnings) == 1
    assert f"ms too {word}" in found.warnings[0]
    assert found.share_at_best_shift >= 0.95 > found.onset_share


def test_a_move_within_the_tolerance_is_let_pass(log_power):
    assert check_alignment(log_power, moved(SCORE, 35), SPEC).warnings == ()


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_labels_of_another_recording_are_noticed(log_power, seed):
    found = check_alignment(log_power, uneven_score(seed), SPEC)
    assert "do not fit" in found.warnings[0]
    assert found.onset_fit < 0.85


@pytest.mark.parametrize("cents", [-35, 0, 12, 40])
def test_tuning_is_measured_and_only_a_foreign_one_is_noticed(cents):
    found = check_alignment(plucked(SCORE, cents=cents), SCORE, SPEC)
    assert found.tuning_cents == pytest.approx(cents, abs=8)
    assert any("tuned" in warning for warning in found.warnings) == (abs(cents) > 20)


def test_half_precision_says_the_same(log_power):
    whole, half = check_alignment(log_power, SCORE, SPEC), check_alignment(log_power.astype(np.float16), SCORE, SPEC)
    assert half.best_shift_sec == whole.best_shift_sec
    assert half.onset_share == pytest.approx(whole.onset_share, abs=0.03)
    assert half.onset_fit == pytest.approx(whole.onset_fit, rel=0.01)


@pytest.mark.parametrize("block_frames", [1, 3, 250, 10_000])
def test_blocks_say_what_the_whole_says(log_power, block_frames):
    probe = OnsetProbe(SPEC)
    for start in range(0, len(log_power), block_frames):
        probe.add(log_power[start : start + block_frames])
    probe.add(log_power[:0])
    # Frames for the tuning are taken at the same times whatever the blocks.
    step = round(0.05 * float(SPEC.frame_rate_hz))
    np.testing.assert_array_equal(np.concatenate(probe._tuning), log_power[::step, : probe._n_tuning_bins])
    found, whole = (dataclasses.asdict(a) for a in (probe.result(SCORE), check_alignment(log_power, SCORE, SPEC)))
    assert found.pop("warnings") == whole.pop("warnings")
    assert found == pytest.approx(whole, rel=1e-5)


def test_a_sound_that_ends_before_its_labels_is_noticed(log_power):
    warnings = check_alignment(log_power[: len(log_power) * 3 // 4], SCORE, SPEC).warnings
    assert any("labels end at 15.3 s, but the sound at 12.0 s" in warning for warning in warnings)


@pytest.mark.parametrize(("move", "expected"), [(0, "the last 12.7 s"), (11_000, "the first 11.4 s")])
def test_sound_without_labels_is_noticed(move, expected):
    score = moved(SCORE, move)
    warnings = check_alignment(plucked(score, seconds=28 if move == 0 else 27), score, SPEC).warnings
    assert [expected in warning for warning in warnings] == [True]


def test_silence_and_nothing_at_all_give_figures_not_faults():
    for n_frames in (0, 1, 3, 500):
        found = check_alignment(np.zeros((n_frames, SPEC.n_bins), np.float32), SCORE, SPEC)
        assert (found.onset_share, found.best_shift_sec, found.onset_fit, found.tuning_cents) == (0, 0, 0, 0)
        assert "do not fit" in found.warnings[0]


def test_even_notes_are_not_taken_for_late_ones():
    """Every fourth of a second a note: the labels fit as well two notes later, and the nearest fit counts."""
    quarter = Fraction(1, 4)
    even = Score("even", tuple(Note(k * quarter, (k + 1) * quarter, 60 + k % 7) for k in range(4 * DURATION_SEC - 8)))
    found = check_alignment(plucked(even), even, SPEC)
    assert abs(found.best_shift_sec) < 0.02
    assert found.warnings == ()


def test_labels_that_meet_less_than_the_mean_strength_give_a_figure():
    """One note where nothing rises, in a sound that rises elsewhere."""
    log_power = np.zeros((400, SPEC.n_bins), np.float32)
    log_power[200::20] = 5.0
    score = Score("one", (Note(Fraction(0), Fraction(1), 69),))
    found = check_alignment(log_power, score, SPEC)
    assert found.onset_fit < 0 and found.warnings
