"""Log power to waveform in blocks of any length, so that a sound of any length takes the same memory and has no seam."""

import concurrent.futures
import functools

import numpy as np
import tensorflow as tf

from pnet_tf import griffin_lim, stft
from pnet_tf.griffin_lim import Carry
from pnet_tf.spec import FeatureSpec
from pnet_tf.xla_start import start_xla

# Frames that are settled at once, and those after them that are improved along and come again: on real violin the
# convergence is that of the whole in one go from 8 frames ahead on.
BLOCK_FRAMES = 512
AHEAD_FRAMES = 16


class Inverter:
    """Turns log power into sound while it comes in."""

    def __init__(
        self, spec: FeatureSpec, *, iterations: int = griffin_lim.ITERATIONS, seed: int = 0, phase_start: str = "spsi"
    ) -> None:
        """Begins a sound.

        Args:
          spec: gives window, hop, frame length and the target's scale.
          iterations: rounds of Griffin-Lim.
          seed: of the random phase start.
          phase_start: as in `griffin_lim.griffin_lim`.
        """
        start_xla()
        self._spec = spec
        self._compiling = _compiling(spec, phase_start)
        self._invert = _compiled_block(spec, phase_start)
        self._settings = {"iterations": tf.constant(iterations), "seed": tf.constant(seed)}
        self._pending = np.zeros((0, spec.n_bins), np.float32)
        self._carry: Carry | None = None
        self._n_frames = 0  # that came in
        self._n_settled = 0

    def add(self, log_power: np.ndarray) -> np.ndarray:
        """Takes the next frames.

        Args:
          log_power: float32 [frames, bins], any number of frames.

        Returns:
          float32 [samples], the sound that is settled by them; may be empty.
        """
        self._pending = np.concatenate([self._pending, log_power])
        self._n_frames += len(log_power)
        sounds = []
        while len(self._pending) >= BLOCK_FRAMES + AHEAD_FRAMES:
            sounds.append(self._next_block())
        return np.concatenate(sounds) if sounds else np.zeros(0, np.float32)

    def finish(self) -> np.ndarray:
        """The rest of the sound, float32 [samples]; all together are `(frames - 1) * hop_samples`. After the end is silence."""
        half_frame = self._spec.n_fft // 2 // self._spec.hop_samples
        n_missing = self._n_frames + half_frame + 1 - self._n_settled
        n_blocks = max(-(-n_missing // BLOCK_FRAMES), 0) if self._n_frames else 0
        n_padded = n_blocks * BLOCK_FRAMES + AHEAD_FRAMES
        n_given = len(self._pending)
        self._pending = np.pad(self._pending, ((0, max(n_padded - n_given, 0)), (0, 0)))
        sounds = [self._next_block() for _ in range(n_blocks)]
        end = self._spec.n_samples(self._n_frames) - self._n_sounded(self._n_settled - n_blocks * BLOCK_FRAMES)
        self._pending = self._pending[:0]
        return np.concatenate([*sounds, np.zeros(0, np.float32)])[: max(end, 0)]

    def _n_sounded(self, n_settled: int) -> int:
        """Samples that have been given out after so many settled frames."""
        return max(n_settled * self._spec.hop_samples - self._spec.n_fft // 2, 0)

    def _next_block(self) -> np.ndarray:
        """Settles a block, and gives its sound less the half frame that lies before the beginning: float32 [samples]."""
        block = stft.magnitude_from_log_power(tf.constant(self._pending[None, : BLOCK_FRAMES + AHEAD_FRAMES]), self._spec)
        if self._carry is None:
            self._compiling.result()
            self._carry = griffin_lim.nothing_before(block, self._spec)
        sound, self._carry = self._invert(block, self._carry, first_frame=tf.constant(self._n_settled), **self._settings)
        before = self._n_settled * self._spec.hop_samples
        self._n_settled += BLOCK_FRAMES
        self._pending = self._pending[BLOCK_FRAMES:]
        return sound.numpy()[0, max(self._spec.n_fft // 2 - before, 0) :]


_COMPILER = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="compile")


@functools.cache
def _compiling(spec: FeatureSpec, phase_start: str) -> concurrent.futures.Future:
    """Compiles in the background, by a block of silence, while the network draws its first windows."""
    silence = tf.zeros([1, BLOCK_FRAMES + AHEAD_FRAMES, spec.n_bins])
    nothing, zero = griffin_lim.nothing_before(silence, spec), tf.constant(0)
    settings = {"first_frame": zero, "iterations": zero, "seed": zero}
    return _COMPILER.submit(_compiled_block(spec, phase_start), silence, nothing, **settings)


@functools.cache
def _compiled_block(spec: FeatureSpec, phase_start: str) -> tf.types.experimental.PolymorphicFunction:
    """One block, compiled once for all of a sound: on a CPU XLA makes it about twice as fast."""

    def invert(magnitude: tf.Tensor, before: Carry, **settings: tf.Tensor) -> tuple[tf.Tensor, Carry]:
        """Magnitude, float32 [1, frames, bins] -> sound, float32 [1, samples]."""
        return griffin_lim.invert_block(
            magnitude, spec, n_settled=BLOCK_FRAMES, before=before, phase_start=phase_start, **settings
        )

    return tf.function(invert, jit_compile=True, autograph=False)
