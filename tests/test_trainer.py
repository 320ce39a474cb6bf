"""The training loop: what it learns, keeps, shows and refuses."""

import dataclasses
import functools
import math
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pnet_tf import checkpoint, dataset, loss, run_folder, trainer, unet
from pnet_tf.errors import InputError
from pnet_tf.shard_set import open_shard_set

CONFIG = unet.ModelConfig(width=1 / 64, bands=(2, 4))


@pytest.fixture
def settings(tiny_shards, tmp_path):
    """Two steps an epoch, a validation after each, and no mean spectrum to measure against."""
    return trainer.Settings(
        tiny_shards, tmp_path / "run", CONFIG, batch_size=10, window_frames=64, test_every=1, strategy="one"
    )


def build(settings):
    shards = open_shard_set(settings.data)
    plan = dataset.plan_windows(shards, "train", window_frames=settings.window_frames)
    return trainer.Trainer(settings, shards, plan)


def curves(folder):
    """Points of each curve: name to {step: value}."""
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    return {
        name: {p.step: float(tf.make_ndarray(p.tensor_proto)) for p in events.Tensors(name)}
        for name in events.Tags()["tensors"]
    }


def weights(model):
    return [np.array(value) for value in model.get_weights()]


def test_the_curves_of_a_run(tiny_run):
    """Eight steps with a point every two, the validation and the mean spectrum per note beside them."""
    found = curves(tiny_run)
    assert list(found["loss/training"]) == [2, 4, 6, 8]
    assert found["learning_rate"] == {step: pytest.approx(1e-3) for step in (2, 4, 6, 8)}
    assert list(found["loss/validation"]) == [8]
    assert list(found["loss/mean_spectrum_per_note"]) == [0]
    assert all(math.isfinite(value) and value > 0 for points in found.values() for value in points.values())


def test_what_a_run_is_made_from_is_written_before_its_first_step(settings, monkeypatch):
    seen = {}

    def run(self):
        seen.update({path.name: path.read_bytes() for path in self.settings.run_dir.iterdir()})

    monkeypatch.setattr(trainer.Trainer, "run", run)
    trainer.train(settings, flag_text="--seed=0\n")
    spec = open_shard_set(settings.data).spec
    assert seen["feature_spec.json"] == spec.to_json().encode()
    assert seen["model_config.json"] == CONFIG.to_json().encode()
    assert seen["resolved.flags"] == b"--seed=0\n"
    run = run_folder.open_run(settings.run_dir)
    assert run.training == settings.what_is_learnt()
    assert run.voice["instrument"] == "violin"
    assert [pitch for pitch, n in enumerate(run.voice["pitch_frames"]) if n][0] == 57


def test_the_loss_falls_and_its_best_weights_are_kept(settings):
    """It ends below half of what the untrained network has, and a new Keras model with the best weights has the same."""
    settings = dataclasses.replace(settings, steps=60, learning_rate=3e-3, test_every=15)
    untrained = build(settings).validation_loss()
    shutil.rmtree(settings.run_dir)
    trainer.train(settings)
    found = curves(settings.run_dir)["loss/validation"]
    assert list(found) == [30, 60]
    assert found[60] < untrained / 2
    model = unet.build_performance_net(open_shard_set(settings.data).spec, CONFIG)
    checkpoint.load_weights(settings.run_dir / run_folder.BEST_WEIGHTS_NAME, model)
    shards = open_shard_set(settings.data)
    plan = dataset.plan_windows(shards, "validation", window_frames=64)
    (batch,) = dataset.fixed_windows(shards, plan, batch_size=100)
    drawn = model({name: batch[name] for name in ("pianoroll", "onset_offset")}, training=False)
    value = float(tf.reduce_mean((drawn - batch["log_power"]) ** 2))
    assert value == pytest.approx(min(found.values()), rel=1e-4)


def test_best_weights_schedule_and_checkpoint_follow_the_validations(settings, monkeypatch):
    """Validation losses 3, 1, 2, 2: the best weights are the second's, the rate falls at the fourth."""
    scripted, seen = iter([3.0, 1.0, 2.0, 2.0]), []

    def validation_loss(self):
        seen.append(weights(self.model))
        return next(scripted)

    monkeypatch.setattr(trainer.Trainer, "validation_loss", validation_loss)
    monkeypatch.setattr(trainer.Trainer, "_say_baseline", lambda self: None)
    trainer.train(dataclasses.replace(settings, steps=8, plateau_patience=1, plateau_factor=0.5))
    model = unet.build_performance_net(open_shard_set(settings.data).spec, CONFIG)
    checkpoint.load_weights(settings.run_dir / run_folder.BEST_WEIGHTS_NAME, model)
    for mine, theirs in zip(weights(model), seen[1], strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert not np.array_equal(seen[1][0], seen[2][0])
    optimizer = keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    progress = checkpoint.restore_newest(settings.run_dir / "checkpoints", model, optimizer)
    assert progress == checkpoint.Progress(8, trainer.Plateau(5e-4, best_loss=1.0, n_bad=0))
    np.testing.assert_array_equal(weights(model)[0], seen[3][0])


def test_each_validation_window_weighs_the_same_in_batches_of_any_size(settings):
    """Five windows or so: with a batch of 2 or 4 the last is smaller."""
    ours = build(settings)
    shards, plan = ours.shards, ours.validation_plan
    (batch,) = dataset.fixed_windows(shards, plan, batch_size=100)
    drawn = ours.model({name: batch[name] for name in ("pianoroll", "onset_offset")}, training=False)
    expected = float(np.mean((drawn.numpy().astype(np.float64) - batch["log_power"].numpy()) ** 2))
    sizes = [size for size in (2, 3, 4, 5) if plan.epoch_windows % size]
    assert plan.epoch_windows > 2 and sizes
    for size in sizes:
        ours.settings = dataclasses.replace(settings, batch_size=size)
        assert ours.validation_loss() == pytest.approx(expected, rel=1e-5), size


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_checkpoint(settings, monkeypatch):
    settings = dataclasses.replace(settings, steps=6, log_every=1)
    make_train_step, calls = trainer.make_train_step, []

    def make_poisoned_step(*arguments, **options):
        train_step = make_train_step(*arguments, **options)

        def poisoned(batch):
            calls.append(train_step(batch))
            return tf.constant(math.nan) if len(calls) == 4 else calls[-1]

        return poisoned

    monkeypatch.setattr(trainer, "make_train_step", make_poisoned_step)
    with pytest.raises(InputError, match="training loss is nan at step 4; .*lower --learning_rate") as ended:
        trainer.train(settings)
    assert "\n" not in str(ended.value)
    assert [path.name for path in (settings.run_dir / "checkpoints").iterdir()] == ["step-000000002"]
    assert (settings.run_dir / run_folder.BEST_WEIGHTS_NAME).exists()


def test_a_batch_that_the_devices_cannot_share_is_refused_before_the_run_begins(settings, monkeypatch):
    """A run begun with it could not go on with another batch size."""

    class Two:
        num_replicas_in_sync = 2

    monkeypatch.setattr(trainer, "open_strategy", lambda name: Two())
    with pytest.raises(InputError, match=r"--batch_size=3 .* must be a multiple of their number, 2"):
        trainer.train(dataclasses.replace(settings, batch_size=3))
    assert not settings.run_dir.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1}, "seed is 0 there and 1 now"),
        ({"config": unet.ModelConfig(width=1 / 64, bands=(2,))}, r"bands is \(2, 4\) there and \(2,\) now"),
        ({"instrument": "cello"}, "holds violin, and --instrument=cello"),
        ({"window_frames": 80}, "prepared for windows of at most 64 frames"),
    ],
)
def test_another_training_in_the_same_folder_is_refused(changes, message, settings, tiny_run):
    before = sorted(path.stat().st_mtime_ns for path in tiny_run.rglob("*"))
    again = {"run_dir": tiny_run, "batch_size": 2, **changes}
    with pytest.raises(InputError, match=message):
        trainer.train(dataclasses.replace(settings, **again))
    assert sorted(path.stat().st_mtime_ns for path in tiny_run.rglob("*")) == before


def test_a_finished_run_says_so_and_is_left_alone(settings, tiny_run, tmp_path, caplog):
    run_dir = shutil.copytree(tiny_run, tmp_path / "copy")
    best = (run_dir / run_folder.BEST_WEIGHTS_NAME).read_bytes()
    with caplog.at_level("INFO", logger="absl"):
        trainer.train(dataclasses.replace(settings, run_dir=run_dir, batch_size=2, steps=8))
    assert "all 8 steps are done" in caplog.text
    assert (run_dir / run_folder.BEST_WEIGHTS_NAME).read_bytes() == best


@pytest.mark.parametrize("kind", ["mse", "mae"])
@pytest.mark.parametrize("damage", ["flipped", "gone"])
def test_a_shard_that_changes_ends_in_a_line_that_names_the_shard_set(kind, damage, settings, tiny_shards, tmp_path):
    """Met while measuring the mean spectrum (`mse`), or in the middle of the training."""
    data = shutil.copytree(tiny_shards, tmp_path / "data")
    shards = open_shard_set(data)
    shard = data / next(entry.shard for entry in shards.manifest.recordings if "train" in entry.ranges)
    plan = dataset.plan_windows(shards, "train", window_frames=64)
    if damage == "flipped":
        content = bytearray(shard.read_bytes())
        content[1000] ^= 0x10
        shard.write_bytes(content)
    else:
        shard.unlink()
    ours = dataclasses.replace(settings, data=data, loss=kind, steps=40)
    with pytest.raises(InputError, match=f"{data}: a shard was changed or damaged .*inspect_shards") as ended:
        with trainer._shards_named(shards):
            trainer.Trainer(ours, shards, plan).run()
    assert "\n" not in str(ended.value) and "{{" not in str(ended.value)


def test_other_faults_keep_their_traceback(tiny_shards):
    with pytest.raises(tf.errors.InternalError):
        with trainer._shards_named(open_shard_set(tiny_shards)):
            raise tf.errors.InternalError(None, None, "a fault of ours")


def test_every_loss_that_the_flag_offers_can_be_trained_with():
    assert set(loss.LOSSES) == {"mse", "mae"}
    fields = {field.name for field in dataclasses.fields(trainer.Settings)}
    partial = functools.partial(trainer.Settings, data=None, run_dir=None, config=CONFIG)
    assert set(partial().what_is_learnt()) < fields
