"""Phases in NumPy are those of the graph; what both have to do is in tests/test_phase_start.py."""

import numpy as np
import pytest

from pnet_tf import light_phase, phase_start
from pnet_tf.spec import FeatureSpec

SPEC = FeatureSpec()


@pytest.mark.parametrize("start", ["spsi", "advance"])
def test_it_gives_the_numbers_of_the_graph(start):
    magnitude = np.random.default_rng(0).exponential(1, (2, 60, SPEC.n_bins)).astype(np.float32)
    last = light_phase.LastFrame(magnitude[:, 7], magnitude[:, 9])
    settings = {"phase_start": start, "last": last}
    cycles = light_phase.start_cycles(magnitude, SPEC, **settings)
    difference = cycles - np.asarray(phase_start.start_cycles(magnitude, SPEC, **settings))
    assert cycles.dtype == np.float32
    np.testing.assert_allclose(difference - np.round(difference), 0, atol=2e-3)


def test_a_seed_beyond_32_bits_of_frames_meets_no_other():
    """Seed and frame are two numbers, not their sum."""
    silence = np.zeros((1, 1, SPEC.n_bins), np.float32)
    draws = [
        light_phase.start_cycles(silence, SPEC, phase_start="random", seed=seed, first_frame=frame)
        for seed, frame in ((0, 1), (1, 0), (2**31 - 1, 10**6))
    ]
    assert np.abs(draws[0] - draws[1]).mean() > 0.2 and np.abs(draws[1] - draws[2]).mean() > 0.2
