"""Losses by hand, and that examples weigh alike however they are batched."""

import numpy as np
import pytest
import tensorflow as tf

from pnet_tf import loss

TARGET = tf.constant([[[0.0, 1.0], [2.0, 3.0]], [[1.0, 1.0], [1.0, 1.0]]])
PREDICTION = tf.constant([[[0.0, 3.0], [2.0, 0.0]], [[1.0, 1.0], [1.0, 0.5]]])


def test_squared_error_by_hand():
    """(2² + 3²) / 4 and 0.5² / 4."""
    np.testing.assert_allclose(loss.squared_error(TARGET, PREDICTION), [3.25, 0.0625], rtol=1e-6)


def test_absolute_error_by_hand():
    """(2 + 3) / 4 and 0.5 / 4."""
    np.testing.assert_allclose(loss.absolute_error(TARGET, PREDICTION), [1.25, 0.125], rtol=1e-6)


def test_the_names_of_the_flag_mean_these_losses():
    assert loss.LOSSES == {"mse": loss.squared_error, "mae": loss.absolute_error}


@pytest.mark.parametrize("example_loss", loss.LOSSES.values(), ids=loss.LOSSES)
@pytest.mark.parametrize("sizes", [(5,), (2, 3), (4, 1), (1, 1, 1, 1, 1)])
def test_the_mean_over_examples_does_not_depend_on_the_split_into_batches(example_loss, sizes):
    random = np.random.default_rng(1)
    target, prediction = (random.normal(size=(5, 7, 3)).astype(np.float32) * 3 for _ in range(2))
    power = 2 if example_loss is loss.squared_error else 1
    expected = np.mean(np.abs(target.astype(np.float64) - prediction) ** power)
    ends = np.cumsum(sizes)
    total = sum(
        float(tf.reduce_sum(example_loss(target[end - size : end], prediction[end - size : end])))
        for size, end in zip(sizes, ends)
    )
    assert total / 5 == pytest.approx(expected, rel=1e-6)
