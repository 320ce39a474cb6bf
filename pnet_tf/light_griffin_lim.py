"""Magnitude to waveform in NumPy and SciPy: accelerated Griffin-Lim from a phase start read off the magnitude, block by block.

`griffin_lim` is the same in a graph of TensorFlow; the tests of both are the same.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.fft

from pnet_tf import light_phase
from pnet_tf.light_phase import PHASE_STARTS, LastFrame
from pnet_tf.processors import frame_tiles, map_over_frames
from pnet_tf.spec import FeatureSpec

ITERATIONS = 32
# Weights of the accelerated iteration (Nenov, Nguyen, Balazs, Bot 2023), chosen on recordings of the training part.
ALPHA, BETA, GAMMA = 0.99, 1.1, 1.25
TINY = 1e-20


class Carry(NamedTuple):
    """What one block of frames hands to the next.

    Attributes:
      last: magnitude and phase of the last frame that is settled.
      sound: the sum of settled frames where later ones still join it, float32 [batch, n_fft / hop_samples - 1, hop_samples].
    """

    last: LastFrame
    sound: np.ndarray


def griffin_lim(
    magnitude: np.ndarray, spec: FeatureSpec, *, iterations: int = ITERATIONS, seed: int = 0, phase_start: str = "spsi"
) -> np.ndarray:
    """A waveform whose spectrogram is near to `magnitude`.

    Args:
      magnitude: [batch, frames, bins], as in `griffin_lim.griffin_lim`; so are all others, errors and source too.
      spec: gives window, hop and frame length.
      iterations: rounds of projection.
      seed: of the random phase start.
      phase_start: `spsi`, `advance` or `random`.

    Returns:
      float32 [batch, (frames - 1) * hop_samples].
    """
    if phase_start not in PHASE_STARTS:
        raise ValueError(f"phase_start is {phase_start!r}, expected one of {', '.join(PHASE_STARTS)}")
    magnitude = np.asarray(magnitude)
    if magnitude.dtype.kind not in "fiu":
        raise ValueError(f"magnitude is {magnitude.dtype.name}, expected real numbers such as float32")
    magnitude = magnitude.astype(np.float32, copy=False)
    if magnitude.ndim != 3 or magnitude.shape[2] != spec.n_bins:
        raise ValueError(f"magnitude has shape {magnitude.shape}, expected [batch, frames, {spec.n_bins}] as the spec has it")
    cycles = light_phase.start_cycles(magnitude, spec, phase_start=phase_start, seed=seed)
    frames = Frames(magnitude, spec, before=nothing_before(magnitude, spec).sound, begins=True)
    sound = frames.add(frames.settle(cycles, iterations)) * frames.share
    half = spec.n_fft // 2
    return sound.reshape(len(sound), -1)[:, half:-half]


def nothing_before(magnitude: np.ndarray, spec: FeatureSpec) -> Carry:
    """What a sound begins with, for a magnitude of float32 [batch, frames, bins]."""
    silence = np.zeros([len(magnitude), spec.n_fft // spec.hop_samples - 1, spec.hop_samples], np.float32)
    return Carry(light_phase.nothing_before(magnitude, spec), silence)


def invert_block(
    magnitude: np.ndarray,
    spec: FeatureSpec,
    *,
    n_settled: int,
    before: Carry,
    first_frame: int,
    iterations: int,
    seed: int,
    phase_start: str,
) -> tuple[np.ndarray, Carry]:
    """Inverts a block of a longer sound, float32 [batch, frames, bins], without a seam to the one before.

    Arguments and results as those of `griffin_lim.invert_block`; the sound is float32 [batch, n_settled * hop_samples].
    """
    cycles = light_phase.start_cycles(
        magnitude, spec, phase_start=phase_start, seed=seed, last=before.last, first_frame=first_frame
    )
    frames = Frames(magnitude, spec, before=before.sound, begins=first_frame == 0)
    settled = frames.settle(cycles, iterations)[:, :n_settled]  # complex64 [batch, n_settled, bins]
    total = frames.add(settled)  # [batch, n_settled + n_fft / hop_samples - 1, hop_samples]
    sound = total[:, :n_settled] * frames.share[:n_settled]
    last = settled[:, -1]
    carry = Carry(LastFrame(np.abs(last), np.angle(last) / np.float32(2 * math.pi)), total[:, n_settled:])
    return sound.reshape(len(sound), -1), carry


class Frames:
    """Neighbouring frames whose magnitude is known, and the projections between them and their sound.

    The sound is kept in hops, float32 [batch, frames + n_fft / hop_samples - 1, hop_samples]. The transform is linear, so the
    iteration's momentum is taken of the sound instead, which holds a sixteenth of the numbers.
    """

    def __init__(self, magnitude: np.ndarray, spec: FeatureSpec, *, before: np.ndarray, begins: bool) -> None:
        """Works out what stays the same from round to round.

        Args:
          magnitude: float32 [batch, frames, bins].
          spec: gives window, hop and frame length.
          before: sum of the settled frames before where it reaches into these, as `sound` of `Carry`.
          begins: whether there are no frames before.
        """
        self.magnitude = magnitude
        self.before = before
        self._window = window(spec)
        self._hop_samples = spec.hop_samples
        self._n_hops = spec.n_fft // spec.hop_samples
        self.share = _share_of_sum(magnitude.shape[1], spec, begins=begins)

    def settle(self, cycles: np.ndarray, iterations: int) -> np.ndarray:
        """Improves phases: float32 cycles -> the transform, complex64, both [batch, frames, bins]."""
        first = np.empty(self.magnitude.shape, np.complex64)

        def turn(tile: slice) -> None:
            """Gives some frames their phases."""
            angle = np.float32(2 * math.pi) * cycles[:, tile]
            first.real[:, tile] = self.magnitude[:, tile] * np.cos(angle)
            first.imag[:, tile] = self.magnitude[:, tile] * np.sin(angle)

        map_over_frames(turn, first.shape[1])
        if iterations <= 0:
            return first
        guess = now = ahead = self.add(first) * self.share
        for _ in range(iterations - 1):
            # The sounds, each [batch, hops, hop_samples], are t + alpha (t - t'), t and t + beta (t - t').
            new = self._add_tiles(functools.partial(self._project, guess), len(first), first.shape[1]) * self.share
            new = np.float32(1 - GAMMA) * ahead + np.float32(GAMMA) * new
            moved = new - now
            guess, now, ahead = new + np.float32(ALPHA) * moved, new, new + np.float32(BETA) * moved

        def project(tile: slice) -> None:
            """The last projection of some frames."""
            first[:, tile] = self._project(guess, tile)

        map_over_frames(project, first.shape[1])
        return first

    def add(self, transform: np.ndarray) -> np.ndarray:
        """Windowed frames laid hop by hop on what went before: complex64 [batch, frames, bins] -> hops, not divided yet."""
        return self._add_tiles(lambda tile: transform[:, tile], *transform.shape[:2])

    def _project(self, sound: np.ndarray, tile: slice) -> np.ndarray:
        """Some frames of a sound's transform, brought to the known magnitude: hops -> complex64 [batch, tile, bins]."""
        batch, hop_bytes, sample_bytes = sound.strides
        frames = np.lib.stride_tricks.as_strided(
            sound[:, tile.start :],
            (len(sound), tile.stop - tile.start, self._n_hops * self._hop_samples),
            (batch, hop_bytes, sample_bytes),
            writeable=False,
        )
        transform = scipy.fft.rfft(frames * self._window, axis=2, overwrite_x=True)
        power = np.square(transform.real)
        power += np.square(transform.imag)
        power += np.float32(TINY)
        transform *= self.magnitude[:, tile] / np.sqrt(power, out=power)
        return transform

    def _add_tiles(self, transform_of: Callable[[slice], np.ndarray], batch: int, n_frames: int) -> np.ndarray:
        """As `add`, of a transform that is asked for tile by tile: a function of slices of frames."""
        n_hops = self._n_hops

        def laid(tile: slice) -> np.ndarray:
            """Some windowed frames laid hop by hop: float32 [batch, tile + n_hops - 1, hop_samples]."""
            frames = scipy.fft.irfft(transform_of(tile), n_hops * self._hop_samples, axis=2)
            frames *= self._window
            n = frames.shape[1]
            hops = frames.reshape(batch, n, n_hops, self._hop_samples)
            total = np.zeros((batch, n + n_hops - 1, self._hop_samples), np.float32)
            for k in range(n_hops):
                total[:, k : k + n] += hops[:, :, k]
            return total

        total = np.zeros((batch, n_frames + n_hops - 1, self._hop_samples), np.float32)
        total[:, : n_hops - 1] = self.before
        for tile, part in zip(frame_tiles(n_frames), map_over_frames(laid, n_frames), strict=True):
            total[:, tile.start : tile.start + part.shape[1]] += part
        return total


def window(spec: FeatureSpec) -> np.ndarray:
    """The periodic Hann window, float32 [n_fft]."""
    phase = 2 * np.pi * np.arange(spec.n_fft) / spec.n_fft
    return (0.5 - 0.5 * np.cos(phase)).astype(np.float32)


def _share_of_sum(n_frames: int, spec: FeatureSpec, *, begins: bool) -> np.ndarray:
    """What overlap-added frames are multiplied with: float32 [frames + n_fft / hop_samples - 1, hop_samples].

    One over the sum of the squared windows; 0 in the half frame at the end, and in the one at the beginning where there is
    nothing before: too few frames meet there to say anything.
    """
    n_hops = spec.n_fft // spec.hop_samples
    squares = np.square(window(spec)).reshape(n_hops, spec.hop_samples)
    frame = np.arange(n_frames + n_hops - 1)[:, None] - np.arange(n_hops)  # whose k-th hop lies at a place
    there = (frame < n_frames) & ((frame >= 0) | (not begins))
    weight = there.astype(np.float32) @ squares
    sample, half = np.arange(weight.size).reshape(weight.shape), spec.n_fft // 2
    known = (sample < weight.size - half) & ((sample >= half) | (not begins))
    return np.where(known, 1 / np.maximum(weight, np.finfo(np.float32).tiny), np.float32(0))


def magnitude_from_log_power(log_power: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """The exact inverse of the target's scale; as `stft.magnitude_from_log_power`, of float32 [batch, frames, bins]."""
    # The largest finite float32 bounds what a network can say; without it one wild bin makes the whole piece NaN.
    bounded = np.clip(log_power, 0, np.float32(math.log(np.finfo(np.float32).max) - 1))
    return np.sqrt(np.expm1(bounded)) / np.float32(spec.target_gain)
