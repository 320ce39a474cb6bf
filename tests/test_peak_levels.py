"""The curve of peaks: quantiles of what is drawn and recorded, of recordings that are named, and none where there is nothing."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pnet_tf import dataset, light_gate, shard_set
from pnet_tf.errors import InputError
from pnet_tf.peak_levels import peak_levels


@pytest.fixture(scope="module")
def shards(tiny_shards):
    return shard_set.open_shard_set(tiny_shards)


@pytest.fixture(scope="module")
def plan(shards):
    return dataset.plan_windows(shards, "train", window_frames=64)


def network(draw):
    """A network that draws what `draw` makes of the pianoroll."""
    rolls = {name: keras.Input((None, 128), name=name) for name in ("pianoroll", "onset_offset")}
    return keras.Model(rolls, keras.layers.Lambda(draw, output_shape=(None, 1025))(rolls["pianoroll"]))


def windows(monkeypatch, plan, log_power):
    """Gives every window this recording, float32 [frames, bins], under one note."""
    held = np.zeros((1, *log_power.shape[:1], 128), np.float32)
    held[..., 60] = 1
    window = {"pianoroll": tf.constant(held), "onset_offset": tf.zeros_like(held), "log_power": tf.constant(log_power[None])}
    asked = []
    monkeypatch.setattr("pnet_tf.peak_levels.windows_at", lambda _, __, rows: asked.append(rows) or [window])
    return asked


def test_what_is_drawn_has_the_recorded_quantiles_afterwards(shards, plan, monkeypatch):
    """A network whose peaks are half as far above 8 as the recorded ones."""
    recorded = np.random.default_rng(0).gamma(2.0, 1.2, (4000, 1025)).astype(np.float32)
    drawn = np.where(recorded > 8, 8 + (recorded - 8) / 2, recorded)
    windows(monkeypatch, plan, recorded)
    curve = peak_levels(network(lambda roll: tf.constant(drawn[None]) + 0 * roll[:, :, :1]), shards, plan)
    sounded = light_gate.gate(drawn[None], np.ones((1, 4000), np.float32), peaks=np.array(curve, np.float32))[0]
    assert len(curve) == 2 and curve[1][0] == 0 and curve[1][1] > 0.5
    shares = (0.9999, 0.99999)
    np.testing.assert_allclose(np.quantile(sounded, shares), np.quantile(recorded, shares), atol=0.35)
    before = np.quantile(recorded, shares) - np.quantile(drawn, shares)
    assert (before > 1).all()
    assert (sounded[drawn < curve[0][0]] == np.maximum(drawn, 0)[drawn < curve[0][0]]).mean() > 0.9


def test_peaks_that_are_louder_than_the_recorded_ones_stay(shards, plan, monkeypatch):
    recorded = np.random.default_rng(0).gamma(2.0, 1.0, (800, 1025)).astype(np.float32)
    windows(monkeypatch, plan, recorded)
    _, rise = peak_levels(network(lambda roll: tf.constant(recorded[None] * 1.5) + 0 * roll[:, :, :1]), shards, plan)
    assert rise == (0.0, 0.0, 0.0)


def test_only_recordings_that_are_named_are_looked_at(shards, plan, monkeypatch):
    asked = windows(monkeypatch, plan, np.random.default_rng(0).gamma(2.0, 1.0, (80, 1025)).astype(np.float32))
    draws = network(lambda roll: tf.random.stateless_gamma((1, 80, 1025), [0, 1], 2.0) + 0 * roll[:, :, :1])
    name = shards.manifest.trained_names()[1]
    for names, indices in (((), set(plan.recording.tolist())), ([name], {1})):
        assert peak_levels(draws, shards, plan, names) is not None
        found = {shards.manifest.recordings[index].name for index in np.unique(asked[-1][:, 0])}
        assert found == ({name} if names else {shards.manifest.recordings[index].name for index in indices})
    with pytest.raises(InputError, match="no window for training of nobody"):
        peak_levels(draws, shards, plan, ["nobody"])


@pytest.mark.parametrize("level", [0.0, -1.0])
def test_a_network_that_draws_nothing_has_no_curve(level, shards, plan):
    assert peak_levels(network(lambda roll: 0 * roll[:, :, :1] + tf.fill([1025], level)), shards, plan) is None


def test_where_no_note_sounds_there_is_none(shards, plan, monkeypatch):
    silent = {name: tf.zeros([1, 64, 128]) for name in ("pianoroll", "onset_offset")}
    monkeypatch.setattr("pnet_tf.peak_levels.windows_at", lambda *_: [{**silent, "log_power": tf.ones([1, 64, 1025])}])
    assert peak_levels(network(lambda roll: roll[:, :, :1] + tf.ones(1025)), shards, plan) is None
