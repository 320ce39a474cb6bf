"""Waveform to short-time Fourier transform to log power, and each step back; in-graph, float32."""

import math

import numpy as np
import tensorflow as tf

from pnet_tf.spec import FeatureSpec


def _window(spec: FeatureSpec) -> np.ndarray:
    """The periodic Hann window, float32 [n_fft]."""
    phase = 2 * np.pi * np.arange(spec.n_fft) / spec.n_fft
    return (0.5 - 0.5 * np.cos(phase)).astype(np.float32)


def stft(waveform: tf.Tensor, spec: FeatureSpec) -> tf.Tensor:
    """The centred, zero-padded short-time Fourier transform.

    Args:
      waveform: float32 [batch, samples].
      spec: gives window, hop and frame length.

    Returns:
      complex64 [batch, frames, bins] with `frames = 1 + samples // hop_samples`.

    Source: equals `librosa.stft(center=True, pad_mode="constant")`, phase too; tests/test_stft.py.
    """
    half = spec.n_fft // 2
    return stft_of_padded(tf.pad(waveform, [[0, 0], [half, half]]), spec)


def stft_of_padded(padded: tf.Tensor, spec: FeatureSpec) -> tf.Tensor:
    """The transform of a waveform that brings half a frame of its surroundings along at both ends.

    Args:
      padded: float32 [batch, samples]; frame 0 begins at its first sample.
      spec: gives window, hop and frame length.

    Returns:
      complex64 [batch, 1 + (samples - n_fft) // hop_samples, bins].
    """
    frames = tf.signal.frame(padded, spec.n_fft, spec.hop_samples, pad_end=False)  # [batch, frames, n_fft]
    return tf.signal.rfft(frames * _window(spec))


def inverse_stft(stft: tf.Tensor, spec: FeatureSpec) -> tf.Tensor:
    """The waveform whose transform is nearest to `stft`, exact to both edges.

    Overlap-add of the windowed frames, divided by the sum of the squared windows that really cover each sample.

    Args:
      stft: complex64 [batch, frames, bins].
      spec: gives window, hop and frame length.

    Returns:
      float32 [batch, (frames - 1) * hop_samples].

    Source: Griffin & Lim 1984, equation 6; equals `librosa.istft(center=True)`; tests/test_stft.py.
    """
    window = _window(spec)
    frames = tf.signal.irfft(stft, fft_length=[spec.n_fft]) * window  # [batch, frames, n_fft]
    n_frames = tf.shape(stft)[1]
    squares = tf.broadcast_to(tf.constant(window**2), [1, n_frames, spec.n_fft])
    covered = _trim(_overlap_add(squares, spec), spec)
    # Between the edges that were trimmed off every sample is covered; the maximum guards one-frame inputs alone.
    return _trim(_overlap_add(frames, spec), spec) / tf.maximum(covered, np.finfo(np.float32).tiny)


def _overlap_add(frames: tf.Tensor, spec: FeatureSpec) -> tf.Tensor:
    """Sums frames [batch, frames, n_fft] laid hop by hop: [batch, (frames - 1) * hop_samples + n_fft]."""
    n_hops = spec.n_fft // spec.hop_samples
    batch, n_frames = tf.shape(frames)[0], tf.shape(frames)[1]
    hops = tf.reshape(frames, [batch, n_frames, n_hops, spec.hop_samples])
    total = tf.add_n([tf.pad(hops[:, :, k], [[0, 0], [k, n_hops - 1 - k], [0, 0]]) for k in range(n_hops)])
    return tf.reshape(total, [batch, (n_frames + n_hops - 1) * spec.hop_samples])


def _trim(padded: tf.Tensor, spec: FeatureSpec) -> tf.Tensor:
    """Takes the half frame of padding off both ends."""
    half = spec.n_fft // 2
    return padded[:, half : tf.shape(padded)[1] - half]


def log_power_from_stft(stft: tf.Tensor, spec: FeatureSpec) -> tf.Tensor:
    """The network's target, `log1p((target_gain * |stft|) ** 2)`: complex64 -> float32, shape [batch, frames, bins]."""
    power = tf.square(tf.math.real(stft)) + tf.square(tf.math.imag(stft))
    return tf.math.log1p(power * spec.target_gain**2)


def log_power(waveform: tf.Tensor, spec: FeatureSpec) -> tf.Tensor:
    """Log power of a waveform: float32 [batch, samples] -> float32 [batch, 1 + samples // hop_samples, bins]."""
    return log_power_from_stft(stft(waveform, spec), spec)


def magnitude_from_log_power(log_power: tf.Tensor, spec: FeatureSpec) -> tf.Tensor:
    """The exact inverse of the target's scale, `sqrt(expm1(max(log_power, 0))) / target_gain`.

    Args:
      log_power: float32 [batch, frames, bins]; what lies below 0 (a network may say so) counts as 0.
      spec: gives the gain.

    Returns:
      float32 [batch, frames, bins], at least 0.
    """
    # The largest finite float32 bounds what a network can say; without it one wild bin makes the whole piece NaN.
    bounded = tf.clip_by_value(log_power, 0.0, math.log(np.finfo(np.float32).max) - 1)
    return tf.sqrt(tf.math.expm1(bounded)) / spec.target_gain
