"""The network: a U-Net that draws a spectrogram from a score (ContourNet), and bands that refine it (TextureNet).

Pure Keras, so that any Keras backend runs it.
"""

import dataclasses
import json
from typing import Any

import keras
from keras import layers

from pnet_tf import blocks
from pnet_tf.errors import InputError
from pnet_tf.spec import FeatureSpec

FILE_NAME = "model_config.json"
PRESETS = ("paper",)
_MOST_BLOCKS = 64


@dataclasses.dataclass(frozen=True)
class Plan:
    """Channels at width 1.0, level by level; level `n` runs at `1 / 2**n` of the frame rate."""

    encoder: tuple[int, ...] = (256, 512, 1024, 2048, 4096)
    condition: tuple[int, ...] = (256, 512, 1024)
    # From the bottom up: channels out, frames of the transposed kernel, level of the condition's output or None.
    decoder: tuple[tuple[int, int, int | None], ...] = ((2048, 6, 3), (1024, 4, 2), (1024, 3, None), (1024, 2, None))


PAPER = Plan()
FRAME_MULTIPLE = 2 ** (len(PAPER.encoder) - 1)


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """What the network is, beside the feature spec.

    Attributes:
      preset: the plan of its layers; `paper` is Wang & Yang's.
      width: factor on every number of hidden channels; 1.0 is the paper's.
      bands: number of bands of each multi-band residual block, in order.
      norm: what follows a convolution: `instance`, the paper's, which takes the level of each channel away over a window,
        or `none`, which keeps it and sees no further than the convolutions do.
      max_channels: no layer before the bins has more; None for the plan's own. The paper's bottom has 4096 at width 1.0.
    """

    preset: str = "paper"
    width: float = 1.0
    bands: tuple[int, ...] = (2, 4, 8, 16)
    norm: str = "instance"
    max_channels: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "bands", tuple(self.bands))
        object.__setattr__(self, "width", float(self.width))
        if self.preset not in PRESETS:
            raise InputError(f"model config: preset is {self.preset!r}, this version knows {', '.join(PRESETS)}")
        if self.norm not in blocks.NORMS:
            raise InputError(f"model config: norm is {self.norm!r}, this version knows {', '.join(blocks.NORMS)}")
        if not 0 < self.width <= 4:
            raise InputError(f"model config: width is {self.width}, expected a number above 0 and at most 4")
        if self.max_channels is not None and (type(self.max_channels) is not int or self.max_channels < 1):
            raise InputError(f"model config: max_channels is {self.max_channels!r}, expected a whole number above 0 or none")
        hidden = self.channels(PAPER.decoder[-1][0])
        if len(self.bands) > _MOST_BLOCKS:
            raise InputError(f"model config: {len(self.bands)} blocks of bands, expected at most {_MOST_BLOCKS}")
        wrong = [n for n in self.bands if type(n) is not int or n < 1 or hidden % n]
        if wrong:
            raise InputError(
                f"model config: {hidden} hidden channels (width {self.width}) cannot be split into {wrong} equal bands; "
                "use a width, max_channels or bands that divide"
            )

    def channels(self, at_full_width: int) -> int:
        """Hidden channels of a layer that has `at_full_width` of them at width 1.0."""
        n_channels = max(1, round(at_full_width * self.width))
        return n_channels if self.max_channels is None else min(n_channels, self.max_channels)

    def to_json(self) -> str:
        """Canonical JSON, with a newline at the end."""
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, *, where: str) -> "ModelConfig":
        """The config that `to_json` wrote.

        Args:
          text: JSON.
          where: the file it came from, for messages.

        Raises:
          InputError: no JSON object with these fields, or a value out of range.
        """
        try:
            fields = json.loads(text)
            return cls(**{**fields, "bands": tuple(fields["bands"])})
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            raise InputError(f"{where}: not a model config ({error})") from error
        except InputError as error:
            raise InputError(f"{where}: {error}") from error


def _encode_condition(onset_offset: Any, score: Any, config: ModelConfig) -> dict[int, Any]:
    """The onset/offset encoder: its pooled output by level."""
    x, outputs = onset_offset, {}
    for level, full in enumerate(PAPER.condition):
        n_channels = config.channels(full)
        for conv in (1, 2):
            x = blocks.conv_norm(x, score, n_channels, level=level, name=f"condition{level}_conv{conv}", norm=config.norm)
        x = blocks.halve(x, name=f"condition{level}_pool")
        outputs[level + 1] = x  # [batch, frames / 2**(level + 1), n_channels]
    return outputs


def _encode(pianoroll: Any, score: Any, config: ModelConfig) -> list[Any]:
    """The encoder: what each level holds before pooling, the bottom last."""
    x, levels = pianoroll, []
    for level, full in enumerate(PAPER.encoder):
        n_channels = config.channels(full)
        if level:
            x = blocks.halve(x, name=f"encoder{level}_pool")
        for conv in (1, 2):
            x = blocks.conv_norm(x, score, n_channels, level=level, name=f"encoder{level}_conv{conv}", norm=config.norm)
        levels.append(x)  # [batch, frames / 2**level, n_channels]
    return levels


def _decode(levels: list[Any], conditions: dict[int, Any], score: Any, config: ModelConfig) -> Any:
    """The decoder: [batch, frames, channels] at full frame rate."""
    x = levels[-1]
    for step, (full, kernel_frames, condition_level) in enumerate(PAPER.decoder):
        level = len(levels) - 2 - step
        n_channels, name = config.channels(full), f"decoder{level}"
        same = {"level": level, "norm": config.norm}
        x = blocks.double(x, score, n_channels, kernel_frames=kernel_frames, name=f"{name}_up", **same)
        x = layers.Concatenate(name=f"{name}_skip")([x, levels[level]])
        x = blocks.conv_norm(x, score, n_channels, name=f"{name}_conv1", **same)
        if condition_level is not None:
            x = layers.Concatenate(name=f"{name}_condition")([x, conditions[condition_level]])
        x = blocks.conv_norm(x, score, n_channels, name=f"{name}_conv2", **same)
    return x


def build_performance_net(spec: FeatureSpec, config: ModelConfig) -> keras.Model:
    """The network from rolls to a log-power spectrogram.

    Args:
      spec: gives the number of pitches and bins.
      config: gives the layers' plan and width.

    Returns:
      A functional model with inputs `pianoroll` and `onset_offset`, float [batch, frames, n_pitches], and output
      `log_power`, float32 [batch, frames, n_bins]. Any number of frames from 1 on; as many come out as go in.

    Source: Wang & Yang 2019 (arXiv 1811.04357); the skip connections join equal times, unlike the authors' code.
    """
    pianoroll = keras.Input((None, spec.n_pitches), name="pianoroll")
    onset_offset = keras.Input((None, spec.n_pitches), name="onset_offset")
    roll = blocks.PadFrames(FRAME_MULTIPLE, name="pad_pianoroll")(pianoroll)
    onsets = blocks.PadFrames(FRAME_MULTIPLE, name="pad_onset_offset")(onset_offset)
    conditions = _encode_condition(onsets, pianoroll, config)
    levels = _encode(roll, pianoroll, config)
    x = _decode(levels, conditions, pianoroll, config)  # [batch, padded, channels]
    for index, n_bands in enumerate(config.bands):
        x = blocks.multi_band_residual(x, pianoroll, n_bands=n_bands, name=f"texture{index}", norm=config.norm)
    x = blocks.convolve(x, spec.n_bins, name="bins")  # [batch, padded, n_bins]
    whole = blocks.whole_precision()
    x = layers.LeakyReLU(negative_slope=blocks.NEGATIVE_SLOPE, dtype=whole, name="bins_act")(x)
    log_power = blocks.CropFrames(name="log_power", dtype=whole)(x, pianoroll)  # [batch, frames, n_bins]
    return keras.Model({"pianoroll": pianoroll, "onset_offset": onset_offset}, log_power, name="performance_net")
