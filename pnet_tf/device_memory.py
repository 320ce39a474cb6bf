"""When a batch does not fit into a device's memory: the largest that does is found, and named."""

import contextlib
import traceback
from collections.abc import Callable, Iterator

import tensorflow as tf

from pnet_tf.errors import InputError

# TensorFlow says with the same error that a disk is full.
_FULL_DISK = "No space left"


@contextlib.contextmanager
def batch_that_fits_named(fits: Callable[[int], bool], *, batch_size: int, n_replicas: int) -> Iterator[None]:
    """What is raised inside when a device's memory is full, as an error that names the batch size that fits.

    Args:
      fits: whether one device can learn from so many windows at once.
      batch_size: the global batch that is tried.
      n_replicas: devices that share it.

    Raises:
      InputError: the memory of a device was full.
    """
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        if _FULL_DISK in error.message:
            raise
        # The frames that failed hold batches that were read ahead.
        traceback.clear_frames(error.__traceback__)
        fitting = n_replicas * largest_that_fits(fits, below=batch_size // n_replicas)
        advice = (
            f"--batch_size={fitting} does"
            if fitting
            else "nor does one window a device: use a smaller --width or --window_frames"
        )
        raise InputError(f"--batch_size={batch_size} does not fit into the memory of the device; {advice}") from error


def largest_that_fits(fits: Callable[[int], bool], *, below: int) -> int:
    """The largest number below `below` for which `fits` holds, if it holds for each smaller one too; 0 if for none."""
    low, high = 0, below
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
