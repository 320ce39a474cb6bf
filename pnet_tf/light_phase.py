"""Phases to start Griffin-Lim from, read off the magnitude; in NumPy, and block by block with what went before.

`phase_start` is the same in a graph of TensorFlow, but for the numbers of its random start; the tests of both are the same.
"""

import math
from typing import NamedTuple

import numpy as np

from pnet_tf.processors import map_over_frames
from pnet_tf.spec import FeatureSpec

PHASE_STARTS = ("spsi", "advance", "random")
# A Hann window of n samples is nearest to a Gaussian exp(-pi t^2 / g) at g = 0.25645 n^2 (Prusa 2017, table 1).
HANN_AS_GAUSSIAN = 0.25645
# A frequency read off the slope of the log magnitude means something inside the window's main lobe alone.
MAIN_LOBE_BINS = 4.0
# A bin looks for its peak so many doublings of the distance away: 63 bins.
PEAK_DOUBLINGS = 6
TINY = 1e-8


class LastFrame(NamedTuple):
    """The frame before a block, from which its phases go on.

    Attributes:
      magnitude: float32 [batch, bins].
      cycles: its phase in cycles, float32 [batch, bins].
    """

    magnitude: np.ndarray
    cycles: np.ndarray


def start_cycles(
    magnitude: np.ndarray,
    spec: FeatureSpec,
    *,
    phase_start: str = "spsi",
    seed: int = 0,
    last: LastFrame | None = None,
    first_frame: int = 0,
) -> np.ndarray:
    """Phases that fit a magnitude, in cycles: float32, both [batch, frames, bins].

    Arguments, errors and source as those of `phase_start.start_cycles`.
    """
    if phase_start == "random":
        return _random_cycles(magnitude, seed, first_frame)
    if phase_start not in PHASE_STARTS:
        raise ValueError(f"phase_start is {phase_start!r}, expected one of {', '.join(PHASE_STARTS)}")
    if last is None:
        last = nothing_before(magnitude, spec)
    # [batch, frames + 2, bins], with the frame before and, for the slope over time, the last one again.
    around = np.concatenate([last.magnitude[:, None], magnitude, magnitude[:, -1:]], axis=1)
    if phase_start == "advance":
        turned = _turned(np.log(around[:, :-1] + np.float32(TINY)), spec)
        turned -= np.round(turned)
        return last.cycles[:, None] + np.cumsum(turned, axis=1, dtype=np.float64).astype(np.float32)
    peak, step = np.empty(magnitude.shape, np.int64), np.empty(magnitude.shape, np.float32)

    def read_off(tile: slice) -> None:
        """Where the bins of some frames take their phase from, and what they add to it."""
        log_magnitude = np.log(around[:, tile.start : tile.stop + 2] + np.float32(TINY))
        peak[:, tile] = _peaks(magnitude[:, tile])
        from_zero = _cycles_from_bin_zero(log_magnitude, spec)
        turned = _turned(log_magnitude[:, :-1], spec)
        turned -= from_zero
        turned = np.take_along_axis(turned, peak[:, tile], axis=2) + from_zero
        step[:, tile] = turned - np.round(turned)

    map_over_frames(read_off, magnitude.shape[1])
    return _follow(last.cycles, peak, step)


def nothing_before(magnitude: np.ndarray, spec: FeatureSpec) -> LastFrame:
    """What phases go on from where a sound begins: a frame like the first, with its energy in the middle.

    Args:
      magnitude: float32 [batch, frames, bins].
      spec: gives the bins.
    """
    cycles = 0.5 * np.arange(spec.n_bins, dtype=np.float32)
    return LastFrame(magnitude[:, 0], np.zeros_like(magnitude[:, 0]) + cycles - np.floor(cycles))


def _random_cycles(magnitude: np.ndarray, seed: int, first_frame: int) -> np.ndarray:
    """Uniform numbers from 0 to 1 that depend on seed and frame alone: float32 [batch, frames, bins]."""
    batch, n_frames, n_bins = magnitude.shape
    cycles = np.empty(magnitude.shape, np.float32)
    for frame in range(n_frames):
        generator = np.random.Generator(np.random.Philox(key=(seed << 32) + first_frame + frame))
        cycles[:, frame] = generator.random((batch, n_bins), np.float32)
    return cycles


def _turned(log_magnitude: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """Cycles that each bin turns between neighbours of float32 [batch, frames, bins], less whole ones: one frame less.

    The slope of the log magnitude over frequency shows how far the partial lies from the middle of the bin; between two frames a
    bin turns with the mean of their frequencies.
    """
    slope = np.empty_like(log_magnitude)
    np.subtract(log_magnitude[:, :, 2:], log_magnitude[:, :, :-2], out=slope[:, :, 1:-1])
    slope[:, :, 0] = log_magnitude[:, :, 1] - log_magnitude[:, :, 0]
    slope[:, :, -1] = log_magnitude[:, :, -1] - log_magnitude[:, :, -2]
    slope *= np.float32(0.5 / (2 * math.pi * HANN_AS_GAUSSIAN))
    np.clip(slope, -MAIN_LOBE_BINS, MAIN_LOBE_BINS, out=slope)
    turned = slope[:, 1:] + slope[:, :-1]
    turned *= np.float32(0.5 * spec.hop_samples / spec.n_fft)
    middle = np.arange(spec.n_bins, dtype=np.float32) * np.float32(spec.hop_samples / spec.n_fft)
    turned += middle - np.floor(middle)
    return turned


def _cycles_from_bin_zero(log_magnitude: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """Phase of each bin against bin 0 of its frame, in cycles: float32 [batch, frames, bins], without the frames at the ends.

    The slope of the log magnitude over time shows where in the frame a partial's energy lies; of what lies in the middle
    neighbouring bins stand half a cycle apart, for a frame's phase counts from its first sample.
    """
    each = log_magnitude[:, 2:] - log_magnitude[:, :-2]
    each *= np.float32(-0.5 * HANN_AS_GAUSSIAN * spec.n_fft / (2 * math.pi * spec.hop_samples))
    each -= np.float32(0.5)
    between = np.zeros_like(each)
    np.add(each[:, :, 1:], each[:, :, :-1], out=between[:, :, 1:])
    between *= np.float32(0.5)
    return np.cumsum(between, axis=2, out=between)


def _peaks(magnitude: np.ndarray) -> np.ndarray:
    """The peak that each bin rises to, or the bin itself where it has none near: int64 [batch, frames, bins]."""
    n_bins = magnitude.shape[-1]
    bins = np.arange(n_bins, dtype=np.int32)
    ends = np.pad(magnitude, [(0, 0), (0, 0), (1, 1)], constant_values=-1)
    falls_left, rises_right = ends[:, :, :-2] > magnitude, ends[:, :, 2:] > magnitude
    none = np.int32(n_bins)
    above = _nearest(np.where(rises_right, none, bins))  # where it does not rise to the right, a peak seen from below
    below = _nearest(np.where(falls_left, none, n_bins - 1 - bins)[:, :, ::-1])[:, :, ::-1]
    below = n_bins - 1 - below
    steeper_right = ends[:, :, 2:] > ends[:, :, :-2]
    peak = np.where(falls_left, np.where(steeper_right, above, below), np.where(rises_right, above, bins))
    return np.where((peak >= 0) & (peak < n_bins), peak, bins).astype(np.int64)


def _nearest(index: np.ndarray) -> np.ndarray:
    """The smallest number at or within 63 bins above each bin: int32 [batch, frames, bins]."""
    n_bins = index.shape[-1]
    for doubling in range(min(PEAK_DOUBLINGS, n_bins.bit_length() - 1)):
        # NumPy looks whether what it writes is what it still has to read.
        np.minimum(index[:, :, : -(2**doubling)], index[:, :, 2**doubling :], out=index[:, :, : -(2**doubling)])
    return index


def _follow(first: np.ndarray, source: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Runs `cycles[t + 1] = cycles[t][source[t]] + step[t]` over time.

    Args:
      first: float32 [batch, bins], `cycles[0]`.
      source: int64 [batch, frames, bins].
      step: float32 [batch, frames, bins].

    Returns:
      float32 [batch, frames, bins], from `cycles[1]` on.
    """
    cycles = np.empty_like(step)
    for one, now in enumerate(first):
        for t in range(step.shape[1]):
            now = now[source[one, t]] + step[one, t]
            now -= np.round(now)
            cycles[one, t] = now
    return cycles
