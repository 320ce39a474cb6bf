"""The levels of recordings: which frames they are of, and that they are plain quantiles of them."""

import dataclasses

import numpy as np
import tensorflow as tf

from pnet_tf import dataset, level_range


def sounding_frames(windows):
    """Every fourth frame of a window in which a note sounds, float32 [frames, bins]."""
    return np.concatenate(
        [window["log_power"].numpy()[0, window["pianoroll"].numpy()[0].any(axis=1)][::4] for window in windows]
    )


def test_a_fifth_of_the_sounding_frames_lies_below_the_floor_and_one_of_two_thousand_above_the_ceiling(tiny_set, tiny_plan):
    frames = sounding_frames(dataset.fixed_windows(tiny_set, tiny_plan, batch_size=1))
    levels = level_range.level_range(tiny_set, tiny_plan)
    assert len(levels.noise_floor) == len(levels.ceiling) == tiny_set.spec.n_bins and max(levels.noise_floor) > 0
    np.testing.assert_allclose(levels.noise_floor, np.quantile(frames, 0.2, axis=0), atol=1e-4)
    np.testing.assert_allclose(levels.ceiling, np.quantile(frames, 0.9995, axis=0), atol=1e-4)


def test_of_many_windows_some_are_looked_at_from_first_to_last(tiny_set, tiny_plan, monkeypatch):
    monkeypatch.setattr(level_range, "_MOST_WINDOWS", 3)
    rows = tiny_plan.fixed()
    chosen = rows[[0, round((len(rows) - 1) / 2), len(rows) - 1]]
    expected = np.quantile(sounding_frames(dataset.windows_at(tiny_set, tiny_plan, chosen)), 0.2, axis=0)
    np.testing.assert_allclose(level_range.level_range(tiny_set, tiny_plan).noise_floor, expected, atol=1e-4)


def test_where_no_note_sounds_there_is_none(tiny_set, tiny_plan, monkeypatch):
    silent = {"pianoroll": tf.zeros([1, 64, 128]), "log_power": tf.ones([1, 64, tiny_set.spec.n_bins])}
    monkeypatch.setattr(level_range, "windows_at", lambda *_: [silent])
    assert level_range.level_range(tiny_set, tiny_plan) is None


def test_they_are_of_the_windows_that_are_given(tiny_set, tiny_plan):
    names = ("recording", "first", "end", "n_windows")
    first = dataclasses.replace(tiny_plan, **{name: getattr(tiny_plan, name)[:1] for name in names})
    assert level_range.level_range(tiny_set, first) != level_range.level_range(tiny_set, tiny_plan)
