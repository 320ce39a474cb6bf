"""The curve of peaks: quantiles of what is drawn and recorded, of recordings that are named, and none where there is nothing."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pnet_tf import light_gate
from pnet_tf.errors import InputError
from pnet_tf.peak_levels import peak_levels


def network(draw):
    """A network that draws what `draw` makes of the pianoroll."""
    rolls = {name: keras.Input((None, 128), name=name) for name in ("pianoroll", "onset_offset")}
    return keras.Model(rolls, keras.layers.Lambda(draw, output_shape=(None, 1025))(rolls["pianoroll"]))


def windows(monkeypatch, log_power):
    """Gives every window this recording, float32 [frames, bins], under one note."""
    held = np.zeros((1, *log_power.shape[:1], 128), np.float32)
    held[..., 60] = 1
    window = {"pianoroll": tf.constant(held), "onset_offset": tf.zeros_like(held), "log_power": tf.constant(log_power[None])}
    asked = []
    monkeypatch.setattr("pnet_tf.level_range.windows_at", lambda _, __, rows: asked.append(rows) or [window])
    return asked


def test_what_is_drawn_has_the_recorded_quantiles_afterwards(tiny_set, tiny_plan, monkeypatch):
    """A network whose peaks are half as far above 8 as the recorded ones."""
    recorded = np.random.default_rng(0).gamma(2.0, 1.2, (4000, 1025)).astype(np.float32)
    drawn = np.where(recorded > 8, 8 + (recorded - 8) / 2, recorded)
    windows(monkeypatch, recorded)
    curve = peak_levels(network(lambda roll: tf.constant(drawn[None]) + 0 * roll[:, :, :1]), tiny_set, tiny_plan)
    sounded = light_gate.gate(drawn[None], np.ones((1, 4000), np.float32), peaks=np.array(curve, np.float32))[0]
    assert len(curve) == 2 and curve[1][0] == 0 and curve[1][1] > 0.5
    shares = (0.9999, 0.99999)
    np.testing.assert_allclose(np.quantile(sounded, shares), np.quantile(recorded, shares), atol=0.35)
    before = np.quantile(recorded, shares) - np.quantile(drawn, shares)
    assert (before > 1).all()
    assert (sounded[drawn < curve[0][0]] == np.maximum(drawn, 0)[drawn < curve[0][0]]).mean() > 0.9


def test_peaks_that_are_louder_than_the_recorded_ones_stay(tiny_set, tiny_plan, monkeypatch):
    recorded = np.random.default_rng(0).gamma(2.0, 1.0, (800, 1025)).astype(np.float32)
    windows(monkeypatch, recorded)
    _, rise = peak_levels(network(lambda roll: tf.constant(recorded[None] * 1.5) + 0 * roll[:, :, :1]), tiny_set, tiny_plan)
    assert rise == (0.0, 0.0, 0.0)


def test_only_recordings_that_are_named_are_looked_at(tiny_set, tiny_plan, monkeypatch):
    asked = windows(monkeypatch, np.random.default_rng(0).gamma(2.0, 1.0, (80, 1025)).astype(np.float32))
    draws = network(lambda roll: tf.random.stateless_gamma((1, 80, 1025), [0, 1], 2.0) + 0 * roll[:, :, :1])
    name = tiny_set.manifest.trained_names()[1]
    for names, indices in (((), set(tiny_plan.recording.tolist())), ([name], {1})):
        assert peak_levels(draws, tiny_set, tiny_plan, names) is not None
        found = {tiny_set.manifest.recordings[index].name for index in np.unique(asked[-1][:, 0])}
        assert found == ({name} if names else {tiny_set.manifest.recordings[index].name for index in indices})
    with pytest.raises(InputError, match="no window for training of nobody"):
        peak_levels(draws, tiny_set, tiny_plan, ["nobody"])


@pytest.mark.parametrize("level", [0.0, -1.0])
def test_a_network_that_draws_nothing_has_no_curve(level, tiny_set, tiny_plan):
    assert peak_levels(network(lambda roll: 0 * roll[:, :, :1] + tf.fill([1025], level)), tiny_set, tiny_plan) is None


def test_where_no_note_sounds_there_is_none(tiny_set, tiny_plan, monkeypatch):
    silent = {name: tf.zeros([1, 64, 128]) for name in ("pianoroll", "onset_offset")}
    monkeypatch.setattr("pnet_tf.level_range.windows_at", lambda *_: [{**silent, "log_power": tf.ones([1, 64, 1025])}])
    assert peak_levels(network(lambda roll: roll[:, :, :1] + tf.ones(1025)), tiny_set, tiny_plan) is None
