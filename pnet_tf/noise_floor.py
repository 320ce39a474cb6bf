"""The noise floor of recordings: how quiet a bin is where notes sound, below which no performance should fall."""

import numpy as np

from pnet_tf.dataset import WindowPlan, windows_at
from pnet_tf.shard_set import ShardSet

# A bin lies below it a fifth of the time.
_SHARE = 0.2
_MOST_WINDOWS, _EVERY_FRAMES = 128, 8
_DECIMALS = 4


def noise_floor(shards: ShardSet, plan: WindowPlan) -> list[float]:
    """The log power that each bin exceeds four fifths of the time while notes sound.

    A squared error in log power says next to nothing of bins below the knee of the target: what a network draws there is as
    often nothing at all, and never so quiet are an instrument and a room.

    Args:
      shards: an opened shard set.
      plan: of its training part; up to 128 windows, evenly spread, are looked at.

    Returns:
      As many numbers as there are bins, to four decimals; all 0 where no note sounds.

    Raises:
      tf.errors.DataLossError: a shard is damaged.
    """
    rows = plan.fixed()
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), _MOST_WINDOWS)).round().astype(int)]
    heard = [np.zeros((0, shards.spec.n_bins), np.float32)]
    for window in windows_at(shards, plan, rows):
        sounding = window["pianoroll"].numpy()[0].any(axis=1)
        heard.append(window["log_power"].numpy()[0, sounding][::_EVERY_FRAMES])
    frames = np.concatenate(heard)
    floor = np.quantile(frames, _SHARE, axis=0) if len(frames) else np.zeros(shards.spec.n_bins)
    return np.maximum(floor, 0.0).round(_DECIMALS).tolist()
