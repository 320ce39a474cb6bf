"""Shard set to windows: which windows in which order (a pure function of seed and step), and reading them."""

import contextlib
import dataclasses
import re
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from absl import logging

from pnet_tf import augmentation, records
from pnet_tf.errors import InputError
from pnet_tf.shard_set import COMPLETED_NAME, ShardSet

_READ_BUFFER_BYTES = 512 * 1024
_N_NAMED = 16
_REASON_CHARACTERS = 120
_OF_FILES = (tf.errors.DataLossError, tf.errors.NotFoundError, tf.errors.OutOfRangeError)
# A record whose checksum is right and whose content is not; nothing else that fails has such a node.
_OF_READING = re.compile(f"{records.SCOPE}|IteratorGetNext|DatasetToSingleElement|Could not parse example")


@dataclasses.dataclass(frozen=True)
class Share:
    """Which part of each global batch a worker reads, and how it hands it on.

    Attributes:
      index: of the worker.
      n_workers: that divide a global batch between them, equally.
      n_replicas: devices of this worker, each of which gets a batch of its own.
    """

    index: int = 0
    n_workers: int = 1
    n_replicas: int = 1

    def rows(self, batch_size: int) -> slice:
        """The worker's part of a global batch."""
        size = batch_size // self.n_workers
        return slice(self.index * size, (self.index + 1) * size)

    def replica_batch_size(self, batch_size: int) -> int:
        """Windows that one device gets of a global batch."""
        return batch_size // (self.n_workers * self.n_replicas)


WHOLE = Share()


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

    def batch(self, seed: int, step: int, batch_size: int) -> np.ndarray:
        """The windows of the global batch that step `step`, counted from 0, learns from: int64 [batch_size, 2]."""
        places = step * batch_size + np.arange(batch_size)
        epochs = {epoch: self.epoch(seed, epoch) for epoch in np.unique(places // self.epoch_windows).tolist()}
        return np.stack([epochs[place // self.epoch_windows][place % self.epoch_windows] for place in places.tolist()])


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
    shards: ShardSet,
    plan: WindowPlan,
    *,
    batch_size: int,
    seed: int,
    first_step: int = 0,
    share: Share = WHOLE,
    pitch_shift: int = 0,
) -> tf.data.Dataset:
    """Endless batches of training windows from `first_step` on.

    Window `i` of the whole training is row `i % epoch_windows` of epoch `i // epoch_windows`, whatever the number of
    devices and machines; batches run on over the end of an epoch, so every batch is full.

    Args:
      shards: an opened shard set.
      plan: from `plan_windows(shards, "train", ...)`.
      batch_size: windows in a global batch.
      seed: of the order.
      first_step: global batches to leave out, without reading them.
      share: the part of each global batch that is read; it comes as one batch a device, in their order.
      pitch_shift: semitones that windows are moved by at most, as `augmentation.draw_semitones` says.

    Returns:
      Dicts of `pianoroll` and `onset_offset`, float32 [batch, window_frames, n_pitches], `log_power`, float32
      [batch, window_frames, bins], and `recording`, int32 [batch], its place in `Manifest.trained_names`, with
      `batch = share.replica_batch_size(batch_size)`.
    """
    first_epoch, skipped_rows = divmod(first_step * batch_size, plan.epoch_windows)

    def rows_of(epoch: tf.Tensor) -> tf.data.Dataset:
        """The windows of one epoch as rows of recording, first frame and semitones, int64 [3] each."""
        rows = tf.numpy_function(lambda epoch: moved_epoch(int(epoch)), [epoch], tf.int64, stateful=False)
        return tf.data.Dataset.from_tensor_slices(tf.ensure_shape(rows, [plan.epoch_windows, 3]))

    def moved_epoch(epoch: int) -> np.ndarray:
        """The rows of one epoch, int64 [epoch_windows, 3]."""
        semitones = augmentation.draw_semitones(seed, epoch, n_windows=plan.epoch_windows, at_most=pitch_shift)
        return np.concatenate([plan.epoch(seed, epoch), semitones[:, None]], axis=1)

    epochs = tf.data.Dataset.range(first_epoch, np.iinfo(np.int64).max)
    rows = epochs.flat_map(rows_of).skip(skipped_rows)
    if share.n_workers > 1:
        ours = share.rows(batch_size)
        rows = rows.batch(batch_size, drop_remainder=True).map(lambda batch: batch[ours]).unbatch()
    windows = _read(rows, shards, plan, are_moved=bool(pitch_shift))
    batches = windows.batch(share.replica_batch_size(batch_size), drop_remainder=True).prefetch(2)
    # Of what may end several machines would ask each other before each batch whether it has.
    return batches.apply(tf.data.experimental.assert_cardinality(tf.data.experimental.INFINITE_CARDINALITY))


def fixed_windows(shards: ShardSet, plan: WindowPlan, *, batch_size: int) -> tf.data.Dataset:
    """Each window of `plan.fixed()` once, in order; as `training_windows`, but the last batch may be smaller."""
    rows = tf.data.Dataset.from_tensor_slices(plan.fixed())
    return _read(rows, shards, plan).batch(batch_size).prefetch(2)


def name_windows(shards: ShardSet, rows: np.ndarray) -> str:
    """Windows at rows of (recording, first frame), int64 [windows, 2], by name and second; the first of many."""
    rate_hz, recordings = shards.spec.frame_rate_hz, shards.manifest.recordings
    named = [f"{recordings[index].name} from {float(first / rate_hz):.2f} s" for index, first in rows[:_N_NAMED].tolist()]
    return ", ".join(named) + (f" and {len(rows) - _N_NAMED} more" if len(rows) > _N_NAMED else "")


def windows_at(shards: ShardSet, plan: WindowPlan, rows: np.ndarray) -> tf.data.Dataset:
    """Windows at rows of (recording, first frame), int64 [windows, 2], one by one: as `fixed_windows`, batches of 1."""
    return _read(tf.data.Dataset.from_tensor_slices(rows), shards, plan).batch(1)


def weighted_windows(
    shards: ShardSet, plan: WindowPlan, *, batch_size: int, share: Share = WHOLE
) -> tf.data.Dataset:
    """A worker's part of the windows of `plan.fixed()`, in full batches, so that all devices take the same steps.

    Args:
      shards: an opened shard set.
      plan: of any split; must have windows.
      batch_size: windows in a global batch.
      share: as in `training_windows`.

    Returns:
      As `training_windows`, with `weight`, float32 [batch]: 1 for a window, 0 for one that only fills the last batch.
    """
    rows = plan.fixed()
    n_missing = -len(rows) % batch_size
    weights = np.concatenate([np.ones(len(rows), np.float32), np.zeros(n_missing, np.float32)])
    rows = np.concatenate([rows, np.repeat(rows[:1], n_missing, axis=0)])
    ours = np.arange(len(rows)).reshape(-1, batch_size)[:, share.rows(batch_size)].ravel()
    windows = _read(tf.data.Dataset.from_tensor_slices(rows[ours]), shards, plan)
    weighted = tf.data.Dataset.zip((windows, tf.data.Dataset.from_tensor_slices(weights[ours])))
    joined = weighted.map(lambda window, weight: {**window, "weight": weight})
    return joined.batch(share.replica_batch_size(batch_size), drop_remainder=True).prefetch(2)


def _read(rows: tf.data.Dataset, shards: ShardSet, plan: WindowPlan, *, are_moved: bool = False) -> tf.data.Dataset:
    """Reads the windows that rows of (recording, first frame, semitones if moved) name, in parallel and in order."""
    chunk_frames = shards.manifest.chunk_frames
    entries = shards.manifest.recordings
    paths = tf.constant([str(shards.folder / entry.shard) for entry in entries])
    byte_offsets = tf.constant(np.concatenate([entry.byte_offsets for entry in entries]), tf.int64)
    trained = {name: place for place, name in enumerate(shards.manifest.trained_names())}
    places = tf.constant([trained.get(entry.name, len(trained)) for entry in entries])
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
        window = {name: tf.cast(value, tf.float32) for name, value in window.items()}
        window = augmentation.move_pitch(window, row[2], shards.spec) if are_moved else window
        return {**window, "recording": places[recording]}

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


@contextlib.contextmanager
def shards_named(shards: ShardSet) -> Iterator[None]:
    """What reading damaged shards raises, wherever in a graph it does, as an InputError that names the shard set."""
    try:
        yield
    # UnicodeDecodeError: TensorFlow's own message could not be made, because it quotes bytes of a record.
    except (*_OF_FILES, tf.errors.InvalidArgumentError, UnicodeDecodeError) as error:
        message = getattr(error, "message", str(error))
        if isinstance(error, tf.errors.InvalidArgumentError) and not _OF_READING.search(message):
            raise
        reason = " ".join(re.sub(r"\{\{.*?\}\}|\[Op:.*?\]", "", message).split())[:_REASON_CHARACTERS]
        raise InputError(
            f"{shards.folder}: a shard was changed or damaged after it was prepared ({reason}); python "
            f"tools/inspect_shards.py --verify {shards.folder} says which: delete it and {COMPLETED_NAME}, and run the "
            "same prepare again"
        ) from error
