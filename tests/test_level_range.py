"""The levels of recordings: which frames they are of, and that they are plain quantiles of them."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from pnet_tf import dataset, level_range, shard_set


@pytest.fixture(scope="module")
def shards(tiny_shards):
    return shard_set.open_shard_set(tiny_shards)


@pytest.fixture(scope="module")
def plan(shards):
    return dataset.plan_windows(shards, "train", window_frames=64)


def sounding_frames(windows):
    """Every fourth frame of a window in which a note sounds, float32 [frames, bins]."""
    return np.concatenate(
        [window["log_power"].numpy()[0, window["pianoroll"].numpy()[0].any(axis=1)][::4] for window in windows]
    )


def test_a_fifth_of_the_sounding_frames_lies_below_the_floor_and_one_of_two_thousand_above_the_ceiling(shards, plan):
    frames = sounding_frames(dataset.fixed_windows(shards, plan, batch_size=1))
    levels = level_range.level_range(shards, plan)
    assert len(levels.noise_floor) == len(levels.ceiling) == shards.spec.n_bins and max(levels.noise_floor) > 0
    np.testing.assert_allclose(levels.noise_floor, np.quantile(frames, 0.2, axis=0), atol=1e-4)
    np.testing.assert_allclose(levels.ceiling, np.quantile(frames, 0.9995, axis=0), atol=1e-4)


def test_of_many_windows_some_are_looked_at_from_first_to_last(shards, plan, monkeypatch):
    monkeypatch.setattr(level_range, "_MOST_WINDOWS", 3)
    rows = plan.fixed()
    chosen = rows[[0, round((len(rows) - 1) / 2), len(rows) - 1]]
    expected = np.quantile(sounding_frames(dataset.windows_at(shards, plan, chosen)), 0.2, axis=0)
    np.testing.assert_allclose(level_range.level_range(shards, plan).noise_floor, expected, atol=1e-4)


def test_where_no_note_sounds_there_is_none(shards, plan, monkeypatch):
    silent = {"pianoroll": tf.zeros([1, 64, 128]), "log_power": tf.ones([1, 64, shards.spec.n_bins])}
    monkeypatch.setattr(level_range, "windows_at", lambda *_: [silent])
    assert level_range.level_range(shards, plan) is None


def test_they_are_of_the_windows_that_are_given(shards, plan):
    first = dataclasses.replace(plan, **{name: getattr(plan, name)[:1] for name in ("recording", "first", "end", "n_windows")})
    assert level_range.level_range(shards, first) != level_range.level_range(shards, plan)
