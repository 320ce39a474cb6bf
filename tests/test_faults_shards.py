"""A shard that is damaged anywhere, cut anywhere, or gone is never trained on: docs/reliability.md."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
from conftest import run_command

from pnet_tf import dataset, inspect_shards, prepare, records
from pnet_tf.errors import InputError
from pnet_tf.shard_set import COMPLETED_NAME, open_shard_set

STEP = 4999  # bytes between two flipped bits in the long stretches of numbers
pytestmark = pytest.mark.attack


@pytest.fixture
def folder(tiny_shards, tmp_path):
    return shutil.copytree(tiny_shards, tmp_path / "set")


def first_shard(folder):
    entry = next(entry for entry in open_shard_set(folder).manifest.recordings if entry.split == "train")
    return folder / entry.shard, entry


def read_chunk(path, offset):
    """The chunk that begins at a byte, as training reads it."""
    return dataset._records_from(tf.constant(str(path)), tf.constant(offset, tf.int64)).take(1).get_single_element().numpy()


def read_all(folder):
    """Every window of the training part, as training reads it; raises InputError that names the set."""
    shards = open_shard_set(folder)
    plan = dataset.plan_windows(shards, "train", window_frames=64)
    with dataset.shards_named(shards):
        return sum(len(batch["log_power"]) for batch in dataset.fixed_windows(shards, plan, batch_size=8))


def flipped(content, position, bit):
    damaged = bytearray(content)
    damaged[position] ^= 1 << bit
    return bytes(damaged)


def positions_in(entry):
    """Every byte of framing and names at the edges of each chunk, every so many in between."""
    ends = [*entry.byte_offsets[1:], entry.size_bytes]
    edges = {p for first, end in zip(entry.byte_offsets, ends) for p in (*range(first, first + 64), *range(end - 8, end))}
    return sorted(edges | set(range(0, entry.size_bytes, STEP)))


def test_a_flipped_bit_anywhere_in_a_shard_is_noticed_by_whoever_reads_that_chunk(folder, record_property):
    path, entry = first_shard(folder)
    whole, positions = path.read_bytes(), positions_in(entry)
    chunks = np.searchsorted(entry.byte_offsets, positions, side="right") - 1
    for k, (position, chunk) in enumerate(zip(positions, chunks)):
        path.write_bytes(flipped(whole, position, k % 8))
        with pytest.raises(tf.errors.DataLossError):
            read_chunk(path, entry.byte_offsets[chunk])
    path.write_bytes(whole)
    assert all(read_chunk(path, offset) for offset in entry.byte_offsets)
    assert len(positions) > 500
    record_property("faults", len(positions))


def test_a_training_that_meets_a_flipped_bit_names_the_set_and_what_finds_the_shard(folder, capsys, record_property):
    path, entry = first_shard(folder)
    whole = path.read_bytes()
    n_windows = read_all(folder)
    positions = [0, 9, 500, entry.byte_offsets[1] + 3, entry.byte_offsets[2] - 1, entry.size_bytes // 2]
    for position in positions:
        path.write_bytes(flipped(whole, position, 3))
        with pytest.raises(InputError, match=f"{folder}: a shard was changed or damaged .*inspect_shards"):
            read_all(folder)
        assert run_command_positional(inspect_shards, str(folder), "--verify") == 1
        said = capsys.readouterr().err
        assert f"{path}: damaged" in said and "delete it with COMPLETED and run the same prepare again" in said
    path.write_bytes(whole)
    assert read_all(folder) == n_windows
    record_property("faults", len(positions))


def run_command_positional(module, *arguments):
    from pnet_tf import command

    return command.run(module.define_flags, module.main, list(arguments), allow_positional=True)


def test_a_shard_cut_anywhere_is_noticed_before_training_and_by_who_reads_it(folder, record_property):
    """Before: by its size. Later, cut while a training runs: by the chunk that is not whole."""
    path, entry = first_shard(folder)
    whole = path.read_bytes()
    edges = {p + shift for p in entry.byte_offsets for shift in (-1, 0, 1, 8, 12)} - {-1}
    lengths = sorted(edges | set(range(0, len(whole), len(whole) // 100)) | {len(whole) - 1})
    for length in lengths:
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=f"{path}: the shard has {length} bytes, the manifest says {len(whole)}"):
            open_shard_set(folder)
        chunk = int(np.searchsorted(entry.byte_offsets, length, side="right")) - 1
        with pytest.raises(tf.errors.OpError):
            read_chunk(path, entry.byte_offsets[chunk])
    record_property("faults", len(lengths))


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_what_the_message_says_to_do_mends_the_set(damage, folder, tiny_corpus, tiny_shards, record_property):
    path, _ = first_shard(folder)
    if damage == "flipped":
        path.write_bytes(flipped(path.read_bytes(), 1000, 0))
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        path.unlink()
    if damage == "flipped":
        assert run_command_positional(inspect_shards, str(folder), "--verify") == 1
    else:
        with pytest.raises(InputError, match=f"delete {COMPLETED_NAME} and that shard, and run the same prepare again"):
            open_shard_set(folder)
    (folder / COMPLETED_NAME).unlink()
    path.unlink(missing_ok=True)
    flags = [f"--source={tiny_corpus}", f"--out={folder}", "--window_frames=64", "--validation_share=0.2", "--workers=0"]
    kept = {other: other.stat().st_mtime_ns for other in folder.glob("*.tfrecord")}
    assert run_command(prepare, "--instrument=violin", *flags) == 0
    assert path.read_bytes() == (tiny_shards / path.name).read_bytes()
    assert {other: other.stat().st_mtime_ns for other in kept} == kept
    record_property("faults", 1)


def test_every_byte_of_a_small_shard(tmp_path, record_property):
    """Two chunks of four frames: each bit of each byte but one in eight, and every length."""
    frames = np.arange(8 * 5, dtype=np.float16).reshape(8, 5)
    rolls = np.ones((8, 3), np.int8)
    path = tmp_path / "small.tfrecord"
    written = records.write_shard(path, (records.Chunk(frames[k : k + 4], rolls[k : k + 4], rolls[k : k + 4]) for k in (0, 4)))
    whole, second = path.read_bytes(), written.byte_offsets[1]
    for position in range(len(whole)):
        path.write_bytes(flipped(whole, position, position % 8))
        with pytest.raises(tf.errors.DataLossError):
            read_chunk(path, 0 if position < second else second)
        path.write_bytes(whole[:position])
        with pytest.raises(tf.errors.OpError):
            read_chunk(path, 0 if position < second else second)
    record_property("faults", 2 * len(whole))
