"""Takes away the hiss that a network's small errors make where nothing sounds; notes are left as they are. In NumPy.

Two rules. A bin whose log power is below `FLOOR` counts as silent: a network that is off by some hundredths there makes a noise
of all bins together. Up to `FULL` it comes back smoothly, from there on nothing is changed. What is silent gets the noise
floor of the voice's recordings, where that is known, up to `FLOOR`: no instrument in a room is ever as still, and a note that
dies away is not to be held up by it. And in a rest, from `HOLD_SEC`
after the last note to `LEAD_SEC` before the next, the sound fades out: the network has seldom seen silence in training.

`hiss_gate` is the same in a graph of TensorFlow, for exported models; the tests of both are the same.
"""

import math
from collections.abc import Sequence

import numpy as np

from pnet_tf.spec import FeatureSpec

# In log power as the network says it, whatever the target's gain: its errors are of that order. Whatever the gain, 0.4 is 46 dB
# below a partial of log power 10.
FLOOR, FULL = 0.1, 0.4
HOLD_SEC, LEAD_SEC = 0.5, 0.05
CLOSE_SEC, OPEN_SEC = 0.5, 0.05


def rest_gain(sounding: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """How far the gate is open over time: 1 while notes sound and around them, 0 in rests.

    Args:
      sounding: bool [batch, frames], whether a note sounds.
      spec: gives the frame rate.

    Returns:
      float32 [batch, frames], a factor of the magnitude.
    """
    rate_hz = float(spec.frame_rate_hz)
    since, until = _frames_since(sounding), _frames_since(sounding[:, ::-1])[:, ::-1]
    closing = 1 - (since - HOLD_SEC * rate_hz) / (CLOSE_SEC * rate_hz)
    opening = 1 - (until - LEAD_SEC * rate_hz) / (OPEN_SEC * rate_hz)
    open_part = np.maximum(closing, opening)
    gain = np.square(np.sin(math.pi / 2 * np.clip(open_part, 0, 1)))
    # Exactly 1, whatever the machine's sine says of a quarter turn.
    return np.where(open_part < 1, gain, 1).astype(np.float32)


def _frames_since(sounding: np.ndarray) -> np.ndarray:
    """Frames since the last one that sounded, float64 [batch, frames]; infinite where none has."""
    frame = np.arange(sounding.shape[1], dtype=np.float64)
    return frame - np.maximum.accumulate(np.where(sounding, frame, -np.inf), axis=1)


def levels(
    noise_floor: Sequence[float] | None, ceiling: Sequence[float] | None, peaks: Sequence[Sequence[float]] | None = None
) -> dict[str, np.ndarray]:
    """What a voice knows of its recordings' levels, as `gate` takes it.

    Args:
      noise_floor: [bins], or None.
      ceiling: [bins], or None.
      peaks: [2, points] as `peak_levels` gives it, or None.

    Returns:
      `noise_floor` and `ceiling`, float32 [bins], or [1] of no bound; `peaks`, float32 [2, points], or [2, 0].
    """
    return {
        "noise_floor": np.array(noise_floor or [0.0], np.float32),
        "ceiling": np.array(ceiling or [math.inf], np.float32),
        "peaks": np.array(peaks or ((), ()), np.float32),
    }


def _risen(log_power: np.ndarray, peaks: np.ndarray | None) -> np.ndarray:
    """Log power with its loudest bins, one of a thousand, as loud as the recordings'."""
    if peaks is None or not peaks.size:
        return log_power
    loud = log_power > peaks[0, 0]
    risen = log_power.copy()
    risen[loud] += np.interp(log_power[loud], *peaks)
    return risen


def gate(
    log_power: np.ndarray,
    gain: np.ndarray,
    *,
    noise_floor: np.ndarray | float = 0.0,
    ceiling: np.ndarray | float = math.inf,
    peaks: np.ndarray | None = None,
) -> np.ndarray:
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
    log_power = np.minimum(_risen(log_power, peaks), np.float32(ceiling))
    risen = np.clip((log_power - np.float32(FLOOR)) / np.float32(FULL - FLOOR), 0, 1)
    kept = np.maximum(log_power, 0) * (risen * risen * (3 - 2 * risen))
    np.maximum(kept, np.minimum(np.float32(noise_floor), np.float32(FLOOR)), out=kept)
    closing = gain < 1
    if closing.any():
        power_gain = np.square(gain[closing])[:, None]
        # log1p(power_gain * expm1(kept)) without the overflow of expm1.
        with np.errstate(divide="ignore"):
            quiet = kept[closing] + np.log(power_gain + (1 - power_gain) * np.exp(-kept[closing]))
        # The sign: a closed gate leaves nothing, not even rounding.
        kept[closing] = np.sign(power_gain) * np.maximum(quiet, 0)
    return kept
