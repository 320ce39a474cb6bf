"""Checkpoints come back as they were, appear whole or not at all, and a damaged one gives way to the one before."""

import collections
import threading

import keras
import numpy as np
import pytest

from pnet_tf import checkpoint
from pnet_tf.checkpoint import Progress, Writer
from pnet_tf.errors import InputError
from pnet_tf.schedule import Plateau


def network(units=3, *, seed=0, steps=0):
    """A small network and its optimizer after some steps."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(1, name="b")(keras.layers.Dense(units, name="a")(inputs)))
    optimizer = keras.optimizers.Adam(0.125)
    optimizer.build(model.trainable_variables)
    for step in range(steps):
        optimizer.apply([keras.ops.ones(v.shape) * (step + 1) for v in model.trainable_variables])
    return {"model": model, "optimizer": optimizer}


def progress_at(step, **changes):
    return Progress(step=step, plateau=Plateau(0.01), **changes)


def save(folder, parts, *steps, keep=2):
    """Checkpoints at some steps, all written when this returns."""
    writer = Writer(folder, keep=keep)
    for step in steps:
        writer.save_checkpoint(parts, progress_at(step))
    writer.close()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def values_of(parts):
    return [np.array(value) for part in parts.values() for value in part.variables]


def test_weights_optimizer_and_progress_come_back(tmp_path):
    parts = network(steps=3)
    progress = Progress(3, Plateau(0.01, best_loss=1.5, n_bad=2, n_since_best=4), seed=7, epoch=1, validated_step=2)
    writer = Writer(tmp_path, keep=1)
    writer.save_checkpoint(parts, progress)
    writer.close()
    other = network(seed=1)
    stored, found = checkpoint.newest_whole(tmp_path, seed=7)
    assert found == progress
    checkpoint.assign_weights(other["model"], stored["model"])
    checkpoint.assign_optimizer_state(other["optimizer"], stored["optimizer"])
    for mine, theirs in zip(values_of(parts), values_of(other), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert int(other["optimizer"].iterations.numpy()) == 3


def test_a_plateau_that_has_seen_nothing_comes_back(tmp_path):
    save(tmp_path, network(), 0)
    assert checkpoint.newest_whole(tmp_path, seed=0)[1].plateau.best_loss == float("inf")


def test_what_is_written_is_what_it_was_at_the_call(tmp_path, monkeypatch):
    """The training goes on while the thread still waits for the disk."""
    parts, may_write, write = network(), threading.Event(), checkpoint.save_weights
    before = values_of(parts)

    def slow(*arguments):
        may_write.wait(30)
        write(*arguments)

    monkeypatch.setattr(checkpoint, "save_weights", slow)
    writer = Writer(tmp_path / "new", keep=1)
    writer.save_checkpoint(parts, progress_at(1))
    for variable in parts["model"].variables:
        variable.assign(variable + 1.0)
    may_write.set()
    writer.close()
    stored, _ = checkpoint.newest_whole(tmp_path / "new", seed=0)
    for mine, theirs in zip(before, [*stored["model"].values(), *stored["optimizer"].values()], strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_as_many_are_kept_as_asked_for_and_the_newest_wins(keep, tmp_path):
    save(tmp_path, network(), 8, 9, 10, 100, keep=keep)
    assert names(tmp_path) == [f"step-{step:09d}.npz" for step in (8, 9, 10, 100)][-keep:]
    assert checkpoint.newest_whole(tmp_path, seed=0)[1].step == 100


def test_a_checkpoint_of_the_same_step_takes_its_place(tmp_path):
    """After a validation, say; the older one stays."""
    writer = Writer(tmp_path, keep=2)
    for progress in (progress_at(8), progress_at(9), progress_at(9, validated_step=9)):
        writer.save_checkpoint(network(), progress)
    writer.close()
    assert names(tmp_path) == ["step-000000008.npz", "step-000000009.npz"]
    assert checkpoint.newest_whole(tmp_path, seed=0)[1].validated_step == 9


def test_a_folder_without_checkpoints_gives_none(tmp_path):
    assert checkpoint.newest_whole(tmp_path, seed=0) is None
    assert checkpoint.newest_whole(tmp_path / "missing", seed=0) is None


@pytest.mark.parametrize("failing", ["write_array", "replace", "fsync"])
def test_a_full_disk_leaves_the_older_checkpoint_and_is_said(failing, tmp_path, monkeypatch):
    save(tmp_path, network(steps=1), 1)
    writer = Writer(tmp_path, keep=2)

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np.lib.format if failing == "write_array" else checkpoint.os, failing, full)
        writer.save_checkpoint(network(), progress_at(2))
        with pytest.raises(OSError, match="No space left"):
            writer.finish()
    writer.close()
    assert names(tmp_path) == ["step-000000001.npz"]
    assert checkpoint.newest_whole(tmp_path, seed=0)[1].step == 1


def test_a_disk_without_room_is_noticed_before_anything_is_written(tmp_path, monkeypatch):
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(2**30, 2**30, 2**4))
    with pytest.raises(OSError, match="MB free"):
        checkpoint.save_weights(tmp_path / "a.npz", checkpoint.weights_of(network()["model"]))
    assert names(tmp_path) == []


def test_a_checkpoint_does_not_wait_for_the_best_weights_before_it(tmp_path, monkeypatch):
    """A third writing does: no more than two copies lie in memory."""
    may_write, write, begun = threading.Event(), checkpoint.save_weights, []

    def slow(*arguments):
        may_write.wait(30)
        write(*arguments)

    monkeypatch.setattr(checkpoint, "save_weights", slow)
    writer, parts = Writer(tmp_path / "new", keep=1), network()
    writer.save_weights(tmp_path / "best.npz", parts["model"])
    writer.save_checkpoint(parts, progress_at(1))
    third = threading.Thread(target=lambda: begun.append(writer.save_checkpoint(parts, progress_at(2))))
    third.start()
    third.join(0.3)
    assert not begun and not (tmp_path / "best.npz").exists()
    may_write.set()
    third.join(30)
    writer.close()
    assert begun and (tmp_path / "best.npz").exists() and names(tmp_path / "new") == ["step-000000002.npz"]


def test_an_error_of_the_thread_reaches_the_training_without_waiting(tmp_path, monkeypatch):
    writer, done = Writer(tmp_path, keep=1), threading.Event()

    def broken(*arguments):
        done.wait(30)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_weights", broken)
    writer.save_checkpoint(network(), progress_at(1))
    writer.raise_failure()
    done.set()
    with pytest.raises(OSError, match="No space left"):
        writer.close()


def test_what_a_killed_process_left_is_no_checkpoint_and_goes(tmp_path):
    (tmp_path / ".step-000000001.npz.partial").write_bytes(b"half")
    assert checkpoint.newest_whole(tmp_path, seed=0) is None
    Writer(tmp_path, keep=1).close()
    assert names(tmp_path) == []


DAMAGE = {
    "cut": lambda data: data[: len(data) * 2 // 3],
    "empty": lambda data: b"",
    "rubbish": lambda data: b"\x80\x04rubbish",
    "flipped": lambda data: data[: len(data) // 3] + bytes([data[len(data) // 3] ^ 0x40]) + data[len(data) // 3 + 1 :],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(damage, tmp_path, caplog):
    save(tmp_path, network(64, steps=2), 1, 2)
    path = tmp_path / "step-000000002.npz"
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    _, progress = checkpoint.newest_whole(tmp_path, seed=0)
    assert progress.step == 1
    assert "step-000000002.npz: damaged checkpoint" in caplog.text and caplog.text.count("\n") == 1


def test_every_flipped_byte_is_noticed_or_means_nothing(tmp_path):
    """Each array has a checksum; what is outside of them is the names and the places of the arrays."""
    save(tmp_path, network(steps=1), 1)
    path = tmp_path / "step-000000001.npz"
    whole = path.read_bytes()
    expected, _ = checkpoint.newest_whole(tmp_path, seed=0)
    for place in range(0, len(whole), 13):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x04]) + whole[place + 1 :])
        try:
            stored, progress = checkpoint.newest_whole(tmp_path, seed=0)
        except InputError:
            continue
        assert progress.step == 1
        for part, values in stored.items():
            assert {name: value.tolist() for name, value in values.items()} == {
                name: value.tolist() for name, value in expected[part].items()
            }, place


def test_where_all_are_damaged_nothing_is_begun_anew(tmp_path):
    save(tmp_path, network(), 1, 2)
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    with pytest.raises(InputError, match="each of the 2 checkpoints there is damaged; train into another folder"):
        checkpoint.newest_whole(tmp_path, seed=0)


def test_a_checkpoint_of_another_seed_is_refused(tmp_path):
    save(tmp_path, network(), 1)
    with pytest.raises(InputError, match="damaged"):
        checkpoint.newest_whole(tmp_path, seed=1)


def test_a_pickle_in_a_checkpoint_is_not_loaded(tmp_path):
    with (tmp_path / "step-000000001.npz").open("wb") as file:
        np.savez(file, progress=np.array([print], dtype=object))
    with pytest.raises(InputError, match="damaged"):
        checkpoint.newest_whole(tmp_path, seed=0)


def test_weights_of_another_network_are_refused_and_change_nothing(tmp_path):
    path, model = tmp_path / "best.npz", network(5)["model"]
    checkpoint.save_weights(path, checkpoint.weights_of(network(3)["model"]))
    before = checkpoint.weights_of(model)
    with pytest.raises(InputError, match=r"cannot read the weights \(a/kernel has shape \[4, 3\], expected \[4, 5\]\)"):
        checkpoint.load_weights(path, model)
    checkpoint.save_weights(path, {"a/kernel": np.zeros((4, 5))})
    with pytest.raises(InputError, match="3 weights are there or here alone, a/bias for one"):
        checkpoint.load_weights(path, model)
    for name, value in checkpoint.weights_of(model).items():
        np.testing.assert_array_equal(value, before[name])


def test_weights_alone_come_back_and_missing_ones_are_explained(tmp_path):
    model, other = network(steps=1)["model"], network(seed=1)["model"]
    path = tmp_path / "best.npz"
    checkpoint.save_weights(path, checkpoint.weights_of(model))
    assert names(tmp_path) == [path.name]
    checkpoint.load_weights(path, other)
    for mine, theirs in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(mine), np.asarray(theirs))
    with pytest.raises(InputError, match="no weights there; train until the first validation"):
        checkpoint.load_weights(tmp_path / "none.npz", model)


def test_weights_that_cannot_be_written_leave_the_old_ones(tmp_path, monkeypatch):
    path, weights = tmp_path / "best.npz", checkpoint.weights_of(network()["model"])
    checkpoint.save_weights(path, weights)
    before = path.read_bytes()

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.os, "replace", full)
    with pytest.raises(OSError):
        checkpoint.save_weights(path, {name: value + 1 for name, value in weights.items()})
    assert path.read_bytes() == before
    assert names(tmp_path) == [path.name]


def test_the_time_that_a_training_waits_is_counted(tmp_path, monkeypatch):
    writer = Writer(tmp_path, keep=1)
    assert writer.waited_sec == 0 and writer.age_sec < 60
    writer.save_checkpoint(network(), progress_at(1))
    writer.save_weights(tmp_path / "best.npz", network()["model"])
    writer.close()
    assert 0 < writer.waited_sec < 60
    assert names(tmp_path) == ["best.npz", "step-000000001.npz"]
