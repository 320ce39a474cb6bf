"""One optimizer step: the shares that devices take of a batch add up to the step of the whole batch."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pnet_tf import loss, trainer


def network():
    keras.utils.set_random_seed(1)
    rolls = {name: keras.Input((None, 3), name=name) for name in ("pianoroll", "onset_offset")}
    return keras.Model(rolls, keras.layers.Dense(2)(keras.layers.Add()(list(rolls.values()))))


def moved(batch, *, batch_size, example_loss):
    """How far plain gradient descent moves the weights from where they begin, and the loss it gives."""
    model = network()
    before = model.get_weights()
    optimizer = keras.optimizers.SGD(1.0)
    optimizer.build(model.trainable_variables)
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    step = trainer.make_train_step(model, optimizer, example_loss, strategy=strategy, batch_size=batch_size)
    share = float(step(batch))
    return [new - old for new, old in zip(model.get_weights(), before)], share


@pytest.mark.parametrize("example_loss", loss.LOSSES.values(), ids=loss.LOSSES)
def test_shares_of_a_batch_add_up_to_the_step_of_the_whole(example_loss):
    """A global batch of five, as one device takes it and as two take three and two of it."""
    random = np.random.default_rng(2)
    shapes = {"pianoroll": (5, 4, 3), "onset_offset": (5, 4, 3), "log_power": (5, 4, 2)}
    batch = {name: tf.constant(random.normal(size=shape), tf.float32) for name, shape in shapes.items()}
    whole, mean_loss = moved(batch, batch_size=5, example_loss=example_loss)
    parts = [
        moved({name: value[cut] for name, value in batch.items()}, batch_size=5, example_loss=example_loss)
        for cut in (slice(0, 3), slice(3, 5))
    ]
    assert mean_loss == pytest.approx(sum(share for _, share in parts), rel=1e-5)
    for index, change in enumerate(whole):
        assert np.abs(change).max() > 1e-3
        np.testing.assert_allclose(sum(changes[index] for changes, _ in parts), change, atol=1e-5)
