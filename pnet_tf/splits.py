"""Which frames of which recording are trained on, validated on and tested on; computed once, at preparation."""

import dataclasses
from collections.abc import Sequence

from pnet_tf.shard_set import RecordingEntry

# Where in a recording its validation part begins: not its first bars, not its last.
_VALIDATION_BEGINS = 0.6
# A recording shorter than this many windows gives no validation part: too little would be left to train on.
MIN_WINDOWS = 5


def assign_ranges(
    entries: Sequence[RecordingEntry], *, window_frames: int, validation_share: float
) -> tuple[RecordingEntry, ...]:
    """Gives each recording its frame ranges by split.

    A test recording is test from end to end. Of the recordings for training a contiguous part is for validation, whole
    windows long, with one window left out on both sides between it and what is trained on. What a recording too short
    to give its share owes is carried to the next, so that short recordings too add up to `validation_share`.

    Args:
      entries: recordings; their order and lengths alone decide.
      window_frames: length of a window, and of the guard between validation and training.
      validation_share: part of the frames for training that is for validation, 0 to 0.5.

    Returns:
      The entries in the same order, with `ranges`.
    """
    owed, out = 0.0, []
    for entry in entries:
        if entry.split == "test":
            out.append(dataclasses.replace(entry, ranges={"test": ((0, entry.n_frames),)}))
            continue
        owed += validation_share * entry.n_frames
        n_windows = min(int(owed) // window_frames, entry.n_frames // window_frames - MIN_WINDOWS + 1)
        if n_windows < 1:
            out.append(dataclasses.replace(entry, ranges={"train": ((0, entry.n_frames),)}))
            continue
        owed -= n_windows * window_frames
        out.append(dataclasses.replace(entry, ranges=_with_validation(entry.n_frames, n_windows, window_frames)))
    return tuple(out)


def _with_validation(n_frames: int, n_windows: int, window_frames: int) -> dict[str, tuple[tuple[int, int], ...]]:
    """Ranges of a recording in which `n_windows` windows are for validation."""
    length = n_windows * window_frames
    first = min(int(n_frames * _VALIDATION_BEGINS), n_frames - length)
    end = first + length
    around = ((0, first - window_frames), (end + window_frames, n_frames))
    return {
        "train": tuple((a, b) for a, b in around if b - a > 0),
        "validation": ((first, end),),
    }
