"""The network: a U-Net that draws a spectrogram from a score (ContourNet), and bands that refine it (TextureNet).

Pure Keras, so that any Keras backend runs it.
"""

from typing import Any

import keras
from keras import layers

from pnet_tf import blocks, note_decay
from pnet_tf.model_config import FRAME_MULTIPLE, NEGATIVE_SLOPE, PAPER, ModelConfig
from pnet_tf.note_spectra import NoteSpectra
from pnet_tf.spec import FeatureSpec


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
      `log_power`, float32 [batch, frames, n_bins]. Any number of frames from 1 on; as many come out as go in. Where the
      config names recordings there is a third input, `recording`, int32 [batch], the place of one among them.

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
    whole = blocks.whole_precision()
    inputs = {"pianoroll": pianoroll, "onset_offset": onset_offset}
    if config.note_spectra is None:
        x = blocks.convolve(x, spec.n_bins, name="bins")  # [batch, padded, n_bins]
    else:
        recording = {"recording": keras.Input((), dtype="int32", name="recording")} if config.recordings else {}
        inputs |= recording
        added = blocks.convolve(x, spec.n_bins, name="bins", initializer="zeros")
        spectra = NoteSpectra(*config.note_spectra, spec.n_bins, n_recordings=len(config.recordings), name=note_decay.LAYER)
        x = layers.Add(dtype=whole, name="bins_sum")([added, spectra(roll, onsets, **recording)])
    x = layers.LeakyReLU(negative_slope=NEGATIVE_SLOPE, dtype=whole, name="bins_act")(x)
    log_power = blocks.CropFrames(name="log_power", dtype=whole)(x, pianoroll)  # [batch, frames, n_bins]
    return keras.Model(inputs, log_power, name="performance_net")
