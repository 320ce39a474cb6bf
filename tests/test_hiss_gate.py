"""The gate, in-graph and in NumPy: silence where a network is off by little, fades in rests, and notes as they were."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pnet_tf import griffin_lim, hiss_gate, light_gate, stft
from pnet_tf.spec import FeatureSpec

SPEC = FeatureSpec()
RATE_HZ = float(SPEC.frame_rate_hz)
ONES = np.ones((1, 50), np.float32)
both = pytest.mark.parametrize("room", [hiss_gate, light_gate], ids=["graph", "light"])


def opened(room, *stretches_sec, seconds=8):
    """`rest_gain` of notes from and to these seconds: float32 [frames]."""
    sounding = np.zeros(int(seconds * RATE_HZ), bool)
    for first, end in stretches_sec:
        sounding[int(first * RATE_HZ) : int(end * RATE_HZ)] = True
    return np.asarray(room.rest_gain(sounding[None], SPEC))[0]


def at(gain, second):
    return gain[round(second * RATE_HZ)]


@both
def test_a_rest_fades_out_and_the_next_note_finds_the_gate_open(room):
    gain = opened(room, (1, 2), (5, 6))
    assert (gain[int(1 * RATE_HZ) : int(2.49 * RATE_HZ)] == 1).all()
    assert at(gain, 2.75) == pytest.approx(0.5, abs=0.05)
    assert (gain[int(3.02 * RATE_HZ) : int(4.89 * RATE_HZ)] == 0).all()
    assert at(gain, 4.925) == pytest.approx(0.5, abs=0.1)
    assert (gain[int(4.96 * RATE_HZ) : int(6.49 * RATE_HZ)] == 1).all()
    assert gain[-1] == 0


@both
def test_a_short_rest_and_what_never_sounds(room):
    assert (opened(room, (0, 1), (1.5, 8)) == 1).all()
    assert (opened(room) == 0).all()
    assert opened(room, (0, 0.01), seconds=0.02).tolist() == [1.0] * 3


@both
@settings(max_examples=50, deadline=None)
@given(pattern=st.lists(st.booleans(), min_size=1, max_size=400), stretch=st.integers(1, 60))
def test_the_gain_is_what_counting_frames_gives(room, pattern, stretch):
    sounding = np.repeat(pattern, stretch)
    frames = np.arange(len(sounding))
    notes = np.flatnonzero(sounding)
    far = 10_000
    since = np.array([min((t - n for n in notes[notes <= t]), default=far) for t in frames]) if len(notes) < 300 else None
    if since is None:
        before = np.maximum.accumulate(np.where(sounding, frames, -far))
        since = frames - before
    after = np.minimum.accumulate(np.where(sounding, frames, 2 * far)[::-1])[::-1]
    closing = 1 - (since / RATE_HZ - 0.5) / 0.5
    opening = 1 - ((after - frames) / RATE_HZ - 0.05) / 0.05
    expected = np.sin(np.pi / 2 * np.clip(np.maximum(closing, opening), 0, 1)) ** 2
    found = np.asarray(room.rest_gain(sounding[None], SPEC))[0]
    np.testing.assert_allclose(found, expected, atol=1e-4)


@both
def test_notes_are_left_as_they_are(room):
    """Bit for bit, from a log power of 0.4 on."""
    drawn = np.random.default_rng(0).uniform(0.4, 12, (1, 50, SPEC.n_bins)).astype(np.float32)
    np.testing.assert_array_equal(room.gate(drawn, ONES), drawn)


@both
def test_what_is_silent_but_for_small_errors_becomes_silence(room):
    drawn = np.random.default_rng(0).uniform(-0.1, 0.1, (1, 50, SPEC.n_bins)).astype(np.float32)
    np.testing.assert_array_equal(room.gate(drawn, ONES), 0)


@both
def test_what_is_silent_has_the_noise_of_the_recordings_and_a_rest_has_none(room):
    """Bin by bin, up to 0.1; what is louder stays; the gate closes on both alike."""
    noise = np.linspace(0, 0.3, SPEC.n_bins, dtype=np.float32)
    floor = np.minimum(noise, np.float32(0.1))
    drawn = np.stack([np.full(SPEC.n_bins, level, np.float32) for level in (-1.0, 0.05, 5.0)])[None]
    gated = np.asarray(room.gate(drawn, ONES[:, :3], noise_floor=noise))[0]
    np.testing.assert_array_equal(gated, [floor, floor, drawn[0, 2]])
    half = np.asarray(room.gate(drawn, ONES[:, :3] / 2, noise_floor=noise))[0]
    np.testing.assert_allclose(np.expm1(half[:2]), np.expm1([floor, floor]) / 4, atol=1e-6)
    assert not np.asarray(room.gate(drawn, 0 * ONES[:, :3], noise_floor=noise)).any()


@both
def test_nothing_rises_above_the_ceiling_of_its_bin(room):
    ceiling = np.linspace(3, 9, SPEC.n_bins, dtype=np.float32)
    drawn = np.random.default_rng(0).uniform(0.4, 12, (1, 50, SPEC.n_bins)).astype(np.float32)
    gated = np.asarray(room.gate(drawn, ONES, ceiling=ceiling))
    np.testing.assert_array_equal(gated, np.minimum(drawn, ceiling))


@both
def test_peaks_rise_by_what_is_known_and_stay_under_the_ceiling(room):
    """Nothing below the first, linear between, the same above the last."""
    peaks = np.array([[4, 6, 7], [0, 1, 3]], np.float32)
    drawn = np.array([0.5, 3.9, 4, 5, 6, 6.5, 7, 9], np.float32)[None, None]
    expected = np.array([0.5, 3.9, 4, 5.5, 7, 8.5, 10, 12], np.float32)
    np.testing.assert_allclose(np.asarray(room.gate(drawn, ONES[:, :1], peaks=peaks))[0, 0], expected, atol=1e-6)
    held = np.asarray(room.gate(drawn, ONES[:, :1], peaks=peaks, ceiling=np.float32(8)))[0, 0]
    np.testing.assert_allclose(held, np.minimum(expected, 8), atol=1e-6)
    one = np.asarray(room.gate(drawn, ONES[:, :1], peaks=peaks[:, :1]))
    np.testing.assert_array_equal(one, drawn)


@both
@settings(max_examples=100, deadline=None)
@given(drawn=st.floats(-5, 100, width=32), gain=st.floats(0, 1, width=32))
def test_it_only_takes_away_and_scales_the_magnitude(room, drawn, gain):
    gated = float(room.gate(np.full((1, 1, 1), drawn, np.float32), np.full((1, 1), gain, np.float32))[0, 0, 0])
    assert 0 <= gated <= max(drawn, 0)
    if 0.4 <= drawn <= 40:
        magnitude, before = (np.sqrt(np.expm1(value)) for value in (gated, drawn))
        assert magnitude == pytest.approx(gain * before, abs=2e-3 * before + 1e-3)


@both
def test_the_hiss_of_errors_at_silent_bins_goes_and_the_tone_stays(room):
    """An A with ten partials, drawn with errors of 0.03 as a trained voice makes them in bins that are silent."""
    time_sec = np.arange(SPEC.sample_rate_hz) / SPEC.sample_rate_hz
    tone = 0.05 * sum(np.sin(2 * np.pi * 440 * k * time_sec) / k for k in range(1, 11))
    true = stft.log_power(tf.constant(tone[None], tf.float32), SPEC)
    drawn = true + 0.03 * np.random.default_rng(0).normal(size=true.shape).astype(np.float32)
    ones = np.ones(true.shape[:2], np.float32)

    def spectrum_db(log_power):
        sound = griffin_lim.griffin_lim(stft.magnitude_from_log_power(log_power, SPEC), SPEC, iterations=8)
        power = tf.square(tf.abs(stft.stft(sound, SPEC))).numpy()[0, 30:-30].mean(axis=0)
        return 10 * np.log10(power + 1e-12)

    clean, hissing, gated = spectrum_db(true), spectrum_db(drawn), spectrum_db(room.gate(drawn.numpy(), ones))
    silent = slice(600, 1000)  # 12.9 to 21.5 kHz
    assert hissing[silent].mean() - gated[silent].mean() > 20
    partials = [round(440 * k * SPEC.n_fft / SPEC.sample_rate_hz) for k in range(1, 11)]
    np.testing.assert_allclose(gated[partials], clean[partials], atol=0.5)
