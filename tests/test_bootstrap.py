"""Resamples are of the size of the sample, and intervals are as wide as theory says."""

import numpy as np
import pytest

from pnet_tf import bootstrap


def test_a_resample_draws_as_many_units_as_there_are():
    counts = bootstrap.resample_counts(7, 500, seed=0)
    assert counts.shape == (500, 7)
    assert (counts.sum(axis=1) == 7).all()
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.15)


def test_the_seed_decides():
    assert np.array_equal(bootstrap.resample_counts(5, 9, seed=1), bootstrap.resample_counts(5, 9, seed=1))
    assert not np.array_equal(bootstrap.resample_counts(5, 9, seed=1), bootstrap.resample_counts(5, 9, seed=2))


def test_the_interval_of_a_mean_is_two_standard_errors_to_both_sides():
    values = np.random.default_rng(3).standard_normal(400)
    low, high = bootstrap.interval(bootstrap.resample_counts(400, 4000, seed=0) @ values / 400)
    error = values.std() / np.sqrt(400)
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


def test_the_interval_leaves_out_a_twentieth():
    assert bootstrap.interval(np.arange(201.0)) == pytest.approx((5, 195))


def test_resamples_without_a_value_are_left_out_if_they_are_few():
    values = np.arange(1000.0)
    values[:10] = np.nan
    assert bootstrap.interval(values) is not None
    values[:20] = np.nan
    assert bootstrap.interval(values) is None
    assert bootstrap.interval(np.zeros(0)) is None
