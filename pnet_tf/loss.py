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
# Keeps the power of a frame finite, whatever is drawn.
_MOST_LOG_POWER = 30.0
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


def level_error(target: tf.Tensor, prediction: tf.Tensor) -> tf.Tensor:
    """How far the levels of a window's frames lie from the recorded ones, from the quietest to the loudest, whenever they come.

    No score says how loud each note is played. What learns the mean of it draws all about equally loud, and its loudest frame,
    below which everything is heard, too quiet. As many frames as in the recording have to be loud, wherever they are.

    Args:
      target: float32 [batch, frames, bins], log power.
      prediction: the same shape.

    Returns:
      float32 [batch], the mean squared difference of the sorted levels in log power.

    Source: the squared Wasserstein distance of two distributions on a line is that of their sorted samples.
    """
    ours, theirs = (tf.sort(_frame_levels(x), axis=1) for x in (target, prediction))
    return tf.reduce_mean(tf.math.squared_difference(ours, theirs), axis=1)


def cosine_error(target: tf.Tensor, prediction: tf.Tensor) -> tf.Tensor:
    """One less the cosine between the amplitudes that are drawn for a frame and those recorded, whatever their level.

    What is loudest in a frame decides it: which notes sound, and how strong their lowest partials are beside each other.

    Args:
      target: float32 [batch, frames, bins], log power.
      prediction: the same shape.

    Returns:
      float32 [batch], the mean over the frames; 0 for frames of the same shape, 1 for frames that share no bin.
    """
    ours, theirs = (tf.sqrt(_power(x) + _LEAST_VARIANCE) for x in (target, prediction))
    lengths = tf.sqrt(tf.reduce_sum(tf.square(ours), axis=2) * tf.reduce_sum(tf.square(theirs), axis=2))
    return tf.reduce_mean(1.0 - tf.reduce_sum(ours * theirs, axis=2) / lengths, axis=1)


def _frame_levels(log_power: tf.Tensor) -> tf.Tensor:
    """Log of each frame's power: float [batch, frames, bins] -> [batch, frames]."""
    return tf.math.log1p(tf.reduce_sum(_power(log_power), axis=2))


def _power(log_power: tf.Tensor) -> tf.Tensor:
    """Power of each bin, in units of the target's knee: float [batch, frames, bins], the same out."""
    return tf.math.expm1(tf.clip_by_value(log_power, 0.0, _MOST_LOG_POWER))


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


_ADDED: dict[str, Loss] = {
    "variance_weight": variance_error, "level_weight": level_error, "cosine_weight": cosine_error
}


def make_loss(name: str, *, loud_weight: float = 0.0, **weights: float) -> Loss:
    """A loss of `LOSSES`, and what is added to it.

    Args:
      name: of the loss.
      loud_weight: how much more loud bins weigh in the loss, as `loud_error` says; 0 for no more than others.
      **weights: `variance_weight`, `level_weight` and `cosine_weight`, of the errors of these names; 0 adds nothing.
    """
    plain = functools.partial(loud_error, name=name, loud_weight=loud_weight) if loud_weight else LOSSES[name]
    added = [(weight, _ADDED[name]) for name, weight in weights.items() if weight]
    if not added:
        return plain

    def total(target: tf.Tensor, prediction: tf.Tensor) -> tf.Tensor:
        """float32 [batch, frames, bins] twice -> float32 [batch]."""
        return plain(target, prediction) + sum(weight * error(target, prediction) for weight, error in added)

    return total
