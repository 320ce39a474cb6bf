"""Losses on log power: in-graph, one number per example, so that the caller weighs them over any number of devices."""

from collections.abc import Callable

import tensorflow as tf

Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def squared_error(target: tf.Tensor, prediction: tf.Tensor) -> tf.Tensor:
    """Mean squared error of each example, as the paper trains with.

    Args:
      target: float32 [batch, frames, bins], log power.
      prediction: the same shape.

    Returns:
      float32 [batch].

    Source: Wang & Yang 2019, section 3.
    """
    return tf.reduce_mean(tf.math.squared_difference(target, prediction), axis=[1, 2])


def absolute_error(target: tf.Tensor, prediction: tf.Tensor) -> tf.Tensor:
    """Mean absolute error of each example: float32 [batch, frames, bins] twice -> float32 [batch]."""
    return tf.reduce_mean(tf.abs(target - prediction), axis=[1, 2])


LOSSES: dict[str, Loss] = {"mse": squared_error, "mae": absolute_error}
