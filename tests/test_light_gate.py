"""The gate in NumPy gives the numbers of the one in-graph; what both have to do is in tests/test_hiss_gate.py."""

import numpy as np

from pnet_tf import hiss_gate, light_gate
from pnet_tf.spec import FeatureSpec

SPEC = FeatureSpec()


def test_it_gives_the_numbers_of_the_graph():
    random = np.random.default_rng(0)
    drawn = random.uniform(-1, 12, (2, 300, SPEC.n_bins)).astype(np.float32)
    levels = {"noise_floor": random.uniform(0, 0.3, SPEC.n_bins), "ceiling": random.uniform(5, 10, SPEC.n_bins)}
    levels["peaks"] = ((3.0, 5.0, 7.5), (0.0, 0.5, 2.0))
    sounding = np.zeros((2, 300), bool)
    sounding[0, :50] = sounding[0, 270:] = sounding[1, 120:130] = True
    gains = [np.asarray(room.rest_gain(sounding, SPEC)) for room in (hiss_gate, light_gate)]
    assert (gains[0] == 1).any() and (gains[0] == 0).any() and ((gains[0] > 0) & (gains[0] < 1)).any()
    np.testing.assert_allclose(gains[1], gains[0], atol=1e-5)
    gated = [
        np.asarray(room.gate(drawn, gains[0], **room.levels(*map(tuple, levels.values())))) for room in (hiss_gate, light_gate)
    ]
    assert gated[1].dtype == np.float32
    np.testing.assert_allclose(gated[1], gated[0], atol=1e-5)


def test_it_leaves_what_it_is_given():
    drawn = np.full((1, 4, SPEC.n_bins), 0.05, np.float32)
    light_gate.gate(drawn, np.zeros((1, 4), np.float32))
    assert (drawn == np.float32(0.05)).all()


def test_levels_that_are_not_known_bound_nothing():
    levels = light_gate.levels(None, None)
    assert levels["noise_floor"].tolist() == [0.0] and levels["ceiling"].tolist() == [np.inf]
    assert levels["peaks"].shape == (2, 0)
