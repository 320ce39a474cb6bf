"""Blocks of log power to sound in TensorFlow, compiled once for all of a sound; for `inversion`."""

import concurrent.futures
import functools

import numpy as np
import tensorflow as tf

from pnet_tf import griffin_lim, stft
from pnet_tf.griffin_lim import Carry
from pnet_tf.spec import FeatureSpec
from pnet_tf.xla_start import start_xla


class Blocks:
    """Turns block after block of a sound into samples, and remembers how the one before ended."""

    def __init__(
        self, spec: FeatureSpec, *, n_settled: int, n_ahead: int, iterations: int, seed: int, phase_start: str
    ) -> None:
        """Begins a sound; compiling begins in the background.

        Args:
          spec: gives window, hop, frame length and the target's scale.
          n_settled: frames that a block settles.
          n_ahead: frames after them that are improved along, and come again.
          iterations: rounds of Griffin-Lim.
          seed: of the random phase start.
          phase_start: as in `griffin_lim.griffin_lim`.
        """
        start_xla()
        self._spec = spec
        self._compiling = _compiling(spec, phase_start, n_settled, n_ahead)
        self._invert = _compiled_block(spec, phase_start, n_settled)
        self._settings = {"iterations": tf.constant(iterations), "seed": tf.constant(seed)}
        self._carry: Carry | None = None

    def invert(self, log_power: np.ndarray, first_frame: int) -> np.ndarray:
        """The next block, float32 [n_settled + n_ahead, bins], to float32 [n_settled * hop_samples]."""
        block = stft.magnitude_from_log_power(tf.constant(log_power[None]), self._spec)
        if self._carry is None:
            self._compiling.result()
            self._carry = griffin_lim.nothing_before(block, self._spec)
        sound, self._carry = self._invert(block, self._carry, first_frame=tf.constant(first_frame), **self._settings)
        return sound.numpy()[0]


_COMPILER = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="compile")


@functools.cache
def _compiling(spec: FeatureSpec, phase_start: str, n_settled: int, n_ahead: int) -> concurrent.futures.Future:
    """Compiles in the background, by a block of silence, while the network draws its first windows."""
    silence = tf.zeros([1, n_settled + n_ahead, spec.n_bins])
    nothing, zero = griffin_lim.nothing_before(silence, spec), tf.constant(0)
    settings = {"first_frame": zero, "iterations": zero, "seed": zero}
    return _COMPILER.submit(_compiled_block(spec, phase_start, n_settled), silence, nothing, **settings)


@functools.cache
def _compiled_block(spec: FeatureSpec, phase_start: str, n_settled: int) -> tf.types.experimental.PolymorphicFunction:
    """One block; on a CPU XLA makes it about twice as fast."""

    def invert(magnitude: tf.Tensor, before: Carry, **settings: tf.Tensor) -> tuple[tf.Tensor, Carry]:
        """Magnitude, float32 [1, frames, bins] -> sound, float32 [1, samples]."""
        return griffin_lim.invert_block(
            magnitude, spec, n_settled=n_settled, before=before, phase_start=phase_start, **settings
        )

    return tf.function(invert, jit_compile=True, autograph=False)
