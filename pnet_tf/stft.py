"""Waveform to short-time Fourier transform to log power, and each step back; in-graph, float32."""

import math

import numpy as np
import tensorflow as tf

from pnet_tf.spec import FeatureSpec


def window(spec: FeatureSpec) -> np.ndarray:
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
    return tf.signal.rfft(frames * window(spec))


def stft_of_hops(hops: tf.Tensor, spec: FeatureSpec) -> tf.Tensor:
    """The transform of a padded waveform that is laid out in hops.

    Args:
      hops: float32 [batch, frames + n_fft / hop_samples - 1, hop_samples].
      spec: gives window, hop and frame length.

    Returns:
      complex64 [batch, frames, bins], as `stft_of_padded` of the same samples.
    """
    n_hops = spec.n_fft // spec.hop_samples
    n_frames = (hops.shape[1] or tf.shape(hops)[1]) - (n_hops - 1)
    frames = tf.concat([hops[:, k : k + n_frames] for k in range(n_hops)], axis=2)  # [batch, frames, n_fft]
    return tf.signal.rfft(frames * window(spec))


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
    n_frames = stft.shape[1] or tf.shape(stft)[1]
    covered = trim(samples_from_hops(sum_of_windows(n_frames, spec)[None]), spec)
    # Between the edges that were trimmed off every sample is covered; the maximum guards one-frame inputs alone.
    return trim(samples_from_hops(overlap_add(stft, spec)), spec) / tf.maximum(covered, np.finfo(np.float32).tiny)


def sum_of_windows(n_frames: int | tf.Tensor, spec: FeatureSpec, *, begins: bool | tf.Tensor = True) -> tf.Tensor:
    """Sum of the squared windows that lie over each sample: float32 [frames + n_fft / hop_samples - 1, hop_samples].

    Args:
      n_frames: how many frames there are.
      spec: gives window, hop and frame length.
      begins: whether there are none before them.
    """
    n_hops = spec.n_fft // spec.hop_samples
    squares = np.reshape(np.square(window(spec)), [n_hops, spec.hop_samples])
    frame = tf.range(n_frames + n_hops - 1)[:, None] - tf.range(n_hops)  # whose k-th hop lies at a place
    there = tf.logical_and(frame < n_frames, tf.logical_or(frame >= 0, tf.logical_not(begins)))
    return tf.matmul(tf.cast(there, tf.float32), squares)


def overlap_add(stft: tf.Tensor, spec: FeatureSpec) -> tf.Tensor:
    """Sums the windowed frames of a transform, laid hop by hop.

    Args:
      stft: complex64 [batch, frames, bins].
      spec: gives window, hop and frame length.

    Returns:
      float32 [batch, frames + n_fft / hop_samples - 1, hop_samples], the padded waveform in hops, not divided by anything.
    """
    n_hops = spec.n_fft // spec.hop_samples
    frames = tf.signal.irfft(stft, fft_length=[spec.n_fft]) * window(spec)
    batch, n_frames = tf.shape(frames)[0], frames.shape[1] or tf.shape(frames)[1]
    hops = tf.reshape(frames, [batch, n_frames, n_hops, spec.hop_samples])
    return tf.add_n([tf.pad(hops[:, :, k], [[0, 0], [k, n_hops - 1 - k], [0, 0]]) for k in range(n_hops)])


def samples_from_hops(hops: tf.Tensor) -> tf.Tensor:
    """Lays hops end to end: [batch, hops, hop_samples] -> [batch, hops * hop_samples]."""
    return tf.reshape(hops, [tf.shape(hops)[0], -1])


def trim(padded: tf.Tensor, spec: FeatureSpec) -> tf.Tensor:
    """Takes the half frame of padding off both ends: [batch, samples + n_fft] -> [batch, samples]."""
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
