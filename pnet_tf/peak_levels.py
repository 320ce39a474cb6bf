"""How much louder recordings are where a network draws its loudest: what a mean of all likely sounds leaves out."""

from collections.abc import Sequence

import keras
import numpy as np

from pnet_tf.dataset import WindowPlan
from pnet_tf.errors import InputError
from pnet_tf.level_range import some_frames
from pnet_tf.shard_set import ShardSet

# One bin of a thousand is louder than where the curve begins, one of a hundred thousand than where it ends.
_SHARES = (0.999, 0.9999, 0.99999)
_DECIMALS = 4

Peaks = tuple[tuple[float, ...], tuple[float, ...]]


def peak_levels(model: keras.Model, shards: ShardSet, plan: WindowPlan, names: Sequence[str] = ()) -> Peaks | None:
    """The curve by which drawn peaks rise to the recorded ones, quantile by quantile.

    What is drawn is near the mean of what a score may sound like, and a mean has few extremes: the loudest bins are some
    decibels too quiet, and all else is too loud beside them. Speech synthesis knows it as lost global variance.

    Args:
      model: draws log power; for one colour.
      shards: what it was trained on.
      plan: of the training part.
      names: recordings to look at; none for all.

    Returns:
      Drawn log power, and what is added to it there, each rising, to four decimals; linear between, nothing below the first and
      the same above the last. None where the network draws too little of its own to tell.

    Raises:
      InputError: no window is of the recordings that are named.
      tf.errors.DataLossError: a shard is damaged.

    Source: as histogram matching; global variance: Toda & Tokuda, IEICE Trans. Inf. & Syst. E90-D (2007).
    """
    rows, recordings = plan.fixed(), shards.manifest.recordings
    if names:
        rows = rows[[recordings[index].name in names for index in rows[:, 0].tolist()]]
    if not len(rows):
        raise InputError(f"{shards.folder}: no window for training of {', '.join(names)}; give the data it was trained on")
    drawn, recorded = [], []
    for window, chosen in some_frames(shards, plan, rows):
        rolls = {name: window[name] for name in ("pianoroll", "onset_offset")}
        drawn.append(keras.ops.convert_to_numpy(model(rolls, training=False))[0, chosen])
        recorded.append(window["log_power"].numpy()[0, chosen])
    if not sum(map(len, drawn)):
        return None
    ours, theirs = (np.quantile(np.concatenate(frames), _SHARES) for frames in (drawn, recorded))
    rise = np.maximum.accumulate(np.maximum(theirs - ours, 0.0)).round(_DECIMALS)
    ours, rise[0] = ours.round(_DECIMALS), 0.0
    if ours[0] < 0 or not (np.diff(ours) > 0).all():
        return None
    return tuple(ours.tolist()), tuple(rise.tolist())
