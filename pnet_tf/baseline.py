"""The simplest learner: the mean spectrum of each pitch; what a trained network has to beat."""

from collections.abc import Iterable

import numpy as np
import tensorflow as tf

Batch = dict[str, tf.Tensor]


class MeanSpectrum:
    """Mean log power of each pitch and of silence, over the frames in which it sounds alone.

    A pitch never heard alone takes the mean over every frame in which it sounds, one never heard the mean over all
    sounding frames. Where several sound, each bin takes the loudest of theirs.
    """

    def __init__(self, n_pitches: int, n_bins: int) -> None:
        # The last row is silence.
        self._sum = np.zeros((2, n_pitches + 1, n_bins))
        self._count = np.zeros((2, n_pitches + 1, 1))

    def learn(self, batches: Iterable[Batch]) -> None:
        """Adds batches of windows, float32 [batch, frames, n_pitches] and [batch, frames, bins], as `dataset` gives."""
        for batch in batches:
            roll = batch["pianoroll"].numpy().reshape(-1, batch["pianoroll"].shape[-1])
            target = batch["log_power"].numpy().reshape(len(roll), -1)
            n_sounding = roll.sum(axis=1, keepdims=True)
            roll = np.concatenate([roll, n_sounding == 0], axis=1)
            for row, weights in enumerate((roll * (n_sounding <= 1), roll)):
                self._sum[row] += weights.T @ target
                self._count[row] += weights.sum(axis=0)[:, None]

    def spectra(self) -> np.ndarray:
        """Log power by pitch, silence last: float32 [n_pitches + 1, bins]."""
        alone, any_frame = self._sum / np.maximum(self._count, 1)
        sounding = self._sum[1, :-1].sum(axis=0) / max(self._count[1, :-1].sum(), 1)
        heard = np.where(self._count[1] > 0, any_frame, sounding)
        return np.where(self._count[0] > 0, alone, heard).astype(np.float32)

    def predict(self, pianoroll: np.ndarray) -> np.ndarray:
        """Log power of a roll: [frames, n_pitches] -> float32 [frames, bins]."""
        spectra = self.spectra()
        out = np.empty((len(pianoroll), spectra.shape[1]), np.float32)
        patterns, index = np.unique(pianoroll > 0, axis=0, return_inverse=True)
        for number, pattern in enumerate(patterns):
            rows = spectra[:-1][pattern] if pattern.any() else spectra[-1:]
            out[index.reshape(-1) == number] = rows.max(axis=0)
        return out

    def squared_error(self, batches: Iterable[Batch]) -> float:
        """Mean squared error on batches of windows, every frame and bin of equal weight."""
        total, count = 0.0, 0
        for batch in batches:
            for roll, target in zip(batch["pianoroll"].numpy(), batch["log_power"].numpy(), strict=True):
                total += float(np.square(self.predict(roll) - target).sum(dtype=np.float64))
                count += target.size
        return total / max(count, 1)
