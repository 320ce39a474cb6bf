"""Phases to start Griffin-Lim from, read off the magnitude; in-graph, and block by block with what went before."""

import math
from typing import NamedTuple

import tensorflow as tf

from pnet_tf.light_phase import HANN_AS_GAUSSIAN, MAIN_LOBE_BINS, PEAK_DOUBLINGS, PHASE_STARTS, TINY
from pnet_tf.spec import FeatureSpec


class LastFrame(NamedTuple):
    """The frame before a block, from which its phases go on; of a kind that `tf.function` takes and gives.

    Attributes:
      magnitude: float32 [batch, bins].
      cycles: its phase in cycles, float32 [batch, bins].
    """

    magnitude: tf.Tensor
    cycles: tf.Tensor


def start_cycles(
    magnitude: tf.Tensor,
    spec: FeatureSpec,
    *,
    phase_start: str = "spsi",
    seed: int | tf.Tensor = 0,
    last: LastFrame | None = None,
    first_frame: int | tf.Tensor = 0,
) -> tf.Tensor:
    """Phases that fit a magnitude, in cycles.

    `spsi` is single-pass spectrogram inversion: in each frame every bin belongs to the peak that it rises to; the peak
    turns on from the frame before with its interpolated frequency, and its bins follow it. Frequency and the phase
    between neighbouring bins are the two gradients of phase-gradient heap integration, so that attacks are told from
    steady partials. `advance` lets every bin turn on by itself. `random` is uniform, and the same for a frame whatever
    block it comes in.

    Args:
      magnitude: float32 [batch, frames, bins], at least 0.
      spec: gives window, hop and frame length.
      phase_start: one of `PHASE_STARTS`.
      seed: of `random`; the others are not random.
      last: the frame before the first; None where the sound begins.
      first_frame: index of the first frame in the whole sound, for `random`.

    Returns:
      float32 [batch, frames, bins]; whole cycles mean nothing. A frame's phase counts from its first sample.

    Raises:
      ValueError: an unknown `phase_start`.

    Source: Beauregard, Harish, Wyse 2015 (peaks); Prusa, Balazs, Sondergaard 2017, equations 19 and 20 (gradients); on
    real violin 0.5 dB short of their heap, tests/test_phase_start.py.
    """
    if phase_start == "random":
        return _random_cycles(magnitude, seed, first_frame)
    if phase_start not in PHASE_STARTS:
        raise ValueError(f"phase_start is {phase_start!r}, expected one of {', '.join(PHASE_STARTS)}")
    if last is None:
        last = nothing_before(magnitude, spec)
    around = tf.concat([last.magnitude[:, None], magnitude], axis=1)
    log_magnitude = tf.math.log(around + TINY)
    advance = _advance_cycles(log_magnitude, spec)
    # Between two frames a bin turns with the mean of their frequencies.
    turned = 0.5 * (advance[:, 1:] + advance[:, :-1])  # [batch, frames, bins]
    if phase_start == "advance":
        return tf.cumsum(tf.concat([last.cycles[:, None], turned - tf.round(turned)], axis=1), axis=1)[:, 1:]
    peak = _peaks(magnitude)
    from_zero = _cycles_from_bin_zero(log_magnitude, spec)[:, 1:]
    step = _gather(turned - from_zero, peak) + from_zero
    return _follow(last.cycles, peak, step - tf.round(step))


def nothing_before(magnitude: tf.Tensor, spec: FeatureSpec) -> LastFrame:
    """What phases go on from where a sound begins: a frame like the first, with its energy in the middle.

    Args:
      magnitude: float32 [batch, frames, bins].
      spec: gives the bins.
    """
    cycles = 0.5 * tf.range(spec.n_bins, dtype=tf.float32)
    return LastFrame(magnitude[:, 0], tf.zeros_like(magnitude[:, 0]) + cycles - tf.floor(cycles))


def _random_cycles(magnitude: tf.Tensor, seed: int | tf.Tensor, first_frame: int | tf.Tensor) -> tf.Tensor:
    """Uniform numbers from 0 to 1 that depend on seed and frame alone: float32 [batch, frames, bins]."""
    batch, n_frames, n_bins = tf.unstack(tf.shape(magnitude))
    seeds = tf.stack([tf.broadcast_to(tf.cast(seed, tf.int32), [n_frames]), tf.range(n_frames) + first_frame], axis=1)
    frames = tf.map_fn(
        lambda pair: tf.random.stateless_uniform([batch, n_bins], pair), seeds, fn_output_signature=tf.float32
    )
    return tf.transpose(frames, [1, 0, 2])


def _advance_cycles(log_magnitude: tf.Tensor, spec: FeatureSpec) -> tf.Tensor:
    """Cycles that each bin turns in a hop, less the whole ones of its middle: float32 [batch, frames, bins].

    The slope of the log magnitude over frequency shows how far the partial lies from the middle of the bin.
    """
    edges = tf.pad(log_magnitude, [[0, 0], [0, 0], [1, 1]], mode="SYMMETRIC")
    slope = 0.5 * (edges[:, :, 2:] - edges[:, :, :-2])
    offset_bins = tf.clip_by_value(slope / (2 * math.pi * HANN_AS_GAUSSIAN), -MAIN_LOBE_BINS, MAIN_LOBE_BINS)
    middle = tf.range(spec.n_bins, dtype=tf.float32) * (spec.hop_samples / spec.n_fft)
    return middle - tf.floor(middle) + offset_bins * (spec.hop_samples / spec.n_fft)


def _cycles_from_bin_zero(log_magnitude: tf.Tensor, spec: FeatureSpec) -> tf.Tensor:
    """Phase of each bin against bin 0 of its frame, in cycles: float32 [batch, frames, bins].

    The slope of the log magnitude over time shows where in the frame a partial's energy lies; of what lies in the middle
    neighbouring bins stand half a cycle apart, for a frame's phase counts from its first sample.
    """
    edges = tf.pad(log_magnitude, [[0, 0], [1, 1], [0, 0]], mode="SYMMETRIC")
    slope = 0.5 * (edges[:, 2:] - edges[:, :-2])
    each = -slope * (HANN_AS_GAUSSIAN * spec.n_fft / (2 * math.pi * spec.hop_samples)) - 0.5
    return tf.cumsum(tf.concat([tf.zeros_like(each[:, :, :1]), 0.5 * (each[:, :, 1:] + each[:, :, :-1])], axis=2), axis=2)


def _peaks(magnitude: tf.Tensor) -> tf.Tensor:
    """The peak that each bin rises to, or the bin itself where it has none near: int32 [batch, frames, bins]."""
    n_bins = magnitude.shape[-1]
    bins = tf.range(n_bins)
    ends = tf.pad(magnitude, [[0, 0], [0, 0], [1, 1]], constant_values=-1.0)
    left, right = ends[:, :, :-2], ends[:, :, 2:]
    none = tf.constant(n_bins)
    above = tf.where(right > magnitude, none, bins)  # where it does not rise to the right, a peak seen from below
    below = tf.where(left > magnitude, none, n_bins - 1 - bins)
    above = _nearest(above)
    below = n_bins - 1 - tf.reverse(_nearest(tf.reverse(below, [2])), [2])
    peak = tf.where(left > magnitude, tf.where(right > left, above, below), tf.where(right > magnitude, above, bins))
    return tf.where((peak >= 0) & (peak < n_bins), peak, bins)


def _nearest(index: tf.Tensor) -> tf.Tensor:
    """The smallest number at or within 63 bins above each bin: int32 [batch, frames, bins]."""
    n_bins = index.shape[-1]
    for doubling in range(min(PEAK_DOUBLINGS, n_bins.bit_length() - 1)):
        shifted = tf.pad(index[:, :, 2**doubling :], [[0, 0], [0, 0], [0, 2**doubling]], constant_values=n_bins)
        index = tf.minimum(index, shifted)
    return index


def _gather(values: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """`values` at `index` along the last axis; both [..., bins]."""
    return tf.gather(values, index, batch_dims=index.shape.rank - 1)


def _follow(first: tf.Tensor, source: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
    """Runs `cycles[t + 1] = cycles[t][source[t]] + step[t]` over time.

    Args:
      first: float32 [batch, bins], `cycles[0]`.
      source: int32 [batch, frames, bins].
      step: float32 [batch, frames, bins].

    Returns:
      float32 [batch, frames, bins], from `cycles[1]` on.
    """
    by_frame = (tf.transpose(source, [1, 0, 2]), tf.transpose(step, [1, 0, 2]))
    n_frames = tf.shape(by_frame[0])[0]
    cycles = tf.TensorArray(tf.float32, n_frames, element_shape=first.shape)

    def go_on(t: tf.Tensor, now: tf.Tensor, cycles: tf.TensorArray) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
        """One frame, float32 [batch, bins]."""
        now = _gather(now, by_frame[0][t]) + by_frame[1][t]
        now -= tf.round(now)
        return t + 1, now, cycles.write(t, now)

    _, _, cycles = tf.while_loop(lambda t, *_: t < n_frames, go_on, [tf.constant(0), first, cycles])
    return tf.transpose(cycles.stack(), [1, 0, 2])
