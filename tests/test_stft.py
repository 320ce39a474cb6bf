"""STFT, log power and their inverses: values against librosa, and exactness to the edges."""

import librosa
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pnet_tf import stft
from pnet_tf.spec import FeatureSpec

SPEC = FeatureSpec()
SMALL = FeatureSpec(n_fft=64, hop_samples=16)


def noise(n_samples, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, n_samples).astype(np.float32)


def librosa_stft(waveform, spec):
    return librosa.stft(
        waveform, n_fft=spec.n_fft, hop_length=spec.hop_samples, window="hann", center=True, pad_mode="constant"
    ).T


@pytest.mark.parametrize("n_samples", [2048, 5000, 44_100])
def test_stft_equals_librosas_with_phase(n_samples):
    waveform = noise(n_samples)
    got = stft.stft(tf.constant(waveform[None]), SPEC)[0].numpy()
    expected = librosa_stft(waveform, SPEC)
    assert got.shape == (SPEC.n_frames(n_samples), SPEC.n_bins)
    np.testing.assert_allclose(got, expected, atol=2e-5)


def test_frames_are_centred():
    """A click at sample t * hop is loudest in frame t."""
    waveform = np.zeros(40 * 256, np.float32)
    waveform[17 * 256] = 1.0
    power = tf.reduce_sum(stft.log_power(tf.constant(waveform[None]), SPEC), axis=-1)
    assert int(tf.argmax(power, axis=1)[0]) == 17


def test_what_lies_beyond_the_ends_is_silence():
    """Reflection instead of zeros has the same shape and other values."""
    waveform = noise(4096)
    got = stft.stft(tf.constant(waveform[None]), SPEC)[0, 0].numpy()
    padded = np.concatenate([np.zeros(1024, np.float32), waveform[:1024]])
    window = np.hanning(2049)[:-1]
    np.testing.assert_allclose(got, np.fft.rfft(padded * window), atol=2e-5)


@given(st.integers(0, 400), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_the_frame_formula_holds_and_the_inverse_is_exact_to_the_edges(n_samples, seed):
    waveform = noise(n_samples, seed)
    transform = stft.stft(tf.constant(waveform[None]), SMALL)
    assert transform.shape[1] == SMALL.n_frames(n_samples)
    back = stft.inverse_stft(transform, SMALL)[0].numpy()
    assert len(back) == SMALL.n_samples(transform.shape[1])
    np.testing.assert_allclose(back, waveform[: len(back)], atol=1e-6)


def test_inverse_equals_librosas_on_a_transform_that_no_waveform_has():
    random = np.random.default_rng(1)
    wild = (random.normal(size=(40, SPEC.n_bins)) + 1j * random.normal(size=(40, SPEC.n_bins))).astype(np.complex64)
    got = stft.inverse_stft(tf.constant(wild[None]), SPEC)[0].numpy()
    expected = librosa.istft(wild.T, n_fft=SPEC.n_fft, hop_length=SPEC.hop_samples, window="hann", center=True)
    assert got.shape == expected.shape
    # At the very edge one half window covers a sample: both divide by nearly nothing there.
    np.testing.assert_allclose(got[64:-64], expected[64:-64], atol=1e-5)


def test_one_frame_and_no_frame_invert_to_no_sample():
    for n_frames in (0, 1):
        assert stft.inverse_stft(tf.zeros([2, n_frames, SPEC.n_bins], tf.complex64), SPEC).shape == (2, 0)


@pytest.mark.parametrize("gain", [1.0, 100.0])
def test_log_power_is_the_target_of_the_spec(gain):
    spec, waveform = FeatureSpec(target_gain=gain), noise(8000)
    got = stft.log_power(tf.constant(waveform[None]), spec)[0].numpy()
    np.testing.assert_allclose(got, np.log1p((gain * np.abs(librosa_stft(waveform, spec))) ** 2), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("gain", [1.0, 100.0])
def test_magnitude_undoes_log_power(gain):
    spec = FeatureSpec(target_gain=gain)
    magnitude = np.abs(librosa_stft(noise(8000), spec)).astype(np.float32)[None]
    log_power = np.log1p((gain * magnitude) ** 2)
    np.testing.assert_allclose(stft.magnitude_from_log_power(tf.constant(log_power), spec), magnitude, rtol=1e-4, atol=1e-6)


def test_a_network_may_say_less_than_nothing_and_more_than_can_be():
    got = stft.magnitude_from_log_power(tf.constant([[[-3.0, -0.0, 1e4]]]), SPEC).numpy()
    assert got[0, 0, :2].tolist() == [0.0, 0.0]
    assert np.isfinite(got).all()


def test_a_block_with_its_surroundings_has_the_frames_of_the_whole():
    waveform = noise(20_000)
    whole = stft.stft(tf.constant(waveform[None]), SPEC)[0].numpy()
    start = 30 * SPEC.hop_samples - SPEC.n_fft // 2
    block = waveform[start : start + 9 * SPEC.hop_samples + SPEC.n_fft]
    np.testing.assert_array_equal(stft.stft_of_padded(tf.constant(block[None]), SPEC)[0].numpy(), whole[30:40])
