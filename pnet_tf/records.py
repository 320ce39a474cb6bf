"""The TFRecord schema: chunks of a recording, written in order, and parsed in-graph."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from pnet_tf.spec import FeatureSpec

# A window touches few chunks, and reads little that it does not use: a quarter of the default window each.
CHUNK_FRAMES = 216
# What names the operations that parse a record, in the messages of those that fail.
SCOPE = "parse_chunks"
# TFRecord framing: length (8 bytes) and its checksum (4) before the data, checksum (4) after it.
_FRAMING_BYTES = 16


@dataclasses.dataclass(frozen=True)
class Chunk:
    """Neighbouring frames of a recording.

    Attributes:
      log_power: float16 [frames, bins].
      pianoroll: int8 [frames, n_pitches].
      onset_offset: int8 [frames, n_pitches].
    """

    log_power: np.ndarray
    pianoroll: np.ndarray
    onset_offset: np.ndarray


@dataclasses.dataclass(frozen=True)
class Shard:
    """A written shard: its size in bytes, SHA-256, and where each chunk begins."""

    size_bytes: int
    sha256: str
    byte_offsets: tuple[int, ...]


def _bytes_feature(array: np.ndarray, dtype: str) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[array.astype(dtype, copy=False).tobytes()]))


def serialize_chunk(chunk: Chunk) -> bytes:
    """One chunk as a `tf.train.Example`, equal bytes for equal chunks; arrays are little-endian and row-major."""
    features = {
        "log_power": _bytes_feature(chunk.log_power, "<f2"),
        "pianoroll": _bytes_feature(chunk.pianoroll, "i1"),
        "onset_offset": _bytes_feature(chunk.onset_offset, "i1"),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(deterministic=True)


def write_shard(path: pathlib.Path, chunks: Iterable[Chunk]) -> Shard:
    """Writes the chunks of one recording, in order.

    Args:
      path: the file; the caller renames it when it is whole.
      chunks: each of `CHUNK_FRAMES` frames, the last of as many as are left.

    Returns:
      What the manifest has to know of the file.

    Raises:
      tf.errors.OpError: the file cannot be written, or the disk is full.
    """
    byte_offsets, position = [], 0
    with tf.io.TFRecordWriter(str(path)) as writer:
        for chunk in chunks:
            record = serialize_chunk(chunk)
            writer.write(record)
            byte_offsets.append(position)
            position += len(record) + _FRAMING_BYTES
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Shard(path.stat().st_size, digest, tuple(byte_offsets))


def parse_chunks(records: tf.Tensor, spec: FeatureSpec, *, first_frame: tf.Tensor, n_frames: int) -> dict[str, tf.Tensor]:
    """Joins neighbouring chunks and takes frames out of them, in-graph.

    Args:
      records: string [chunks], serialized, in order.
      spec: gives the numbers of bins and pitches.
      first_frame: int64 scalar, counted from the first frame of the first chunk.
      n_frames: how many frames.

    Returns:
      `pianoroll` and `onset_offset`, int8 [n_frames, n_pitches], and `log_power`, float16 [n_frames, bins].
    """
    columns = {
        "log_power": (tf.float16, spec.n_bins),
        "pianoroll": (tf.int8, spec.n_pitches),
        "onset_offset": (tf.int8, spec.n_pitches),
    }
    window = {}
    with tf.name_scope(SCOPE):
        parsed = tf.io.parse_example(records, {name: tf.io.FixedLenFeature([], tf.string) for name in columns})
        for name, (dtype, width) in columns.items():
            row_bytes = dtype.size * width
            joined = tf.strings.reduce_join(parsed[name])
            wanted = tf.strings.substr(joined, first_frame * row_bytes, n_frames * row_bytes)
            window[name] = tf.reshape(tf.io.decode_raw(wanted, dtype), [n_frames, width])
    return window
