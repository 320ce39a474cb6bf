"""One optimizer step: its result, shares that add up, clipping of the sum, loss scaling, averaged weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pnet_tf import loss, train_step
from pnet_tf.train_step import StepOptions

STRATEGY = tf.distribute.OneDeviceStrategy("/cpu:0")
GOING_ON = tf.constant(0.0)


def network():
    """Two inputs, three numbers in, two out; no norms, so that examples do not mix."""
    keras.utils.set_random_seed(1)
    inputs = {name: keras.Input((None, 3), name=name) for name in ("pianoroll", "onset_offset")}
    joined = keras.layers.Concatenate()(list(inputs.values()))
    return keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Dense(4, activation="tanh")(joined)))


def batch_of(n, *, scale=1.0):
    random = np.random.default_rng(2)
    shapes = {"pianoroll": (n, 4, 3), "onset_offset": (n, 4, 3), "log_power": (n, 4, 2)}
    return {name: tf.constant(scale * random.normal(size=shape), tf.float32) for name, shape in shapes.items()}


def step_of(model, optimizer, options, *, example_loss=loss.squared_error, averaged=None):
    optimizer.build(model.trainable_variables)
    return train_step.make_train_step(model, optimizer, example_loss, options, strategy=STRATEGY, averaged=averaged)


def moved(batch, *, batch_size, example_loss=loss.squared_error, **options):
    """How one step of plain gradient descent with rate 1 moves the weights, and what it gives."""
    model = network()
    before = model.get_weights()
    options = StepOptions(batch_size, **options)
    result = step_of(model, keras.optimizers.SGD(1.0), options, example_loss=example_loss)(batch, GOING_ON)
    return [new - old for new, old in zip(model.get_weights(), before)], result.numpy()


@pytest.mark.parametrize("example_loss", loss.LOSSES.values(), ids=loss.LOSSES)
def test_shares_of_a_batch_add_up_to_the_step_of_the_whole(example_loss):
    """A global batch of five, as one device takes it and as two take three and two of it."""
    batch = batch_of(5)
    whole, result = moved(batch, batch_size=5, example_loss=example_loss)
    parts = [
        moved({name: value[cut] for name, value in batch.items()}, batch_size=5, example_loss=example_loss)
        for cut in (slice(0, 3), slice(3, 5))
    ]
    assert result[train_step.LOSS] == pytest.approx(sum(part[train_step.LOSS] for _, part in parts), rel=1e-5)
    for index, change in enumerate(whole):
        assert np.abs(change).max() > 1e-3
        np.testing.assert_allclose(sum(changes[index] for changes, _ in parts), change, atol=1e-5)


def test_a_step_gives_loss_norm_and_who_asked_to_stop():
    batch, model = batch_of(3), network()
    drawn = model({name: batch[name] for name in model.input})
    expected = float(np.mean((drawn.numpy() - batch["log_power"].numpy()) ** 2))
    changes, result = moved(batch, batch_size=3)
    assert result[train_step.LOSS] == pytest.approx(expected, rel=1e-5)
    norm = np.sqrt(sum(float((change**2).sum()) for change in changes))
    assert result[train_step.GRADIENT_NORM] == pytest.approx(norm, rel=1e-5)
    assert result[train_step.N_STOPPING] == 0
    asked = step_of(network(), keras.optimizers.SGD(1.0), StepOptions(3))(batch, tf.constant(1.0))
    assert asked[train_step.N_STOPPING] == 1


def test_a_long_gradient_is_shortened_and_a_short_one_is_left():
    """Over all weights together; its direction stays, and the norm that is shown is the one before."""
    batch = batch_of(3)
    whole, result = moved(batch, batch_size=3)
    norm = float(result[train_step.GRADIENT_NORM])
    clipped, clipped_result = moved(batch, batch_size=3, clip_norm=norm / 4)
    untouched, _ = moved(batch, batch_size=3, clip_norm=norm * 4)
    assert clipped_result[train_step.GRADIENT_NORM] == pytest.approx(norm, rel=1e-6)
    for change, short, same in zip(whole, clipped, untouched, strict=True):
        np.testing.assert_allclose(short, change / 4, atol=1e-6)
        np.testing.assert_array_equal(same, change)


def test_adam_is_the_papers():
    """One step of Adam moves each weight by the rate, against the sign of its gradient; worked out by hand."""
    batch, model = batch_of(3), network()
    gradients = [-change for change in moved(batch, batch_size=3)[0]]
    before = model.get_weights()
    step_of(model, train_step.make_optimizer(0.01), StepOptions(3))(batch, GOING_ON)
    for new, old, gradient in zip(model.get_weights(), before, gradients, strict=True):
        np.testing.assert_allclose(new - old, -0.01 * gradient / (np.abs(gradient) + 1e-8), atol=2e-6)


@pytest.mark.parametrize("clip_norm", [0.0, 0.05])
def test_a_scaled_loss_moves_the_weights_as_one_that_is_not(clip_norm):
    """Norm and clipping are those of the gradient without its scale."""
    batch, models = batch_of(3), [network(), network()]
    optimizers = [train_step.make_optimizer(0.01), train_step.make_optimizer(0.01, half_gradients=True)]
    results = [
        step_of(model, optimizer, StepOptions(3, clip_norm=clip_norm))(batch, GOING_ON).numpy()
        for model, optimizer in zip(models, optimizers, strict=True)
    ]
    np.testing.assert_allclose(results[1], results[0], rtol=1e-5)
    for mine, theirs in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_allclose(theirs, mine, atol=1e-6)
    assert float(optimizers[1].dynamic_scale.numpy()) == 2.0**15


def test_a_step_whose_scaled_gradient_overflows_is_left_out():
    batch, model = batch_of(3), network()
    optimizer = train_step.make_optimizer(0.01, half_gradients=True)
    step, before = step_of(model, optimizer, StepOptions(3)), model.get_weights()
    batch["log_power"] = batch["log_power"] * 1e36
    result = step(batch, GOING_ON).numpy()
    assert not np.isfinite(result[train_step.GRADIENT_NORM])
    for new, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(new, old)
    assert float(optimizer.dynamic_scale.numpy()) == 2.0**14


def test_averaged_weights_follow_at_first_quickly_then_slowly():
    """Against the average worked out from the weights after each step."""
    batch, model, averaged = batch_of(3), network(), network()
    step = step_of(model, train_step.make_optimizer(0.1), StepOptions(3, ema_decay=0.3), averaged=averaged)
    expected = model.get_weights()
    for number in range(1, 8):
        step(batch, GOING_ON)
        decay = min(0.3, (1 + number) / (10 + number))
        expected = [decay * old + (1 - decay) * new for old, new in zip(expected, model.get_weights(), strict=True)]
    assert decay == 0.3
    for mine, theirs, last in zip(averaged.get_weights(), expected, model.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)
        assert np.abs(mine - last).max() > 1e-4


def test_the_loss_is_taken_in_the_precision_of_the_output():
    batch = batch_of(2)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        model = network()
    finally:
        keras.config.set_dtype_policy(before)
    losses = train_step.example_losses(model, batch, loss.squared_error, training=False)
    assert losses.dtype == tf.float64 and losses.shape == [2]


def test_xla_gives_the_same_step():
    batch, models = batch_of(3), [network(), network()]
    results = [
        step_of(model, train_step.make_optimizer(0.01), StepOptions(3, jit=jit))(batch, GOING_ON).numpy()
        for model, jit in zip(models, (False, True), strict=True)
    ]
    np.testing.assert_allclose(results[1], results[0], rtol=1e-5)
    for mine, theirs in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_allclose(theirs, mine, atol=1e-5)
