"""Between which levels a bin of the recordings moves where notes sound; no performance should leave that range by itself."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from pnet_tf.dataset import WindowPlan, windows_at
from pnet_tf.shard_set import ShardSet

# A bin lies below the floor a fifth of the time, and above the ceiling a two-thousandth.
_FLOOR_SHARE, _CEILING_SHARE = 0.2, 0.9995
_MOST_WINDOWS, _EVERY_FRAMES = 128, 4
_MOST_VALUES = 2**25  # 134 MB
_DECIMALS = 4


@dataclasses.dataclass(frozen=True)
class LevelRange:
    """Levels of recordings, in log power to four decimals.

    Attributes:
      noise_floor: what each bin exceeds four fifths of the time, [bins].
      ceiling: what each bin exceeds in one frame of two thousand, [bins].
    """

    noise_floor: tuple[float, ...]
    ceiling: tuple[float, ...]


def level_range(shards: ShardSet, plan: WindowPlan) -> LevelRange | None:
    """The levels of the frames in which a note sounds.

    A squared error in log power says next to nothing of bins below the knee of the target: what a network draws there is as
    often nothing at all, though no instrument in a room is ever as quiet. What is drawn too loud for a frame, at an
    attack, costs it little as well, and is all the louder beside the rest.

    Args:
      shards: an opened shard set.
      plan: of its training part.

    Returns:
      None where no note sounds.

    Raises:
      tf.errors.DataLossError: a shard is damaged.
    """
    looked_at = some_frames(shards, plan, plan.fixed())
    frames = np.concatenate([window["log_power"].numpy()[0, chosen] for window, chosen in looked_at])
    if not len(frames):
        return None
    levels = np.maximum(np.quantile(frames, (_FLOOR_SHARE, _CEILING_SHARE), axis=0), 0.0).round(_DECIMALS)
    return LevelRange(*(tuple(row) for row in levels.tolist()))


def some_frames(shards: ShardSet, plan: WindowPlan, rows: np.ndarray) -> Iterator[tuple[dict[str, tf.Tensor], np.ndarray]]:
    """Windows to measure levels on, up to 128 and 134 MB of frames, evenly spread.

    Args:
      shards: an opened shard set.
      plan: what the windows are of.
      rows: which windows there are, int64 [windows, 2], as `plan.fixed()` gives them.

    Yields:
      A window, as a batch of 1, and every fourth of its frames in which a note sounds: int64 [frames].
    """
    n_fit = max(_MOST_VALUES * _EVERY_FRAMES // (plan.window_frames * shards.spec.n_bins), 1)
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), _MOST_WINDOWS, n_fit)).round().astype(int)]
    for window in windows_at(shards, plan, rows):
        yield window, np.flatnonzero(window["pianoroll"].numpy()[0].any(axis=1))[::_EVERY_FRAMES]
