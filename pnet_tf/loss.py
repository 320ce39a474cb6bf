"""Losses on log power: in-graph, one number per example, so that the caller weighs them over any number of devices."""

import functools
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
_DIFFERENCES: dict[str, Loss] = {"mse": tf.math.squared_difference, "mae": lambda target, prediction: tf.abs(target - prediction)}
# Log power at which a bin counts `1 + loud_weight` times, and above which it counts no more.
_LOUD, _LOUDEST = 5.0, 12.0
# Keeps the gradient of a standard deviation finite where a bin does not move.
_LEAST_VARIANCE = 1e-3


def variance_error(target: tf.Tensor, prediction: tf.Tensor) -> tf.Tensor:
    """How far each bin moves too little or too much over the frames: the squared error of its standard deviation.

    What learns the mean of all that a score may sound like moves too little: its loud frames are not loud enough, nor
    its quiet ones quiet enough.

    Args:
      target: float32 [batch, frames, bins], log power.
      prediction: the same shape.

    Returns:
      float32 [batch], the mean over the bins.

    Source: the global variance of Toda & Tokuda 2007 (IEICE Transactions E90-D 816), here of standard deviations.
    """
    ours, theirs = (tf.sqrt(tf.math.reduce_variance(x, axis=1) + _LEAST_VARIANCE) for x in (target, prediction))
    return tf.reduce_mean(tf.math.squared_difference(ours, theirs), axis=1)


def loud_error(target: tf.Tensor, prediction: tf.Tensor, *, name: str, loud_weight: float) -> tf.Tensor:
    """A loss of `LOSSES` in which bins that are drawn loud weigh more: `1 + loud_weight * (log power / 5)^2` each.

    Of a thousand bins some dozens are partials, which is what one hears; the others make most of a mean. It is the prediction
    that weighs, not the target, and it passes no gradient on: the gradient vanishes at the same prediction as without weights,
    the mean of the targets for `mse`; a weight by the target would have it drawn too loud. The value itself, lower where bins in
    doubt are drawn quiet, is for learning alone.

    Args:
      target: float32 [batch, frames, bins], log power.
      prediction: the same shape.
      name: of the loss.
      loud_weight: at least 0.

    Returns:
      float32 [batch], the weighted mean.
    """
    drawn = tf.clip_by_value(tf.stop_gradient(prediction), 0.0, _LOUDEST)
    weights = 1.0 + loud_weight * tf.square(drawn / _LOUD)
    total = tf.reduce_sum(weights * _DIFFERENCES[name](target, prediction), axis=[1, 2])
    return total / tf.reduce_sum(weights, axis=[1, 2])


def make_loss(name: str, *, variance_weight: float = 0.0, loud_weight: float = 0.0) -> Loss:
    """A loss of `LOSSES`, and the variance error times its weight.

    Args:
      name: of the loss.
      variance_weight: 0 adds nothing.
      loud_weight: how much more loud bins weigh in the loss, as `loud_error` says; 0 for no more than others.
    """
    plain = functools.partial(loud_error, name=name, loud_weight=loud_weight) if loud_weight else LOSSES[name]
    if not variance_weight:
        return plain
    return lambda target, prediction: plain(target, prediction) + variance_weight * variance_error(target, prediction)
