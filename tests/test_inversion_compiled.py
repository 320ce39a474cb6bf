"""The compiled blocks; what they have in common with those in NumPy is in tests/test_inversion.py."""

import numpy as np

from pnet_tf.inversion import LightBlocks
from pnet_tf.inversion_compiled import Blocks
from pnet_tf.spec import FeatureSpec

SPEC = FeatureSpec(sample_rate_hz=8000, n_fft=256, hop_samples=64)


def test_it_gives_the_samples_of_the_blocks_in_numpy():
    """A second block goes on where the first ended, in both."""
    log_power = np.random.default_rng(0).exponential(2, (144, SPEC.n_bins)).astype(np.float32)
    settings = {"n_settled": 64, "n_ahead": 16, "iterations": 1, "seed": 0, "phase_start": "spsi"}
    made = []
    for kind in (Blocks, LightBlocks):
        blocks = kind(SPEC, **settings)
        made.append(np.concatenate([blocks.invert(log_power[first : first + 80], first) for first in (0, 64)]))
    assert made[0].shape == made[1].shape == (2 * 64 * SPEC.hop_samples,)
    np.testing.assert_allclose(made[1], made[0], atol=2e-3 * np.abs(made[0]).max())
