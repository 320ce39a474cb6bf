"""Log power to waveform in blocks of any length, so that a sound of any length takes the same memory and has no seam."""

import numpy as np

from pnet_tf import light_griffin_lim
from pnet_tf.light_griffin_lim import ITERATIONS, Carry
from pnet_tf.spec import FeatureSpec

# Frames that are settled at once, and those after them that are improved along and come again: on real violin the
# convergence is that of the whole in one go from 8 frames ahead on.
BLOCK_FRAMES = 512
AHEAD_FRAMES = 16


class Inverter:
    """Turns log power into sound while it comes in."""

    def __init__(
        self,
        spec: FeatureSpec,
        *,
        iterations: int = ITERATIONS,
        seed: int = 0,
        phase_start: str = "spsi",
        runtime: str = "tensorflow",
    ) -> None:
        """Begins a sound.

        Args:
          spec: gives window, hop, frame length and the target's scale.
          iterations: rounds of Griffin-Lim.
          seed: of the random phase start.
          phase_start: as in `griffin_lim.griffin_lim`.
          runtime: `tensorflow`, compiled; or `onnx`, the runtime of the network beside which there is NumPy alone.
        """
        if runtime == "tensorflow":
            from pnet_tf.inversion_compiled import Blocks  # brings TensorFlow
        else:
            Blocks = LightBlocks
        self._spec = spec
        self._blocks = Blocks(
            spec,
            n_settled=BLOCK_FRAMES,
            n_ahead=AHEAD_FRAMES,
            iterations=iterations,
            seed=seed,
            phase_start=phase_start,
        )
        self._pending = np.zeros((0, spec.n_bins), np.float32)
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
        sound = self._blocks.invert(self._pending[: BLOCK_FRAMES + AHEAD_FRAMES], self._n_settled)
        before = self._n_settled * self._spec.hop_samples
        self._n_settled += BLOCK_FRAMES
        self._pending = self._pending[BLOCK_FRAMES:]
        return sound[max(self._spec.n_fft // 2 - before, 0) :]


class LightBlocks:
    """As `inversion_compiled.Blocks`, in NumPy."""

    def __init__(
        self, spec: FeatureSpec, *, n_settled: int, n_ahead: int, iterations: int, seed: int, phase_start: str
    ) -> None:
        self._spec = spec
        self._settings = {
            "n_settled": n_settled, "iterations": iterations, "seed": seed, "phase_start": phase_start
        }
        self._carry: Carry | None = None

    def invert(self, log_power: np.ndarray, first_frame: int) -> np.ndarray:
        """The next block, float32 [n_settled + n_ahead, bins], to float32 [n_settled * hop_samples]."""
        block = light_griffin_lim.magnitude_from_log_power(log_power[None], self._spec)
        if self._carry is None:
            self._carry = light_griffin_lim.nothing_before(block, self._spec)
        sound, self._carry = light_griffin_lim.invert_block(
            block, self._spec, before=self._carry, first_frame=first_frame, **self._settings
        )
        return sound[0]
