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


def test_variance_error_by_hand():
    """Over two frames the bins of the first example deviate by 1 and 1 from their means, and by 1 and 1.5 as drawn."""
    expected = [(0.0 + 0.5**2) / 2, (0.0 + 0.25**2) / 2]
    np.testing.assert_allclose(loss.variance_error(TARGET, PREDICTION), expected, atol=0.01)


def test_a_mean_of_all_that_may_sound_has_too_little_variance_and_the_right_level_none():
    random = np.random.default_rng(2)
    target = random.normal(5, 2, (3, 400, 6)).astype(np.float32)
    flat = np.full_like(target, 5.0)
    np.testing.assert_allclose(loss.variance_error(target, target), 0, atol=1e-9)
    np.testing.assert_allclose(loss.variance_error(target, target + 3), 0, atol=1e-6)
    np.testing.assert_allclose(loss.variance_error(target, flat), 4, rtol=0.15)


def test_variance_has_a_gradient_where_nothing_moves():
    flat = tf.zeros([1, 8, 2])
    with tf.GradientTape() as tape:
        tape.watch(flat)
        error = loss.variance_error(tf.random.stateless_normal([1, 8, 2], [0, 1]), flat)
    assert np.isfinite(tape.gradient(error, flat)).all()


def test_weights_of_losses_add_up_and_none_leaves_the_loss_as_it_is():
    assert loss.make_loss("mse") is loss.squared_error
    assert loss.make_loss("mae", variance_weight=0.0) is loss.absolute_error
    both = loss.make_loss("mae", variance_weight=3.0)(TARGET, PREDICTION)
    expected = loss.absolute_error(TARGET, PREDICTION) + 3 * loss.variance_error(TARGET, PREDICTION)
    np.testing.assert_allclose(both, expected, rtol=1e-6)


def test_level_error_by_hand():
    """Frames of power 3 and 8 in the recording, 1 and 3 as drawn, whenever they come: levels of log 4 and 9, 2 and 4."""
    target = np.log1p(np.array([[[1.0, 2.0], [5.0, 3.0]]], np.float32))
    drawn = np.log1p(np.array([[[3.0, 0.0], [0.0, 1.0]]], np.float32))
    expected = (np.log(4 / 2) ** 2 + np.log(9 / 4) ** 2) / 2
    np.testing.assert_allclose(loss.level_error(target, drawn), [expected], rtol=1e-5)
    np.testing.assert_allclose(loss.level_error(target, target[:, ::-1]), [0], atol=1e-9)
    both = loss.make_loss("mse", level_weight=2.0, variance_weight=3.0)(target, drawn)
    added = 2 * loss.level_error(target, drawn) + 3 * loss.variance_error(target, drawn)
    np.testing.assert_allclose(both, loss.squared_error(target, drawn) + added, rtol=1e-5)


def test_levels_have_a_gradient_whatever_is_drawn():
    drawn = tf.constant([[[-3.0, 0.0, 500.0], [1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]])
    with tf.GradientTape() as tape:
        tape.watch(drawn)
        error = loss.level_error(tf.ones([1, 3, 3]), drawn)
    gradient = tape.gradient(error, drawn)
    assert np.isfinite(error).all() and np.isfinite(gradient).all() and np.abs(gradient[0, 1]).min() > 0


@pytest.mark.parametrize(("name", "power"), [("mse", 2), ("mae", 1)])
def test_loud_bins_weigh_more_by_hand(name, power):
    """By what is drawn there: nothing below 0, and no more above 12."""
    target = np.array([[[1.0, 2.0, 3.0, 4.0]]], np.float32)
    drawn = np.array([[[-3.0, 0.0, 5.0, 20.0]]], np.float32)
    weights = np.array([1, 1, 1 + 2, 1 + 2 * 2.4**2])
    expected = (weights * np.array([4, 2, 2, 16]) ** power).sum() / weights.sum()
    found = loss.make_loss(name, loud_weight=2.0)(tf.constant(target), tf.constant(drawn))
    np.testing.assert_allclose(found, [expected], rtol=1e-6)
    both = loss.make_loss(name, loud_weight=2.0, variance_weight=3.0)(tf.constant(target), tf.constant(drawn))
    np.testing.assert_allclose(both, found + 3 * loss.variance_error(target, tf.constant(drawn)), rtol=1e-6)


def test_with_loud_weights_the_mean_of_the_targets_is_still_the_best_prediction():
    """Of two targets for one drawing the gradient vanishes at their mean, bin by bin, whatever the weights."""
    targets = tf.constant(np.random.default_rng(0).uniform(0, 12, (2, 3, 5)), tf.float32)
    drawn = tf.repeat(tf.reduce_mean(targets, axis=0, keepdims=True), 2, axis=0)
    with tf.GradientTape() as tape:
        tape.watch(drawn)
        error = tf.reduce_sum(loss.make_loss("mse", loud_weight=4.0)(targets, drawn))
    np.testing.assert_allclose(tf.reduce_sum(tape.gradient(error, drawn), axis=0), 0, atol=1e-6)


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


def test_cosine_error_by_hand_whatever_the_level():
    amplitude = np.array([[[3.0, 4.0], [1.0, 0.0]]])
    turned = np.array([[[40.0, 30.0], [0.0, 7.0]]])
    target, drawn = (np.log1p(one**2).astype(np.float32) for one in (1000 * amplitude, 1000 * turned))
    np.testing.assert_allclose(loss.cosine_error(target, drawn), [((1 - 24 / 25) + 1) / 2], rtol=1e-3)
    np.testing.assert_allclose(loss.cosine_error(target, np.log1p((500 * amplitude) ** 2).astype(np.float32)), [0], atol=1e-4)
    both = loss.make_loss("mse", cosine_weight=2.0)(target, drawn)
    np.testing.assert_allclose(both, loss.squared_error(target, drawn) + 2 * loss.cosine_error(target, drawn), rtol=1e-5)


@pytest.mark.parametrize("error", [loss.cosine_error, loss.level_error])
def test_errors_of_frames_have_a_gradient_where_nothing_is_drawn(error):
    drawn = tf.constant([[[0.0, 0.0], [-3.0, 500.0]]])
    with tf.GradientTape() as tape:
        tape.watch(drawn)
        value = error(tf.zeros([1, 2, 2]), drawn)
    assert np.isfinite(value).all() and np.isfinite(tape.gradient(value, drawn)).all()
