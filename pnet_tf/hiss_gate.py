"""`light_gate` in-graph, for exported models: the same rules and numbers, and the same tests."""

import math
from collections.abc import Sequence

import tensorflow as tf

from pnet_tf import light_gate
from pnet_tf.light_gate import CLOSE_SEC, FLOOR, FULL, HOLD_SEC, LEAD_SEC, OPEN_SEC
from pnet_tf.spec import FeatureSpec


def rest_gain(sounding: tf.Tensor, spec: FeatureSpec) -> tf.Tensor:
    """How far the gate is open over time: 1 while notes sound and around them, 0 in rests.

    Args:
      sounding: bool [batch, frames], whether a note sounds.
      spec: gives the frame rate.

    Returns:
      float32 [batch, frames], a factor of the magnitude.
    """
    rate_hz = float(spec.frame_rate_hz)
    since = _frames_since(sounding, (HOLD_SEC + CLOSE_SEC) * rate_hz)
    until = tf.reverse(_frames_since(tf.reverse(sounding, [1]), (LEAD_SEC + OPEN_SEC) * rate_hz), [1])
    closing = 1 - (since - HOLD_SEC * rate_hz) / (CLOSE_SEC * rate_hz)
    opening = 1 - (until - LEAD_SEC * rate_hz) / (OPEN_SEC * rate_hz)
    open_part = tf.maximum(closing, opening)
    # Exactly 1, whatever the machine's sine says of a quarter turn.
    return tf.where(open_part < 1, tf.square(tf.sin(math.pi / 2 * tf.clip_by_value(open_part, 0.0, 1.0))), 1.0)


def _frames_since(sounding: tf.Tensor, most: float) -> tf.Tensor:
    """Frames since the last one that sounded, float32 [batch, frames]; what is more than `most` is only known to be more."""
    since = tf.where(sounding, 0.0, 2 * most)
    step = 1
    while step <= most:
        earlier = tf.pad(since[:, :-step], [[0, 0], [tf.minimum(step, tf.shape(since)[1]), 0]], constant_values=2 * most)
        since = tf.minimum(since, earlier + float(step))
        step *= 2
    return since


def levels(
    noise_floor: Sequence[float] | None, ceiling: Sequence[float] | None, peaks: Sequence[Sequence[float]] | None = None
) -> dict[str, tf.Tensor]:
    """What a voice knows of its recordings' levels, as `gate` takes it: [bins], [bins], [2, points], as `light_gate.levels`."""
    return {name: tf.constant(level) for name, level in light_gate.levels(noise_floor, ceiling, peaks).items()}


def _risen(log_power: tf.Tensor, peaks: tf.Tensor) -> tf.Tensor:
    """As `numpy.interp` adds it: [...] of log power -> the same."""
    drawn, rise = tf.unstack(peaks)
    risen = log_power
    for k in range(1, peaks.shape[1]):
        part = tf.clip_by_value(log_power, drawn[k - 1], drawn[k]) - drawn[k - 1]
        risen += part * ((rise[k] - rise[k - 1]) / (drawn[k] - drawn[k - 1]))
    return risen


def gate(
    log_power: tf.Tensor,
    gain: tf.Tensor,
    *,
    noise_floor: tf.Tensor | float = 0.0,
    ceiling: tf.Tensor | float = math.inf,
    peaks: tf.Tensor | None = None,
) -> tf.Tensor:
    """Log power without hiss, and within the levels of the recordings.

    Args:
      log_power: float32 [batch, frames, bins], as the network draws it.
      gain: float32 [batch, frames], from `rest_gain`.
      noise_floor: log power of the recordings' noise, float32 [bins], or 0 for none; counts up to `FLOOR`.
      ceiling: log power that no bin is let above, float32 [bins], or infinity for none.
      peaks: drawn log power, and what is added to it there: float32 [2, points], linear between, nothing below the first.

    Returns:
      float32 [batch, frames, bins], nowhere more than `log_power` as it has risen or the floor, nor below 0; where a note sounds
      and log power is at least `FULL`, below the first peak and at most the ceiling, the same number.
    """
    if peaks is not None:
        log_power = _risen(log_power, peaks)
    log_power = tf.minimum(log_power, ceiling)
    risen = tf.clip_by_value((log_power - FLOOR) / (FULL - FLOOR), 0.0, 1.0)
    kept = tf.maximum(tf.maximum(log_power, 0.0) * risen * risen * (3 - 2 * risen), tf.minimum(noise_floor, FLOOR))
    power_gain = tf.square(gain)[:, :, None]
    # log1p(power_gain * expm1(kept)) without the overflow of expm1.
    quiet = kept + tf.math.log(power_gain + (1 - power_gain) * tf.exp(-kept))
    # The sign: a closed gate leaves nothing, not even rounding.
    return tf.where(power_gain < 1, tf.sign(power_gain) * tf.maximum(quiet, 0.0), kept)
