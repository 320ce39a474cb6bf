"""Intervals by resampling: how far a value would move had other segments or recordings been measured."""

import numpy as np

SHARE = 0.95


def resample_counts(n_units: int, n_resamples: int, *, seed: int) -> np.ndarray:
    """How often each unit is drawn in each resample, with replacement: float64 [n_resamples, n_units]; rows sum to n_units.

    Args:
      n_units: units that were measured.
      n_resamples: how many draws of as many units.
      seed: of the draws.
    """
    return np.random.default_rng(seed).multinomial(n_units, np.full(n_units, 1 / n_units), n_resamples).astype(np.float64)


def interval(values: np.ndarray) -> tuple[float, float] | None:
    """The percentile interval that holds `SHARE` of resampled values.

    Args:
      values: float [n_resamples]; NaN where a resample has no value.

    Returns:
      Its two ends; None with no values, or where more than half of a tail beyond an end has none.

    Source: Efron 1979, the percentile method.
    """
    known = values[np.isfinite(values)]
    if not len(known) or len(values) - len(known) > (1 - SHARE) / 4 * len(values):
        return None
    low, high = np.quantile(known, [(1 - SHARE) / 2, (1 + SHARE) / 2])
    return float(low), float(high)
