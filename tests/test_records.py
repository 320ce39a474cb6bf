"""Chunks to records and back: what is read is what was written, equal chunks are equal bytes."""

import hashlib
import struct

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pnet_tf import records
from pnet_tf.spec import FeatureSpec

SPEC = FeatureSpec(n_fft=16, hop_samples=8, n_pitches=5)


def chunk_of(n_frames, seed=0):
    random = np.random.default_rng(seed)
    return records.Chunk(
        random.uniform(0, 20, (n_frames, SPEC.n_bins)).astype(np.float16),
        random.integers(0, 2, (n_frames, SPEC.n_pitches)).astype(np.int8),
        random.integers(-1, 2, (n_frames, SPEC.n_pitches)).astype(np.int8),
    )


def parsed(serialized, first_frame, n_frames):
    window = records.parse_chunks(
        tf.constant(serialized), SPEC, first_frame=tf.constant(first_frame, tf.int64), n_frames=n_frames
    )
    return {name: value.numpy() for name, value in window.items()}


@settings(max_examples=40, deadline=None)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4), data=st.data())
def test_frames_across_chunks_are_read_as_they_were_written(lengths, data):
    chunks = [chunk_of(n_frames, seed) for seed, n_frames in enumerate(lengths)]
    first = data.draw(st.integers(0, sum(lengths) - 1))
    n_frames = data.draw(st.integers(1, sum(lengths) - first))
    window = parsed([records.serialize_chunk(chunk) for chunk in chunks], first, n_frames)
    for name, dtype in (("log_power", np.float16), ("pianoroll", np.int8), ("onset_offset", np.int8)):
        whole = np.concatenate([getattr(chunk, name) for chunk in chunks])
        assert window[name].dtype == dtype
        np.testing.assert_array_equal(window[name], whole[first : first + n_frames])


def test_frames_beyond_the_chunks_are_an_error_and_not_zeros():
    with pytest.raises(tf.errors.InvalidArgumentError):
        parsed([records.serialize_chunk(chunk_of(4))], 2, 3)


def test_a_record_is_plain_little_endian_and_always_in_the_same_order():
    chunk = records.Chunk(
        np.array([[1.0, 0.5]], np.float16), np.array([[0, 1]], np.int8), np.array([[-1, 1]], np.int8)
    )
    record = records.serialize_chunk(chunk)
    example = tf.train.Example.FromString(record).features.feature
    values = {name: feature.bytes_list.value[0] for name, feature in example.items()}
    # float16: 1 is 0x3c00, 0.5 is 0x3800.
    assert values == {"log_power": b"\x00\x3c\x00\x38", "pianoroll": b"\x00\x01", "onset_offset": b"\xff\x01"}
    positions = [record.index(name) for name in (b"log_power", b"onset_offset", b"pianoroll")]
    assert positions == sorted(positions)


def test_arrays_of_other_order_and_byte_order_give_the_same_bytes():
    chunk = chunk_of(7)
    other = records.Chunk(
        np.asfortranarray(chunk.log_power.astype(">f2")),
        np.asfortranarray(chunk.pianoroll.astype(np.int64)),
        chunk.onset_offset,
    )
    assert records.serialize_chunk(other) == records.serialize_chunk(chunk)


def test_the_shard_holds_the_chunks_where_its_offsets_say(tmp_path):
    path = tmp_path / "a.tfrecord"
    chunks = [chunk_of(n_frames, seed=n_frames) for n_frames in (9, 9, 4)]
    shard = records.write_shard(path, chunks)
    data = path.read_bytes()
    assert shard.size_bytes == len(data)
    assert shard.sha256 == hashlib.sha256(data).hexdigest()
    serialized = [records.serialize_chunk(chunk) for chunk in chunks]
    assert list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator()) == serialized
    for offset, record in zip(shard.byte_offsets, serialized, strict=True):
        assert struct.unpack_from("<Q", data, offset)[0] == len(record)
        assert data[offset + 12 : offset + 12 + len(record)] == record


def test_equal_recordings_are_equal_files(tmp_path):
    one, other = (records.write_shard(tmp_path / name, [chunk_of(9), chunk_of(3)]) for name in ("a", "b"))
    assert one == other
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
