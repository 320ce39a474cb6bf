"""Where the windows of a piece lie, and how what is drawn in them becomes one spectrogram, from its start to its end.

The network's instance norms make every frame depend on its whole window (two windows of a trained violin disagree by some
dB about a partial), so a window gives way to the next over the whole half that they share, and no frame belongs to one
window alone for long.
"""

from collections.abc import Iterator

import numpy as np

# Frames at the edge of a window that take no part: there the convolutions see what lies outside as silence.
EDGE_FRAMES = 32


def window_starts(n_frames: int, window_frames: int) -> np.ndarray:
    """First frames of the windows that cover a piece, evenly spread: int64 [windows].

    Neighbours share half a window or a little more; those at the ends lie inside the piece.
    """
    if n_frames <= window_frames:
        return np.zeros(1, np.int64)
    n_windows = 1 - (-(n_frames - window_frames) // max(window_frames // 2, 1))
    return np.linspace(0, n_frames - window_frames, n_windows).round().astype(np.int64)


def window_shares(starts: np.ndarray, index: int, length: int) -> np.ndarray:
    """Share of a window in the frames that it covers, float32 [length]; the shares of all windows add up to 1.

    Args:
      starts: first frames of all windows, int64 [windows].
      index: of the window.
      length: of each window.
    """
    frames = np.arange(length) + starts[index]
    risen = _fade(frames, starts[index], starts[index - 1] + length) if index else np.ones(length)
    if index < len(starts) - 1:
        risen = risen - _fade(frames, starts[index + 1], starts[index] + length)
    return risen.astype(np.float32)


def _fade(frames: np.ndarray, first: int, end: int) -> np.ndarray:
    """Rises from 0 to 1 as a squared sine over what two windows share, less its edges: float64, as `frames`."""
    edge = min(EDGE_FRAMES, (end - first - 1) // 4)
    risen = np.clip((frames + 0.5 - first - edge) / (end - first - 2 * edge), 0, 1)
    return np.sin(np.pi / 2 * risen) ** 2


def join_windows(starts: np.ndarray, length: int, drawn: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Joins windows as they are drawn; holds no more than two of them.

    Args:
      starts: first frames of all windows, int64 [windows].
      length: of each window.
      drawn: for each window, in order, float32 [length, features].

    Yields:
      float32 [frames, features], the frames that no later window takes part in; together all frames of the piece.
    """
    pending = None
    for index, window in enumerate(drawn):
        weighted = window_shares(starts, index, length)[:, None] * window
        if pending is None:
            pending = weighted
        else:
            overlap = len(pending)
            weighted[:overlap] += pending
            pending = weighted
        n_done = length if index == len(starts) - 1 else int(starts[index + 1] - starts[index])
        yield pending[:n_done]
        pending = pending[n_done:]
