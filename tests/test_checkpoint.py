"""Checkpoints come back as they were, appear whole or not at all, and say in one line what is wrong with them."""

import keras
import numpy as np
import pytest

from pnet_tf import checkpoint
from pnet_tf.checkpoint import Progress
from pnet_tf.errors import InputError
from pnet_tf.schedule import Plateau


def network(units=3, *, seed=0, steps=0):
    """A small network and its optimizer after some steps."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, name="a"), keras.layers.Dense(1, name="b")])
    optimizer = keras.optimizers.Adam(0.125)
    optimizer.build(model.trainable_variables)
    for step in range(steps):
        optimizer.apply([keras.ops.ones(v.shape) * (step + 1) for v in model.trainable_variables])
    return model, optimizer


def values_of(model, optimizer):
    return [np.asarray(value) for value in (*model.weights, *optimizer.variables)]


def test_weights_optimizer_and_progress_come_back(tmp_path):
    model, optimizer = network(steps=3)
    progress = Progress(step=3, plateau=Plateau(0.01, best_loss=1.5, n_bad=2))
    checkpoint.save_checkpoint(tmp_path, model, optimizer, progress)
    other, other_optimizer = network(seed=1)
    assert checkpoint.restore_newest(tmp_path, other, other_optimizer) == progress
    for mine, theirs in zip(values_of(model, optimizer), values_of(other, other_optimizer), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert int(other_optimizer.iterations.numpy()) == 3


def test_a_plateau_that_has_seen_nothing_comes_back(tmp_path):
    model, optimizer = network()
    checkpoint.save_checkpoint(tmp_path, model, optimizer, Progress(0, Plateau(0.01)))
    assert checkpoint.restore_newest(tmp_path, model, optimizer).plateau.best_loss == float("inf")


def test_only_the_newest_is_kept_and_wins(tmp_path):
    model, optimizer = network()
    for step in (9, 10, 100):
        checkpoint.save_checkpoint(tmp_path, model, optimizer, Progress(step, Plateau(0.01)))
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000100"]
    assert checkpoint.restore_newest(tmp_path, model, optimizer).step == 100


def test_a_folder_without_checkpoints_gives_none(tmp_path):
    assert checkpoint.restore_newest(tmp_path, *network()) is None
    assert checkpoint.restore_newest(tmp_path / "missing", *network()) is None


@pytest.mark.parametrize("failing", ["savez", "replace"])
def test_a_full_disk_leaves_the_older_checkpoint_and_nothing_else(failing, tmp_path, monkeypatch):
    model, optimizer = network(steps=1)
    checkpoint.save_checkpoint(tmp_path, model, optimizer, Progress(1, Plateau(0.01)))

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np if failing == "savez" else checkpoint.os, failing, full)
        with pytest.raises(OSError, match="No space left"):
            checkpoint.save_checkpoint(tmp_path, model, optimizer, Progress(2, Plateau(0.01)))
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001"]
    assert checkpoint.restore_newest(tmp_path, model, optimizer).step == 1


def test_what_a_killed_process_left_is_no_checkpoint(tmp_path):
    model, optimizer = network()
    (tmp_path / ".partial").mkdir(parents=True)
    (tmp_path / ".partial" / "model.weights.h5").write_bytes(b"half")
    assert checkpoint.restore_newest(tmp_path, model, optimizer) is None
    checkpoint.save_checkpoint(tmp_path, model, optimizer, Progress(1, Plateau(0.01)))
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001"]


@pytest.mark.parametrize("name", ["model.weights.h5", "optimizer.npz", "progress.json"])
@pytest.mark.parametrize("damage", ["cut", "empty", "missing", "rubbish"])
def test_a_damaged_checkpoint_is_named(name, damage, tmp_path):
    model, optimizer = network()
    checkpoint.save_checkpoint(tmp_path, model, optimizer, Progress(1, Plateau(0.01)))
    path = tmp_path / "step-000000001" / name
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes({"cut": whole[: len(whole) * 2 // 3], "empty": b"", "rubbish": b"\x80\x04rubbish"}[damage])
    with pytest.raises(InputError, match="step-000000001"):
        checkpoint.restore_newest(tmp_path, model, optimizer)


def test_a_flipped_byte_in_the_optimizer_is_noticed(tmp_path):
    model, optimizer = network(steps=2)
    checkpoint.save_checkpoint(tmp_path, model, optimizer, Progress(1, Plateau(0.01)))
    path = tmp_path / "step-000000001" / "optimizer.npz"
    data = bytearray(path.read_bytes())
    data[data.index(b"00003.npy") + 9 + 128 + 5] ^= 0x40
    path.write_bytes(data)
    with pytest.raises(InputError, match="damaged checkpoint"):
        checkpoint.restore_newest(tmp_path, model, optimizer)


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    checkpoint.save_checkpoint(tmp_path, *network(3), Progress(1, Plateau(0.01)))
    with pytest.raises(InputError, match="cannot read the weights"):
        checkpoint.restore_newest(tmp_path, *network(5))


def test_weights_alone_come_back_and_missing_ones_are_explained(tmp_path):
    model, _ = network(steps=1)
    path = tmp_path / "best.weights.h5"
    checkpoint.save_weights(path, model)
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    other, _ = network(seed=1)
    checkpoint.load_weights(path, other)
    for mine, theirs in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(mine), np.asarray(theirs))
    with pytest.raises(InputError, match="no weights there; train until the first validation"):
        checkpoint.load_weights(tmp_path / "none.weights.h5", model)


def test_weights_that_cannot_be_written_leave_the_old_ones(tmp_path, monkeypatch):
    model, _ = network()
    path = tmp_path / "best.weights.h5"
    checkpoint.save_weights(path, model)
    before = path.read_bytes()

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.os, "replace", full)
    with pytest.raises(OSError):
        checkpoint.save_weights(path, network(seed=1)[0])
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_a_disk_without_room_is_noticed_before_anything_is_written(tmp_path, monkeypatch):
    """HDF5 would crash the process half-way."""
    import collections

    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(2**30, 2**30, 2**10))
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    with pytest.raises(OSError, match="MB free"):
        checkpoint.save_weights(tmp_path / "a.weights.h5", model)
    assert list(tmp_path.iterdir()) == []
