"""A look-ahead peak limiter for a mono signal that comes in blocks: nothing gets past the ceiling, nothing clicks.

The reduction in dB that each sample needs goes through a maximum over the look-ahead, a release that falls by a constant
number of dB a second, and two box averages which together are as long as the look-ahead. Each step keeps at least the
reduction that the sample in question needs, so the ceiling holds by construction.

The release is not the usual exponential one: that is a recursion over samples, slow in NumPy, and never ends. A straight
line in dB is a running maximum of (reduction + slope * time). Reductions are whole numbers of 2**-20 dB, so that running
maxima and sums are exact, and the output is the same to the last bit however the input is cut.

Sample peaks are limited, not the peaks between samples (true peak of ITU-R BS.1770): the ceiling of -1 dBFS leaves room
for them.
"""

import math

import numpy as np

CEILING_DBFS = -1.0
_STEPS_PER_DB = 1 << 20
_RELEASED_DB = 10.0
_PCM_16_STEPS = 1 << 15
# Temporaries stay in the cache, and an hour in one block takes no hour of float64.
_CHUNK_SAMPLES = 1 << 13


class Limiter:
    """Holds a signal under a ceiling with a smooth gain, and gives it back at its own time.

    The gain begins to fall `lookahead_sec` before a peak, and is back `lookahead_sec` plus `release_sec` for each 10 dB of
    reduction after it. In between it moves by less than `2 * reduction_db / lookahead_samples` dB a sample. Where it is 1,
    samples come out bit for bit.

    Source: maximum, release and averages of finite length in this order are usual (Signalsmith Audio, "Designing a
    straightforward limiter"); tests/test_limiter.py checks each promise above.
    """

    def __init__(
        self,
        sample_rate_hz: int,
        *,
        ceiling_dbfs: float = CEILING_DBFS,
        lookahead_sec: float = 0.005,
        release_sec: float = 0.1,
    ) -> None:
        """Sets up a limiter that has heard nothing.

        Args:
          sample_rate_hz: the rate of the signal.
          ceiling_dbfs: no sample comes out larger than this, nor does it after rounding to 16 bits; from -90 to 0.
          lookahead_sec: how long before a peak the gain begins to fall, and by how much the output is held back inside.
          release_sec: how long it takes to give back 10 dB of reduction.

        Raises:
          ValueError: the ceiling is out of range.
        """
        # A whole number of 16-bit steps: libsndfile rounds samples down, so that negative ones would pass the ceiling.
        self._ceiling = np.float32(math.floor(10 ** (ceiling_dbfs / 20) * _PCM_16_STEPS) / _PCM_16_STEPS)
        if not 0 < self._ceiling <= 1:
            raise ValueError(f"a ceiling of {ceiling_dbfs} dBFS is not between -90 and 0")
        self._lookahead = round(lookahead_sec * sample_rate_hz)
        self._boxes = (self._lookahead // 2 + 1, self._lookahead - self._lookahead // 2 + 1)
        self._release_steps = max(round(_RELEASED_DB * _STEPS_PER_DB / (release_sec * sample_rate_hz)), 1)
        self._reset()

    def add(self, block: np.ndarray) -> np.ndarray:
        """Takes the next samples and gives back what can be told of the output.

        Args:
          block: float32 [samples], any number of them, of any finite size.

        Returns:
          float32 [samples out]: with all that came out before, as many as came in, less the look-ahead.

        Raises:
          ValueError: a sample is no number (NaN or infinite).
        """
        block = np.asarray(block, np.float32)
        starts = range(0, len(block), _CHUNK_SAMPLES)
        done = [self._limit(block[start : start + _CHUNK_SAMPLES]) for start in starts]
        done = np.concatenate([np.zeros(0, np.float32), *done])
        early = min(self._n_early, len(done))
        self._n_early -= early
        return done[early:]

    def flush(self) -> np.ndarray:
        """Gives back what is still held, and forgets everything: the next block begins a new signal.

        Returns:
          float32 [samples]: all outputs together are now as long as all inputs.
        """
        rest = self.add(np.zeros(self._lookahead, np.float32))
        self._reset()
        return rest

    def _reset(self) -> None:
        # The first outputs belong to the silence that is thought to come before the signal.
        self._n_early = self._lookahead
        self._held = np.zeros(self._lookahead, np.float32)
        self._needed = np.zeros(self._lookahead, np.int64)
        self._released = 0
        self._tails = [np.zeros(n - 1, np.int64) for n in self._boxes]

    def _limit(self, chunk: np.ndarray) -> np.ndarray:
        """The output of `lookahead` samples ago, float32 [samples], as long as the input."""
        peak = max(float(np.max(chunk)), -float(np.min(chunk)))
        if not math.isfinite(peak):
            raise ValueError("the signal holds samples that are no numbers (NaN or infinite)")
        samples = np.concatenate([self._held, chunk])
        samples, self._held = samples[: len(chunk)], samples[len(chunk) :].copy()
        if peak <= self._ceiling and self._is_idle():
            return samples
        reduction_db = self._smooth(self._release(self._look_ahead(self._needed_steps(chunk))))
        limited = (samples * np.exp(reduction_db * (-math.log(10) / 20))).astype(np.float32)
        # Rounding may be wrong in the last digit.
        return np.clip(limited, -self._ceiling, self._ceiling)

    def _is_idle(self) -> bool:
        return not (self._released or self._needed.any() or any(tail.any() for tail in self._tails))

    def _needed_steps(self, chunk: np.ndarray) -> np.ndarray:
        """How much each sample has to be reduced on its own, rounded up, int64 [samples] in steps."""
        size = np.abs(chunk)
        over = np.flatnonzero(size > self._ceiling)
        needed = np.zeros(len(chunk), np.int64)
        needed[over] = np.ceil(20 * _STEPS_PER_DB * np.log10(size[over].astype(np.float64) / float(self._ceiling)))
        return needed

    def _look_ahead(self, needed: np.ndarray) -> np.ndarray:
        """The largest reduction from each sample, `lookahead` ago, up to now; int64 [samples] in steps."""
        needed = np.concatenate([self._needed, needed])
        n_out = len(needed) - self._lookahead
        self._needed = needed[n_out:].copy()
        length = self._lookahead + 1
        # The window of the filter begins at its own sample and goes forward.
        import scipy.ndimage  # a third of a second that most signals do without

        return scipy.ndimage.maximum_filter1d(needed, length, origin=-(length // 2))[:n_out]

    def _release(self, reduction: np.ndarray) -> np.ndarray:
        """Lets reductions fall no faster than the release; int64 [samples] in steps."""
        fallen = np.arange(1, len(reduction) + 1) * self._release_steps
        reduction = np.maximum(np.maximum.accumulate(reduction + fallen), self._released) - fallen
        self._released = int(reduction[-1])
        return reduction

    def _smooth(self, reduction: np.ndarray) -> np.ndarray:
        """Two running averages over the past, float64 [samples] in dB."""
        for index, n in enumerate(self._boxes):
            joined = np.concatenate([self._tails[index], reduction])
            self._tails[index] = joined[len(reduction) :].copy()
            sums = np.concatenate([[0], np.cumsum(joined)])
            reduction = sums[n:] - sums[:-n]
        return reduction / (_STEPS_PER_DB * math.prod(self._boxes))
