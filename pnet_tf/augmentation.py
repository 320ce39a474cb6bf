"""Training windows that were never recorded: a recording's spectrogram moved in pitch, with the score that it then plays."""

import numpy as np
import tensorflow as tf

from pnet_tf.spec import FeatureSpec

_SHARE_AS_RECORDED = 0.5
# Apart from the order of windows, which is drawn from the same seed.
_STREAM = 1


def draw_semitones(seed: int, epoch: int, *, n_windows: int, at_most: int) -> np.ndarray:
    """How far each window of an epoch is moved: half of them not at all, the others evenly from -at_most to at_most.

    Args:
      seed: of the run.
      epoch: counted from 0.
      n_windows: in the epoch.
      at_most: semitones; 0 moves none.

    Returns:
      int64 [n_windows].
    """
    random = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, epoch, _STREAM])))
    moved = random.integers(-at_most, at_most, n_windows, endpoint=True)
    return np.where(random.random(n_windows) < _SHARE_AS_RECORDED, 0, moved)


def move_pitch(window: dict[str, tf.Tensor], semitones: tf.Tensor, spec: FeatureSpec) -> dict[str, tf.Tensor]:
    """A window as if played higher or lower: rolls by whole rows, each bin's level from where it was before.

    The body and the room of the instrument move with it, so a few semitones are the use of it. What comes from beyond
    the highest bin has that bin's level.

    Args:
      window: `pianoroll` and `onset_offset`, [frames, n_pitches], and `log_power`, float32 [frames, bins].
      semitones: int64 [], upwards.
      spec: gives the number of bins.

    Returns:
      The same shapes.
    """
    ratio = tf.pow(2.0, tf.cast(semitones, tf.float32) / 12.0)
    from_bin = tf.minimum(tf.range(spec.n_bins, dtype=tf.float32) / ratio, spec.n_bins - 1.0)
    lower = tf.minimum(tf.cast(from_bin, tf.int32), spec.n_bins - 2)
    share = from_bin - tf.cast(lower, tf.float32)
    levels = window["log_power"]
    moved = tf.gather(levels, lower, axis=1) * (1 - share) + tf.gather(levels, lower + 1, axis=1) * share
    rolls = {name: _move_rows(window[name], semitones) for name in ("pianoroll", "onset_offset")}
    return {**window, **rolls, "log_power": moved}


def _move_rows(rolled: tf.Tensor, semitones: tf.Tensor) -> tf.Tensor:
    """A roll, [frames, n_pitches], some rows higher; what leaves it is gone."""
    n_pitches = rolled.shape[1]
    rows = tf.range(n_pitches, dtype=semitones.dtype)
    stays = (rows - semitones >= 0) & (rows - semitones < n_pitches)
    return tf.where(stays[None], tf.roll(rolled, semitones, axis=1), tf.zeros([], rolled.dtype))
