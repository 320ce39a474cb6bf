"""What TensorBoard would show, read back with TensorBoard's own reader."""

import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pnet_tf.summaries import Summaries


def scalars(folder):
    """Points of each curve: name to [(step, value)]."""
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    points = {name: events.Tensors(name) for name in events.Tags()["tensors"]}
    return {name: [(p.step, tf.make_ndarray(p.tensor_proto)[()]) for p in found] for name, found in points.items()}


def test_curves_and_texts_come_back(tmp_path):
    summaries = Summaries(tmp_path)
    summaries.curves({"loss/training": 2.5, "learning_rate": 1e-3}, step=10)
    summaries.curves({"loss/training": 2.0}, step=20)
    summaries.text("flags", "--seed=0")
    summaries.close()
    found = scalars(tmp_path)
    assert found["loss/training"] == [(10, 2.5), (20, 2.0)]
    assert found["learning_rate"] == [(10, pytest.approx(1e-3))]
    assert found["flags"] == [(0, b"--seed=0")]


def test_a_point_is_on_disk_at_once(tmp_path):
    """A training is watched while it runs."""
    summaries = Summaries(tmp_path)
    summaries.curves({"loss/training": 2.5}, step=1)
    assert scalars(tmp_path) == {"loss/training": [(1, 2.5)]}
    summaries.close()


def test_a_training_that_goes_on_adds_to_the_curves(tmp_path):
    for step, value in ((1, 3.0), (2, 2.0)):
        summaries = Summaries(tmp_path)
        summaries.curves({"loss/training": value}, step=step)
        summaries.close()
    assert sorted(point for points in scalars(tmp_path).values() for point in points) == [(1, 3.0), (2, 2.0)]
