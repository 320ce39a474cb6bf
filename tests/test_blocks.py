"""The layers against PyTorch's (tests/golden/make_torch_layers.py), and what padding must not do."""

import pathlib

import keras
import numpy as np
import pytest

from pnet_tf import blocks

GOLDEN = pathlib.Path(__file__).parent / "golden" / "torch_layers.npz"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN, allow_pickle=False) as arrays:
        return dict(arrays)


def run_block(build, x, weights):
    """The output of a block with given weights: `build` makes it from a symbolic input and a symbolic score."""
    inputs = keras.Input((None, x.shape[-1]))
    score = keras.Input((None, 1))
    model = keras.Model([inputs, score], build(inputs, score))
    model.set_weights(weights)
    return np.asarray(model([x, np.zeros((len(x), x.shape[1], 1), np.float32)]))


def test_convolution_norm_and_activation_equal_pytorch(golden):
    got = run_block(
        lambda x, score: blocks.conv_norm(x, score, 5, level=0, name="c"),
        golden["x"],
        [golden["conv_kernel"], golden["conv_bias"]],
    )
    np.testing.assert_allclose(got, golden["conv_norm"], atol=2e-5)


@pytest.mark.parametrize("kernel_frames", [6, 4, 3, 2])
def test_transposed_convolution_equals_pytorch_at_equal_times(golden, kernel_frames):
    x = golden["x"]
    inputs, score = keras.Input((None, x.shape[-1])), keras.Input((None, 1))
    y = blocks.double(inputs, score, 5, kernel_frames=kernel_frames, level=0, name="u")
    model = keras.Model([inputs, score], y)
    model.set_weights([golden[f"up{kernel_frames}_kernel"], golden[f"up{kernel_frames}_bias"]])
    got = np.asarray(model([x, np.zeros((2, 2 * x.shape[1], 1), np.float32)]))
    np.testing.assert_allclose(got, golden[f"up{kernel_frames}"], atol=2e-5)


def test_multi_band_residual_equals_pytorchs_grouped_convolutions(golden):
    weights = []
    for index in range(2):
        weights += [*np.split(golden[f"band_kernel{index}"], 4, axis=2), golden[f"band_bias{index}"]]
    got = run_block(
        lambda x, score: blocks.multi_band_residual(x, score, n_bands=4, name="b"), golden["x"], weights
    )
    np.testing.assert_allclose(got, golden["band_out"], atol=5e-5)


def test_bands_do_not_see_one_another():
    layer = blocks.BandConv(4)
    x = np.random.default_rng(0).normal(size=(1, 10, 8)).astype(np.float32)
    layer.build(x.shape)
    changed = x.copy()
    changed[..., :2] += 1.0
    difference = np.abs(np.asarray(layer(x)) - np.asarray(layer(changed))).max(axis=(0, 1))
    assert (difference[:2] > 0).all()
    np.testing.assert_array_equal(difference[2:], 0)


def test_channels_that_bands_cannot_share_are_refused():
    with pytest.raises(ValueError, match="10 channels cannot be split into 4"):
        blocks.BandConv(4).build((None, None, 10))


@pytest.mark.parametrize("n_real", [5, 16])
def test_padding_changes_no_norm(n_real):
    """Statistics come from the real frames alone, and what is padded becomes 0."""
    x = np.random.default_rng(1).normal(3.0, 2.0, size=(2, 16, 4)).astype(np.float32)
    x[:, n_real:] = 1e3
    score = np.zeros((2, n_real, 1), np.float32)
    got = np.asarray(blocks.InstanceNorm(1)(x, score))
    real = x[:, :n_real].astype(np.float64)
    expected = (real - real.mean(axis=1, keepdims=True)) / np.sqrt(real.var(axis=1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(got[:, :n_real], expected, atol=1e-5)
    np.testing.assert_array_equal(got[:, n_real:], 0)


def test_norm_counts_the_real_frames_of_its_level():
    """At half the frame rate 7 frames of score are 4 steps, the last of them half real."""
    x = np.random.default_rng(2).normal(size=(1, 8, 3)).astype(np.float32)
    got = np.asarray(blocks.InstanceNorm(2)(x, np.zeros((1, 7, 1), np.float32)))
    np.testing.assert_array_equal(got[:, 4:], 0)
    np.testing.assert_allclose(got[:, :4].mean(axis=1), 0, atol=1e-6)


def test_norm_stays_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        assert blocks.InstanceNorm(1).compute_dtype == "float32"
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("n_frames", [1, 15, 16, 17])
def test_padding_and_cropping_undo_one_another(n_frames):
    x = np.random.default_rng(3).normal(size=(2, n_frames, 3)).astype(np.float32)
    padded = np.asarray(blocks.PadFrames(16)(x))
    assert padded.shape[1] % 16 == 0 and padded.shape[1] - n_frames < 16
    np.testing.assert_array_equal(padded[:, n_frames:], 0)
    np.testing.assert_array_equal(np.asarray(blocks.CropFrames()(padded, x)), x)


def test_pooling_takes_the_larger_of_two():
    x = np.array([[[1.0], [3.0], [2.0], [-1.0]]], np.float32)
    inputs = keras.Input((None, 1))
    model = keras.Model(inputs, blocks.halve(inputs, name="p"))
    np.testing.assert_array_equal(np.asarray(model(x))[0, :, 0], [3.0, 2.0])
