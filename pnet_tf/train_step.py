"""One optimizer step over all devices of a strategy, as a graph: gradients, their sum, clipping, Adam, the average."""

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf

from pnet_tf.loss import Loss

Batch = dict[str, tf.Tensor]
# What a step gives: float32 [3], the mean loss, the norm of the gradient before clipping, and how many devices' workers
# were asked to stop.
LOSS, GRADIENT_NORM, N_STOPPING = range(3)
_FIRST_SCALE = 2.0**15


class SummedAdam(keras.optimizers.Adam):
    """Adam for gradients that have been summed over the devices already: clipping needs the sum.

    Keras would sum them a second time, and clip them before; a method of its own that does so is switched off here. The
    tests of two devices against one fail when it is called otherwise one day.
    """

    def _all_reduce_sum_gradients(self, grads_and_vars: list[tuple]) -> list[tuple]:
        return list(grads_and_vars)


def make_optimizer(learning_rate: float, *, half_gradients: bool = False) -> keras.optimizers.Optimizer:
    """The paper's Adam, for `make_train_step`; build it in the strategy's scope.

    Args:
      learning_rate: to start with.
      half_gradients: with loss scaling, for float16: a step whose gradients are not finite is left out.
    """
    adam = SummedAdam(learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, weight_decay=None)
    return keras.optimizers.LossScaleOptimizer(adam, initial_scale=_FIRST_SCALE) if half_gradients else adam


@dataclasses.dataclass(frozen=True)
class StepOptions:
    """How a step is taken.

    Attributes:
      batch_size: of the global batch.
      clip_norm: the longest gradient, over all weights together; longer ones are shortened to it. 0 does not clip.
      ema_decay: of the averaged weights.
      jit: whether XLA compiles the forward and backward pass.
    """

    batch_size: int
    clip_norm: float = 0.0
    ema_decay: float = 0.0
    jit: bool = False


def make_train_step(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    example_loss: Loss,
    options: StepOptions,
    *,
    strategy: tf.distribute.Strategy,
    averaged: keras.Model | None = None,
) -> Callable[[Batch, tf.Tensor], tf.Tensor]:
    """One optimizer step over all devices of a strategy, as a graph.

    Args:
      model: built in the strategy's scope.
      optimizer: from `make_optimizer`, built there too.
      example_loss: loss of each example, from `loss.make_loss`.
      options: how the step is taken.
      strategy: where to compute.
      averaged: a model built as `model` that follows its weights slowly; None for none.

    Returns:
      A function of a (distributed) batch, as `dataset.training_windows` gives, and of whether this worker was asked to
      stop, float32 [], to float32 [3]: see `LOSS`, `GRADIENT_NORM`, `N_STOPPING`.
    """
    variables = model.trainable_variables
    gradients_of = make_gradients(model, optimizer, example_loss, options)

    def learn(batch: Batch, stopping: tf.Tensor) -> tf.Tensor:
        """The step on one device: what it adds to the result, float32 [3]."""
        share, gradients = gradients_of(batch)
        replica = tf.distribute.get_replica_context()
        gradients = replica.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        norm = tf.linalg.global_norm(gradients)
        scale = tf.cast(loss_scale(optimizer), norm.dtype)
        if options.clip_norm:
            longest = tf.cast(options.clip_norm, norm.dtype) * scale
            gradients = [gradient * (longest / tf.maximum(norm, longest)) for gradient in gradients]
        optimizer.apply(gradients, variables)
        # The norm is the same on each device.
        norm = tf.cast(norm / scale, tf.float32) / replica.num_replicas_in_sync
        return tf.stack([tf.cast(share, tf.float32), norm, stopping])

    @tf.function(autograph=False, reduce_retracing=True)
    def train_step(batch: Batch, stopping: tf.Tensor) -> tf.Tensor:
        """The step on all devices: float32 [3]."""
        added = strategy.run(learn, args=(batch, stopping))
        if averaged is not None:
            _follow(averaged, model, optimizer.iterations, options.ema_decay, strategy)
        return strategy.reduce(tf.distribute.ReduceOp.SUM, added, axis=None)

    return train_step


def make_gradients(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, example_loss: Loss, options: StepOptions
) -> Callable[[Batch], tuple[tf.Tensor, list[tf.Tensor]]]:
    """Forward and backward pass of one device.

    Returns:
      A function of a batch to its share of the global mean loss, [], and the gradient of that share (times the scale of
      the loss) by each trainable variable.
    """

    def gradients_of(batch: Batch) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Share of the mean loss, [], and its gradients."""
        with tf.GradientTape() as tape:
            losses = example_losses(model, batch, example_loss, training=True)
            # Each device weighs by the global batch: the sum over the devices is then the gradient of the mean.
            share = tf.reduce_sum(losses) / options.batch_size
            scaled = optimizer.scale_loss(share)
        return share, tape.gradient(scaled, model.trainable_variables)

    return tf.function(gradients_of, autograph=False, jit_compile=True) if options.jit else gradients_of


def loss_scale(optimizer: keras.optimizers.Optimizer) -> tf.Tensor | float:
    """What the loss is multiplied with before its gradients are taken: 1 but for float16; float32 []."""
    return optimizer.dynamic_scale.value if isinstance(optimizer, keras.optimizers.LossScaleOptimizer) else 1.0


def predict(model: keras.Model, batch: Batch, *, training: bool) -> tf.Tensor:
    """Log power that a model draws of a batch of windows: float [batch, frames, bins]."""
    return model({name: batch[name] for name in model.input}, training=training)


def example_losses(model: keras.Model, batch: Batch, example_loss: Loss, *, training: bool) -> tf.Tensor:
    """The loss of each window of a batch, in the precision of the network's output and never in halves: float [batch]."""
    drawn = predict(model, batch, training=training)
    return example_loss(tf.cast(batch["log_power"], drawn.dtype), drawn)


def _follow(
    averaged: keras.Model, model: keras.Model, iterations: keras.Variable, decay: float, strategy: tf.distribute.Strategy
) -> None:
    """Moves averaged weights towards the model's; at first faster, so that the first weights are soon forgotten.

    Source: the decay of step t is min(decay, (1 + t) / (10 + t)), as in `tf.train.ExponentialMovingAverage`.
    """
    step = tf.cast(iterations.value, tf.float32)
    rate = 1.0 - tf.minimum(decay, (1.0 + step) / (10.0 + step))
    for average, variable in zip(averaged.trainable_variables, model.trainable_variables, strict=True):
        strategy.extended.update(
            average.value,
            lambda average, value, rate: average.assign_add(tf.cast(rate, average.dtype) * (value - average)),
            args=(variable.value, rate),
        )
