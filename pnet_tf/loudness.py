"""Integrated loudness of a mono signal by EBU R 128 (ITU-R BS.1770-4), measured while the signal goes by.

pyloudnorm gives the K-weighting filters, and its whole-array meter is what the tests compare with. It cannot go by
blocks, so its filters run here with their state carried on, and what is kept for the gates is one energy for each 100 ms:
288 kB for an hour.

A mono file is one channel of weight 1, as pyloudnorm and ffmpeg take it. The same signal on both channels of a stereo
file measures 3.01 LU more, and a full-scale sine of 1 kHz measures -3.01 LUFS here and 0 LUFS there.

Of pyloudnorm's two designs of those filters this is "DeMan", the analogue prototype behind the standard's table: within
0.0001 LU of libebur128 from 8 to 192 kHz, where the default design measures 0.04 LU less at 44.1 kHz and 0.2 LU at 8 kHz.
"""

import array
import math

import numpy as np

BLOCK_SEC = 0.4
ABSOLUTE_GATE_LUFS = -70.0
_RELATIVE_GATE_LU = -10.0
_HOPS_PER_SEC = 10
_HOPS_PER_BLOCK = 4
# What takes away the gain of the K-weighting at 997 Hz.
_OFFSET_LU = -0.691


class LoudnessMeter:
    """Measures the integrated loudness of a mono signal that comes in blocks; how it is cut changes nothing.

    It agrees with `pyloudnorm.Meter(sample_rate_hz, filter_class="DeMan")` of the whole signal, even in what it does with the
    end: blocks of 400 ms begin every 100 ms, and a last one that lacks less than 50 ms counts as if silence followed.

    Source: ITU-R BS.1770-4, annex 1; EBU Tech 3341 (tests/test_loudness.py checks its cases 1 to 5).
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._sample_rate_hz = sample_rate_hz
        self._weighting = _k_weighting(sample_rate_hz)
        self._state = np.zeros((len(self._weighting), 2))
        self._n_samples = 0
        self._hop_energies = array.array("d")
        self._rest = np.zeros(0)

    def add(self, block: np.ndarray) -> None:
        """Takes the next samples.

        Args:
          block: float32 [samples], any number of them, full scale 1; finite.
        """
        if not len(block):
            return
        import scipy.signal  # takes the better part of a second, and a stream is not measured

        weighted, self._state = scipy.signal.sosfilt(self._weighting, np.asarray(block, np.float64), zi=self._state)
        self._n_samples += len(block)
        squares = np.concatenate([self._rest, np.square(weighted)])
        first = len(self._hop_energies)
        # Hop k begins at floor(k * rate / 10), so that hops fit rates that 10 does not divide.
        n_hops = (_HOPS_PER_SEC * (self._n_samples + 1) - 1) // self._sample_rate_hz
        edges = np.arange(first, n_hops + 1) * self._sample_rate_hz // _HOPS_PER_SEC
        edges -= edges[0]
        if n_hops > first:
            self._hop_energies.extend(np.add.reduceat(squares[: edges[-1]], edges[:-1]))
        # A copy: a view would keep the whole block alive.
        self._rest = squares[edges[-1] :].copy()

    def integrated_lufs(self) -> float | None:
        """The integrated loudness of all samples so far.

        Returns:
          LUFS; None for less than 0.4 s, and where nothing is louder than the absolute gate of -70 LUFS.
        """
        energies = self._block_energies()
        energies = energies[energies > _energy(ABSOLUTE_GATE_LUFS)]
        if not len(energies):
            return None
        relative_gate = np.mean(energies) * 10 ** (_RELATIVE_GATE_LU / 10)
        return _OFFSET_LU + 10 * math.log10(np.mean(energies[energies > relative_gate]))

    def _block_energies(self) -> np.ndarray:
        """Mean squares of the weighted blocks of 400 ms, float64 [blocks]."""
        seconds = self._n_samples / self._sample_rate_hz
        if seconds < BLOCK_SEC:
            return np.zeros(0)
        n_blocks = round((seconds - BLOCK_SEC) * _HOPS_PER_SEC) + 1
        hops = np.append(self._hop_energies, np.sum(self._rest))[: n_blocks + _HOPS_PER_BLOCK - 1]
        blocks = np.lib.stride_tricks.sliding_window_view(hops, _HOPS_PER_BLOCK)
        return np.sum(blocks, axis=1) / (BLOCK_SEC * self._sample_rate_hz)


def _k_weighting(sample_rate_hz: int) -> np.ndarray:
    """The two filters of the K-weighting as second-order sections, float64 [2, 6]."""
    from pyloudnorm import IIRfilter

    stages = (
        IIRfilter(3.99984385397, 0.7071752369554193, 1681.9744509555319, sample_rate_hz, "high_shelf_DeMan"),
        IIRfilter(0.0, 0.5003270373253953, 38.13547087613982, sample_rate_hz, "high_pass_DeMan"),
    )
    return np.array([[*stage.b, *stage.a] for stage in stages])


def _energy(lufs: float) -> float:
    return 10 ** ((lufs - _OFFSET_LU) / 10)
