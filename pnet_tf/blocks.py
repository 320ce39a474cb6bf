"""The layers and blocks that the network is made of: padding, instance norm, convolution, up, multi-band residual.

Pure Keras (`keras.layers`, `keras.ops`), so that any Keras backend runs it. Axes are [batch, frames, channels].
"""

from typing import Any

import keras
from keras import layers, ops

from pnet_tf.model_config import EPSILON, KERNEL_FRAMES, NEGATIVE_SLOPE


def whole_precision() -> str:
    """The type of the variables under the policy in force: float32, or float64; never a half."""
    return keras.config.dtype_policy().variable_dtype


@keras.saving.register_keras_serializable(package="pnet_tf")
class PadFrames(layers.Layer):
    """Zero frames at the end, up to a whole multiple: [batch, frames, channels] -> [batch, padded, channels]."""

    def __init__(self, multiple: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.multiple = multiple

    def call(self, x: Any) -> Any:
        """Pads [batch, frames, channels] at the end."""
        n_missing = -ops.shape(x)[1] % self.multiple
        if isinstance(n_missing, int) and n_missing == 0:
            return x
        return ops.pad(x, [[0, 0], [0, n_missing], [0, 0]])

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The output's shape for given input shapes."""
        batch, n_frames, channels = input_shape
        return (batch, None if n_frames is None else n_frames + -n_frames % self.multiple, channels)

    def get_config(self) -> dict[str, Any]:
        """What the layer is made again from."""
        return {**super().get_config(), "multiple": self.multiple}


@keras.saving.register_keras_serializable(package="pnet_tf")
class CropFrames(layers.Layer):
    """The first frames of `x`, as many as `like` has: takes off what `PadFrames` put on."""

    def call(self, x: Any, like: Any) -> Any:
        """Crops `x` [batch, padded, channels] to the frames of `like`."""
        n_frames = ops.shape(like)[1]
        return x if isinstance(n_frames, int) and n_frames == x.shape[1] else x[:, :n_frames]

    def compute_output_shape(
        self, x_shape: tuple[int | None, ...], like_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        """The output's shape for given input shapes."""
        return (x_shape[0], like_shape[1], x_shape[2])


@keras.saving.register_keras_serializable(package="pnet_tf")
class InstanceNorm(layers.Layer):
    """Brings each channel of each example to mean 0 and variance 1 over its frames, padding left out.

    The second input, `score` [batch, frames, pitches], is the unpadded network input: it says how many of the frames
    of `x` are real at this level. Those that are not become 0, so that the convolution after it sees at the end what it
    sees at the start. Never in halves: float32 under a policy of mixed precision.

    Source: Ulyanov et al. 2016 (arXiv 1607.08022) without scale and shift, biased variance, as PyTorch's
    `InstanceNorm1d(affine=False)`; tests/test_blocks.py checks the values.
    """

    def __init__(self, frames_per_step: int, epsilon: float = EPSILON, **kwargs: Any) -> None:
        super().__init__(**{"dtype": whole_precision(), **kwargs})
        self.frames_per_step = frames_per_step
        self.epsilon = epsilon

    def call(self, x: Any, score: Any) -> Any:
        """Normalises `x` [batch, steps, channels] over the steps that `score` has."""
        n_real = -(-ops.shape(score)[1] // self.frames_per_step)
        if isinstance(n_real, int) and n_real == x.shape[1]:
            centred = x - ops.mean(x, axis=1, keepdims=True)
            variance = ops.mean(ops.square(centred), axis=1, keepdims=True)
            return centred * ops.rsqrt(variance + self.epsilon)
        mask = ops.cast(ops.arange(ops.shape(x)[1]) < n_real, x.dtype)[None, :, None]
        share = mask / ops.sum(mask)
        centred = (x - ops.sum(x * share, axis=1, keepdims=True)) * mask
        variance = ops.sum(ops.square(centred) * share, axis=1, keepdims=True)
        return centred * ops.rsqrt(variance + self.epsilon)

    def compute_output_shape(
        self, x_shape: tuple[int | None, ...], score_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        """The output's shape for given input shapes."""
        return x_shape

    def get_config(self) -> dict[str, Any]:
        """What the layer is made again from."""
        return {**super().get_config(), "frames_per_step": self.frames_per_step, "epsilon": self.epsilon}


@keras.saving.register_keras_serializable(package="pnet_tf")
class BandConv(layers.Layer):
    """A convolution in each of `n_bands` equal slices of the channels: [batch, frames, channels], the same out.

    Equal to a grouped convolution. The bands are split by hand because TensorFlow has no CPU kernel for the gradient of
    a grouped one.
    """

    def __init__(self, n_bands: int, kernel_initializer: str = "glorot_normal", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n_bands = n_bands
        self.kernel_initializer = kernel_initializer

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the weights for a number of channels."""
        n_channels = input_shape[-1]
        if n_channels % self.n_bands:
            raise ValueError(f"{self.name}: {n_channels} channels cannot be split into {self.n_bands} equal bands")
        width = n_channels // self.n_bands
        self.kernels = [
            self.add_weight(
                name=f"kernel_{band}", shape=(KERNEL_FRAMES, width, width), initializer=self.kernel_initializer
            )
            for band in range(self.n_bands)
        ]
        self.bias = self.add_weight(name="bias", shape=(n_channels,), initializer="zeros")

    def call(self, x: Any) -> Any:
        """Convolves each band of [batch, frames, channels]."""
        bands = ops.split(x, self.n_bands, axis=-1)
        out = [
            ops.conv(band, ops.cast(kernel, self.compute_dtype), strides=1, padding="same", data_format="channels_last")
            for band, kernel in zip(bands, self.kernels, strict=True)
        ]
        return ops.concatenate(out, axis=-1) + ops.cast(self.bias, self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The output's shape for given input shapes."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """What the layer is made again from."""
        return {**super().get_config(), "n_bands": self.n_bands, "kernel_initializer": self.kernel_initializer}


def convolve(
    x: Any, n_channels: int, *, name: str, kernel_frames: int = KERNEL_FRAMES, initializer: str | None = None
) -> Any:
    """A convolution over time: [batch, frames, any] -> [batch, frames, n_channels]."""
    chosen = {} if initializer is None else {"kernel_initializer": initializer}
    return layers.Conv1D(n_channels, kernel_frames, name=name, **_convolution("instance") | chosen)(x)


def _convolution(norm: str) -> dict[str, Any]:
    """What all convolutions have in common."""
    return {"padding": "same", "kernel_initializer": _initializer(norm), "bias_initializer": "zeros"}


def _initializer(norm: str) -> str:
    """The paper's where a norm follows; where none does, one that keeps the variance through a leaky ReLU."""
    return "glorot_normal" if norm == "instance" else "he_normal"


def _before_norm(layer: layers.Layer, x: Any, norm: str) -> Any:
    """Applies a convolution, and fixes its bias at 0 where an instance norm follows; shapes as the layer's.

    The norm takes the mean of each channel away and the bias with it, so its gradient is 0 but for rounding. Adam makes
    steps of full size of that rounding, and in a window without any onset the norms blow it up: trainings that should be
    equal part.
    """
    y = layer(x)
    layer.bias.trainable = norm == "none"
    return y


def normalise(x: Any, score: Any, *, level: int, name: str, norm: str) -> Any:
    """The norm and leaky ReLU at a level where one step is `2 ** level` frames; the shape stays."""
    x = _normed(x, score, level=level, name=name, norm=norm)
    return layers.LeakyReLU(negative_slope=NEGATIVE_SLOPE, name=f"{name}_act")(x)


def _normed(x: Any, score: Any, *, level: int, name: str, norm: str) -> Any:
    return InstanceNorm(2**level, name=f"{name}_norm")(x, score) if norm == "instance" else x


def conv_norm(x: Any, score: Any, n_channels: int, *, level: int, name: str, norm: str = "instance") -> Any:
    """Convolution, norm, leaky ReLU: [batch, frames, any] -> [batch, frames, n_channels]."""
    x = _before_norm(layers.Conv1D(n_channels, KERNEL_FRAMES, name=name, **_convolution(norm)), x, norm)
    return normalise(x, score, level=level, name=name, norm=norm)


def halve(x: Any, *, name: str) -> Any:
    """Max-pooling by two over time: [batch, frames, channels] -> [batch, frames / 2, channels]."""
    return layers.MaxPooling1D(pool_size=2, strides=2, padding="valid", name=name)(x)


def double(
    x: Any, score: Any, n_channels: int, *, kernel_frames: int, level: int, name: str, norm: str = "instance"
) -> Any:
    """Transposed convolution by two, then norm: [batch, frames, any] -> [batch, 2 * frames, n_channels]."""
    layer = layers.Conv1DTranspose(n_channels, kernel_frames, strides=2, name=name, **_convolution(norm))
    return normalise(_before_norm(layer, x, norm), score, level=level, name=name, norm=norm)


def multi_band_residual(x: Any, score: Any, *, n_bands: int, name: str, norm: str = "instance") -> Any:
    """The TextureNet's block at full frame rate: [batch, frames, channels], the same out.

    Each of `n_bands` slices of the channels goes through convolution, norm, leaky ReLU, convolution and norm, and is
    added to itself; the block's input is added to the joined bands. The norms work on each channel alone, so they run on
    the joined bands.

    Source: Wang & Yang 2019 (arXiv 1811.04357), section 3.3.
    """
    y = _before_norm(BandConv(n_bands, _initializer(norm), name=f"{name}_conv1"), x, norm)
    y = normalise(y, score, level=0, name=f"{name}_conv1", norm=norm)
    y = _before_norm(BandConv(n_bands, _initializer(norm), name=f"{name}_conv2"), y, norm)
    y = _normed(y, score, level=0, name=f"{name}_conv2", norm=norm)
    bands = layers.Add(name=f"{name}_bands")([x, y])
    return layers.Add(name=f"{name}_out")([x, bands])
