"""Shard set to windows: which windows in which order (a pure function of seed and step), and reading them."""

import dataclasses

import numpy as np
import tensorflow as tf
from absl import logging

from pnet_tf import records
from pnet_tf.errors import InputError
from pnet_tf.shard_set import ShardSet

_READ_BUFFER_BYTES = 512 * 1024


@dataclasses.dataclass(frozen=True)
class WindowPlan:
    """The ranges of one split that are long enough for a window.

    Attributes:
      window_frames: length of a window.
      recording: int64 [ranges], index of the recording in the manifest.
      first: int64 [ranges], first frame of the range.
      end: int64 [ranges], end of the range.
      n_windows: int64 [ranges], windows that an epoch takes from it.
    """

    window_frames: int
    recording: np.ndarray
    first: np.ndarray
    end: np.ndarray
    n_windows: np.ndarray

    @property
    def epoch_windows(self) -> int:
        """Windows in an epoch."""
        return int(self.n_windows.sum())

    def fixed(self) -> np.ndarray:
        """Windows side by side from the start of each range: int64 [epoch_windows, 2] of recording and first frame."""
        rows = [
            (recording, first + k * self.window_frames)
            for recording, first, n in zip(self.recording, self.first, self.n_windows, strict=True)
            for k in range(n)
        ]
        return np.array(rows, np.int64).reshape(-1, 2)

    def epoch(self, seed: int, epoch: int) -> np.ndarray:
        """The windows of one epoch in their order: int64 [epoch_windows, 2] of recording and first frame.

        Each range is cut into as many strata as it has windows, with one window at a fresh offset in each, so that an
        epoch sees all of a range and no two epochs cut alike.

        Args:
          seed: of the run.
          epoch: counted from 0.
        """
        random = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, epoch])))
        index = np.repeat(np.arange(len(self.first)), self.n_windows)
        stratum = np.concatenate([np.arange(n) for n in self.n_windows])
        n_offsets = (self.end - self.first - self.window_frames + 1)[index]
        offset = np.floor((stratum + random.random(len(index))) / self.n_windows[index] * n_offsets).astype(np.int64)
        rows = np.stack([self.recording[index], self.first[index] + np.minimum(offset, n_offsets - 1)], axis=1)
        return rows[random.permutation(len(rows))]


def plan_windows(shards: ShardSet, split: str, *, window_frames: int) -> WindowPlan:
    """The ranges of a split, as windows can be cut in them.

    Args:
      shards: an opened shard set.
      split: `train`, `validation` or `test`.
      window_frames: length of a window.

    Raises:
      InputError: `train` has no range as long as a window, or windows are longer than the guard around validation.
    """
    if window_frames > shards.manifest.guard_frames:
        raise InputError(
            f"{shards.folder}: prepared for windows of at most {shards.manifest.guard_frames} frames, got --window_frames="
            f"{window_frames}; prepare again with that --window_frames"
        )
    spans = [
        (index, first, end)
        for index, entry in enumerate(shards.manifest.recordings)
        for first, end in entry.ranges.get(split, ())
    ]
    usable = [span for span in spans if span[2] - span[1] >= window_frames]
    if len(usable) < len(spans):
        logging.warning(
            "%s: %d of %d parts for %s are shorter than a window of %d frames and not used",
            shards.folder,
            len(spans) - len(usable),
            len(spans),
            split,
            window_frames,
        )
    if split == "train" and not usable:
        raise InputError(
            f"{shards.folder}: no recording for training is as long as a window ({window_frames} frames, "
            f"{float(window_frames / shards.spec.frame_rate_hz):.2f} s); use a smaller --window_frames"
        )
    table = np.array(usable, np.int64).reshape(-1, 3)
    return WindowPlan(
        window_frames, table[:, 0], table[:, 1], table[:, 2], n_windows=(table[:, 2] - table[:, 1]) // window_frames
    )


def training_windows(
    shards: ShardSet, plan: WindowPlan, *, batch_size: int, seed: int, first_step: int = 0
) -> tf.data.Dataset:
    """Endless batches of training windows from `first_step` on.

    Window `i` of the whole training is row `i % epoch_windows` of epoch `i // epoch_windows`, whatever the number of
    devices; batches run on over the end of an epoch, so every batch is full.

    Args:
      shards: an opened shard set.
      plan: from `plan_windows(shards, "train", ...)`.
      batch_size: windows in a batch.
      seed: of the order.
      first_step: batches to leave out, without reading them.

    Returns:
      Dicts of `pianoroll` and `onset_offset`, float32 [batch_size, window_frames, n_pitches], and `log_power`, float32
      [batch_size, window_frames, bins].
    """
    first_epoch, skipped_rows = divmod(first_step * batch_size, plan.epoch_windows)

    def rows_of(epoch: tf.Tensor) -> tf.data.Dataset:
        """The windows of one epoch as rows, int64 [2] each."""
        rows = tf.numpy_function(lambda epoch: plan.epoch(seed, int(epoch)), [epoch], tf.int64, stateful=False)
        return tf.data.Dataset.from_tensor_slices(tf.ensure_shape(rows, [plan.epoch_windows, 2]))

    epochs = tf.data.Dataset.range(first_epoch, np.iinfo(np.int64).max)
    rows = epochs.flat_map(rows_of).skip(skipped_rows)
    return _read(rows, shards, plan).batch(batch_size, drop_remainder=True).prefetch(2)


def fixed_windows(shards: ShardSet, plan: WindowPlan, *, batch_size: int) -> tf.data.Dataset:
    """Each window of `plan.fixed()` once, in order; as `training_windows`, but the last batch may be smaller."""
    rows = tf.data.Dataset.from_tensor_slices(plan.fixed())
    return _read(rows, shards, plan).batch(batch_size).prefetch(2)


def _read(rows: tf.data.Dataset, shards: ShardSet, plan: WindowPlan) -> tf.data.Dataset:
    """Reads the windows that rows of (recording, first frame) name, in parallel and in order."""
    chunk_frames = shards.manifest.chunk_frames
    entries = shards.manifest.recordings
    paths = tf.constant([str(shards.folder / entry.shard) for entry in entries])
    byte_offsets = tf.constant(np.concatenate([entry.byte_offsets for entry in entries]), tf.int64)
    first_chunk = tf.constant(np.cumsum([0, *(len(entry.byte_offsets) for entry in entries[:-1])]), tf.int64)
    n_chunks = -(-(plan.window_frames - 1) // chunk_frames) + 1

    def read(row: tf.Tensor) -> dict[str, tf.Tensor]:
        """One window, [window_frames, ...], from the chunks that it touches: dicts as `training_windows` gives."""
        recording, first_frame = row[0], row[1]
        chunk = first_frame // chunk_frames
        offset = byte_offsets[first_chunk[recording] + chunk]
        chunks = _records_from(paths[recording], offset).take(n_chunks).batch(n_chunks).get_single_element()
        window = records.parse_chunks(
            chunks, shards.spec, first_frame=first_frame - chunk * chunk_frames, n_frames=plan.window_frames
        )
        return {name: tf.cast(value, tf.float32) for name, value in window.items()}

    return rows.map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _records_from(path: tf.Tensor, byte_offset: tf.Tensor) -> tf.data.Dataset:
    """The records of a TFRecord file from a byte offset on, each with its checksum checked."""
    variant = tf.raw_ops.TFRecordDatasetV2(
        filenames=path[None],
        compression_type="",
        buffer_size=tf.constant(_READ_BUFFER_BYTES, tf.int64),
        byte_offsets=byte_offset[None],
    )
    return tf.data.experimental.from_variant(variant, tf.TensorSpec([], tf.string))
