"""What TensorBoard shows of a training."""

import pathlib
from collections.abc import Mapping

import tensorflow as tf


class Summaries:
    """Curves of one run, for `tensorboard --logdir=runs`."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._writer = tf.summary.create_file_writer(str(folder))

    def curves(self, values: Mapping[str, float], *, step: int) -> None:
        """Adds a point to each named curve.

        Args:
          values: curve name (with a `/` for its group) to value.
          step: optimizer steps taken.
        """
        with self._writer.as_default(step):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        self._writer.flush()

    def text(self, name: str, markdown: str) -> None:
        """Shows a text at step 0."""
        with self._writer.as_default(0):
            tf.summary.text(name, markdown)
        self._writer.flush()

    def close(self) -> None:
        """Ends the event file."""
        self._writer.close()
