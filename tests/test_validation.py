"""The loss on validation windows: each of equal weight on any number of devices, and the windows that are shown."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from pnet_tf import dataset, learner, loss, unet
from pnet_tf.cluster import open_cluster
from pnet_tf.settings import Settings
from pnet_tf.shard_set import open_shard_set
from pnet_tf.validation import Validation, make_loss_sum

CONFIG = unet.ModelConfig(width=1 / 64, bands=(2, 4))


@pytest.fixture(scope="module")
def parts(tiny_shards):
    """Shards, an untrained network, and where it computes."""
    shards, cluster = open_shard_set(tiny_shards), open_cluster("one")
    return shards, learner.build_learner(Settings(None, None, CONFIG), shards.spec, cluster).model, cluster


def validation_of(parts, batch_size):
    shards, model, cluster = parts
    return Validation(shards, model, loss.squared_error, window_frames=64, batch_size=batch_size, cluster=cluster)


def test_each_window_weighs_the_same_in_batches_of_any_size(parts):
    """Also where the last batch has to be filled up."""
    shards, model, _ = parts
    plan = validation_of(parts, 1).plan
    (batch,) = dataset.fixed_windows(shards, plan, batch_size=100)
    drawn = model({name: batch[name] for name in ("pianoroll", "onset_offset")}, training=False)
    expected = float(np.mean((drawn.numpy().astype(np.float64) - batch["log_power"].numpy()) ** 2))
    sizes = [size for size in (2, 3, 4, 5) if plan.epoch_windows % size]
    assert plan.epoch_windows > 2 and sizes
    for size in sizes:
        assert validation_of(parts, size).loss() == pytest.approx(expected, rel=1e-5), size


def test_a_window_that_only_fills_a_batch_weighs_nothing():
    class Doubling:
        input = ("pianoroll", "onset_offset")

        def __call__(self, rolls, *, training):
            return rolls["pianoroll"] * 2

    batch = {name: tf.constant([[[1.0]], [[5.0]], [[3.0]]]) for name in ("pianoroll", "onset_offset", "log_power")}
    total = make_loss_sum(Doubling(), loss.squared_error, strategy=tf.distribute.OneDeviceStrategy("/cpu:0"))
    assert float(total({**batch, "weight": tf.constant([1.0, 0.0, 1.0])})) == 1 + 9


def test_a_validation_can_be_dropped_on_the_way(parts):
    left = iter([True, False])
    assert validation_of(parts, 1).loss(go_on=lambda: next(left)) is None


def test_the_windows_that_are_shown_are_spread_and_stay_the_same(parts):
    shards, model, _ = parts
    validation = validation_of(parts, 1)
    rows = validation.plan.fixed()
    shown = validation.shown_windows(2)
    assert [window.start_sec for window in shown] == [pytest.approx(first * 256 / 44100) for first in (rows[0, 1], rows[-1, 1])]
    assert [window.name.split("_")[0] for window in shown] == [shards.manifest.recordings[row[0]].name for row in rows[[0, -1]]]
    (batch,) = dataset.fixed_windows(shards, validation.plan, batch_size=100)
    np.testing.assert_array_equal(shown[0].batch["log_power"][0], batch["log_power"][0])
    drawn = model({name: batch[name] for name in ("pianoroll", "onset_offset")}, training=False)
    np.testing.assert_allclose(validation.draw(shown[1]), drawn[-1], atol=1e-4)
    assert len(validation.shown_windows(99)) == len(rows)
    assert validation.shown_windows(0) == []


def test_without_a_validation_part_nothing_is_shown(parts):
    shards, model, cluster = parts
    ranges = [dataclasses.replace(entry, ranges={"train": ((0, entry.n_frames),)}) for entry in shards.manifest.recordings]
    bare = dataclasses.replace(shards, manifest=dataclasses.replace(shards.manifest, recordings=tuple(ranges)))
    validation = Validation(bare, model, loss.squared_error, window_frames=64, batch_size=2, cluster=cluster)
    assert validation.plan.epoch_windows == 0 and validation.shown_windows(2) == []


def test_the_mean_spectrum_is_measured_on_the_same_windows(parts):
    shards, _, _ = parts
    validation = validation_of(parts, 1)
    train = dataset.plan_windows(shards, "train", window_frames=64)
    value = validation.mean_spectrum_loss(train)
    (batch,) = dataset.fixed_windows(shards, validation.plan, batch_size=100)
    target = batch["log_power"].numpy()
    assert 0 < value < float(np.mean((target - target.mean(axis=(0, 1))) ** 2))
