"""The processors that this process may use, and threads on them for work in NumPy and SciPy, which lets go of the interpreter."""

import concurrent.futures
import functools
import os
from collections.abc import Callable, Iterable
from typing import TypeVar

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")
# What a thread takes at once stays in its cache on the way to the transform and back.
_TILE_FRAMES = 32


def n_processors() -> int:
    """Processors that this process may use, at least 1."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_in_threads(function: Callable[[_Given], _Made], items: Iterable[_Given]) -> list[_Made]:
    """What the function makes of each item, in order; the first error is raised. Not to be called from within the function."""
    n_threads = n_processors()
    return list((_threads(n_threads).map if n_threads > 1 else map)(function, items))


def map_over_frames(function: Callable[[slice], _Made], n_frames: int) -> list[_Made]:
    """What the function makes of some frames at once, for all frames in order: slices that do not depend on the threads."""
    return map_in_threads(function, frame_tiles(n_frames))


def frame_tiles(n_frames: int) -> list[slice]:
    """The slices of `map_over_frames`."""
    return [slice(first, min(first + _TILE_FRAMES, n_frames)) for first in range(0, n_frames, _TILE_FRAMES)]


@functools.cache
def _threads(n_threads: int) -> concurrent.futures.ThreadPoolExecutor:
    return concurrent.futures.ThreadPoolExecutor(n_threads, thread_name_prefix="sound")
