"""Magnitude to waveform: accelerated Griffin-Lim from a phase start read off the magnitude, in-graph and seeded.

Beside `spec` it needs `stft`, `phase_start` and what those read off `light_griffin_lim`, and can be used by itself:

    waveform = griffin_lim(magnitude, FeatureSpec(sample_rate_hz=22050, n_fft=1024, hop_samples=128))
"""

import functools
import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pnet_tf import phase_start as phase_start_room
from pnet_tf import stft
from pnet_tf.light_griffin_lim import ALPHA, BETA, GAMMA, ITERATIONS, TINY
from pnet_tf.phase_start import PHASE_STARTS, LastFrame
from pnet_tf.spec import FeatureSpec


class Carry(NamedTuple):
    """What one block of frames hands to the next, of a kind that `tf.function` takes and gives.

    Attributes:
      last: magnitude and phase of the last frame that is settled.
      sound: the sum of settled frames where later ones still join it, float32 [batch, n_fft / hop_samples - 1, hop_samples].
    """

    last: LastFrame
    sound: tf.Tensor


def griffin_lim(
    magnitude: tf.Tensor,
    spec: FeatureSpec,
    *,
    iterations: int | tf.Tensor = ITERATIONS,
    seed: int | tf.Tensor = 0,
    phase_start: str = "spsi",
) -> tf.Tensor:
    """A waveform whose spectrogram is near to `magnitude`.

    Inside a `tf.function` it becomes part of it; `jit_compile=True` makes it about twice as fast on a CPU.

    Args:
      magnitude: [batch, frames, bins], at least 0, at least one frame; its scale comes out again. Computed in float32.
      spec: gives window, hop and frame length.
      iterations: rounds of projection; 0 or less takes the phase start as it is. An int32 scalar tensor is welcome.
      seed: of the random phase start; the others do not use it.
      phase_start: `spsi` or `advance`, read off the magnitude, or `random`.

    Returns:
      float32 [batch, (frames - 1) * hop_samples].

    Raises:
      ValueError: an unknown `phase_start`, or a magnitude that is complex or of another shape.

    Source: Griffin & Lim 1984; Perraudin, Balazs, Sondergaard 2013; Nenov et al. 2023. With the random start it converges
    a little further than `librosa.griffinlim`; tests/test_griffin_lim.py.
    """
    if phase_start not in PHASE_STARTS:
        raise ValueError(f"phase_start is {phase_start!r}, expected one of {', '.join(PHASE_STARTS)}")
    magnitude = tf.convert_to_tensor(magnitude)
    if not (magnitude.dtype.is_floating or magnitude.dtype.is_integer):
        raise ValueError(f"magnitude is {magnitude.dtype.name}, expected real numbers such as float32")
    magnitude = tf.cast(magnitude, tf.float32)
    if magnitude.shape.rank != 3 or magnitude.shape[2] != spec.n_bins:
        raise ValueError(f"magnitude has shape {magnitude.shape}, expected [batch, frames, {spec.n_bins}] as the spec has it")
    invert = _whole_in_graph(spec, phase_start) if tf.executing_eagerly() else _whole(spec, phase_start)
    return invert(magnitude, tf.convert_to_tensor(iterations, tf.int32), tf.convert_to_tensor(seed, tf.int32))


def _whole(spec: FeatureSpec, phase_start: str):
    """The inversion of a whole sound, as a function of magnitude, iterations and seed."""

    def invert(magnitude: tf.Tensor, iterations: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Float32 [batch, frames, bins] -> float32 [batch, (frames - 1) * hop_samples]."""
        cycles = phase_start_room.start_cycles(magnitude, spec, phase_start=phase_start, seed=seed)
        frames = Frames(magnitude, spec, before=nothing_before(magnitude, spec).sound, begins=True)
        return stft.trim(stft.samples_from_hops(frames.join(frames.settle(cycles, iterations))), spec)

    return invert


@functools.cache
def _whole_in_graph(spec: FeatureSpec, phase_start: str) -> tf.types.experimental.PolymorphicFunction:
    """The same as a graph, for callers that have none."""
    shapes = [tf.TensorSpec([None, None, spec.n_bins], tf.float32), *[tf.TensorSpec([], tf.int32)] * 2]
    return tf.function(_whole(spec, phase_start), input_signature=shapes, autograph=False)


def nothing_before(magnitude: tf.Tensor, spec: FeatureSpec) -> Carry:
    """What a sound begins with, for a magnitude of float32 [batch, frames, bins]."""
    n_hops = spec.n_fft // spec.hop_samples
    silence = tf.zeros([tf.shape(magnitude)[0], n_hops - 1, spec.hop_samples])
    return Carry(phase_start_room.nothing_before(magnitude, spec), silence)


def invert_block(
    magnitude: tf.Tensor,
    spec: FeatureSpec,
    *,
    n_settled: int,
    before: Carry,
    first_frame: tf.Tensor,
    iterations: tf.Tensor,
    seed: tf.Tensor,
    phase_start: str,
) -> tuple[tf.Tensor, Carry]:
    """Inverts a block of a longer sound without a seam to the one before.

    All frames of the block are improved together; the settled ones in front then never change again, and those behind, its
    look-ahead, come again in the next block. Each frame has one phase in the whole sound, so there is nothing to join.

    Args:
      magnitude: float32 [batch, frames, bins].
      spec: gives window, hop and frame length.
      n_settled: frames that are settled; at least `n_fft / hop_samples`.
      before: from the block before; `nothing_before` at the beginning.
      first_frame: index of the first frame in the whole sound, int32.
      iterations: as above.
      seed: as above.
      phase_start: as above.

    Returns:
      float32 [batch, n_settled * hop_samples], which begins half a frame before the middle of the block's first frame (so
      the first half frame of a sound lies before its beginning, and is silent), and what the next block needs.
    """
    cycles = phase_start_room.start_cycles(
        magnitude, spec, phase_start=phase_start, seed=seed, last=before.last, first_frame=first_frame
    )
    frames = Frames(magnitude, spec, before=before.sound, begins=first_frame == 0)
    settled = frames.settle(cycles, iterations)[:, :n_settled]  # complex64 [batch, n_settled, bins]
    total = frames.add(settled)  # [batch, n_settled + n_fft / hop_samples - 1, hop_samples]
    sound = total[:, :n_settled] * frames.share[:n_settled]
    last = settled[:, -1]
    carry = Carry(LastFrame(tf.abs(last), tf.math.angle(last) / (2 * math.pi)), total[:, n_settled:])
    return stft.samples_from_hops(sound), carry


class Frames:
    """Neighbouring frames whose magnitude is known, and the projections between them and their sound.

    The sound is kept in hops, float32 [batch, frames + n_fft / hop_samples - 1, hop_samples]. The transform is linear, so the
    iteration's momentum is taken of the sound instead, which holds a sixteenth of the numbers.
    """

    def __init__(self, magnitude: tf.Tensor, spec: FeatureSpec, *, before: tf.Tensor, begins: bool | tf.Tensor) -> None:
        """Works out what stays the same from round to round.

        Args:
          magnitude: float32 [batch, frames, bins].
          spec: gives window, hop and frame length.
          before: sum of the settled frames before where it reaches into these, as `sound` of `Carry`.
          begins: whether there are no frames before.
        """
        self.magnitude = magnitude
        self.spec = spec
        self.before = before
        n_frames = magnitude.shape[1] or tf.shape(magnitude)[1]
        self.share = _share_of_sum(n_frames, spec, begins=begins)

    def settle(self, cycles: tf.Tensor, iterations: tf.Tensor) -> tf.Tensor:
        """Improves phases: float32 cycles -> the transform, complex64, both [batch, frames, bins]."""
        first = tf.complex(
            self.magnitude * tf.cos(2 * math.pi * cycles), self.magnitude * tf.sin(2 * math.pi * cycles)
        )
        sound = self.join(first)

        def improve(
            step: tf.Tensor, guess: tf.Tensor, now: tf.Tensor, ahead: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
            """One round; the sounds, each [batch, hops, hop_samples], are t + alpha (t - t'), t and t + beta (t - t')."""
            new = (1 - GAMMA) * ahead + GAMMA * self.join(self.project(guess))
            moved = new - now
            return step + 1, new + ALPHA * moved, new, new + BETA * moved

        _, guess, _, _ = tf.while_loop(
            lambda step, *_: step < iterations, improve, [tf.constant(1), sound, sound, sound]
        )
        return tf.cond(iterations > 0, lambda: self.project(guess), lambda: first)

    def project(self, sound: tf.Tensor) -> tf.Tensor:
        """The transform of a sound, brought to the known magnitude: hops -> complex64 [batch, frames, bins]."""
        transform = stft.stft_of_hops(sound, self.spec)
        real, imag = tf.math.real(transform), tf.math.imag(transform)
        scale = self.magnitude * tf.math.rsqrt(tf.square(real) + tf.square(imag) + TINY)
        return tf.complex(real * scale, imag * scale)

    def add(self, transform: tf.Tensor) -> tf.Tensor:
        """Windowed frames laid hop by hop on what went before: complex64 [batch, frames, bins] -> hops, not divided yet."""
        total = stft.overlap_add(transform, self.spec)
        return total + tf.pad(self.before, [[0, 0], [0, tf.shape(total)[1] - tf.shape(self.before)[1]], [0, 0]])

    def join(self, transform: tf.Tensor) -> tf.Tensor:
        """The sound whose transform is nearest to `transform`: complex64 [batch, frames, bins] -> hops."""
        return self.add(transform) * self.share


def _share_of_sum(n_frames: int | tf.Tensor, spec: FeatureSpec, *, begins: bool | tf.Tensor) -> tf.Tensor:
    """What overlap-added frames are multiplied with: float32 [frames + n_fft / hop_samples - 1, hop_samples].

    One over the sum of the squared windows; 0 in the half frame at the end, and in the one at the beginning where there is
    nothing before: too few frames meet there to say anything.
    """
    weight = stft.sum_of_windows(n_frames, spec, begins=begins)
    n_samples = tf.size(weight)
    sample = tf.reshape(tf.range(n_samples), [-1, spec.hop_samples])
    half = spec.n_fft // 2
    known = tf.logical_and(sample < n_samples - half, tf.logical_or(sample >= half, tf.logical_not(begins)))
    return tf.where(known, 1 / tf.maximum(weight, np.finfo(np.float32).tiny), 0.0)
