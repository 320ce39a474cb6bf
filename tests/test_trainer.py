"""The training loop: what it learns, keeps, shows and says."""

import dataclasses
import math
import os
import shutil
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf
from event_files import curves, events_of

from pnet_tf import blocks, checkpoint, dataset, memory_probe, run_folder, train_step, trainer, unet
from pnet_tf.errors import InputError
from pnet_tf.schedule import Plateau
from pnet_tf.settings import Settings
from pnet_tf.shard_set import open_shard_set
from pnet_tf.validation import Validation

CONFIG = unet.ModelConfig(width=1 / 64, bands=(2, 4))


@pytest.fixture
def real_network():
    """For the tests that want the network itself; the loop is the same around a smaller one."""


@pytest.fixture(autouse=True)
def _quick_network(request, monkeypatch):
    """A network of two layers, which is traced in a fraction of a second."""

    def build(spec, config):
        inputs = {name: keras.Input((None, spec.n_pitches), name=name) for name in ("pianoroll", "onset_offset")}
        x = keras.layers.Concatenate(name="joined")(list(inputs.values()))
        x = keras.layers.Conv1D(config.channels(512), 3, padding="same", activation="tanh", name="hidden")(x)
        return keras.Model(inputs, keras.layers.Dense(spec.n_bins, dtype=blocks.whole_precision(), name="bins")(x))

    if "real_network" not in request.fixturenames:
        monkeypatch.setattr(unet, "build_performance_net", build)


@pytest.fixture
def settings(tiny_shards, tmp_path):
    """Two steps an epoch, a validation after each, and no mean spectrum to measure against."""
    (tmp_path / "run").mkdir()
    return Settings(
        *(tiny_shards, tmp_path / "run", CONFIG),
        **{"batch_size": 10, "window_frames": 64, "test_every": 1, "strategy": "one", "pictures": 0, "loss": "mae"},
    )


def build(settings):
    shards = open_shard_set(settings.data)
    plan = dataset.plan_windows(shards, "train", window_frames=settings.window_frames)
    return trainer.Trainer(settings, shards, plan)


def run(settings):
    ours = build(settings)
    try:
        return ours.run()
    finally:
        ours.close()


def weights(model):
    return [np.array(value) for value in model.get_weights()]


def steps_kept(run_dir):
    return [int(path.stem[5:]) for path in checkpoint.checkpoints_in(run_dir / trainer.CHECKPOINTS_NAME)]


def script_validation(monkeypatch, *losses, each=lambda: None):
    """Lets validations say these losses, one after the other."""
    scripted = iter(losses)

    def loss(self, *, go_on):
        each()
        return next(scripted)

    monkeypatch.setattr(Validation, "loss", loss)


# --- what is shown


def test_no_picture_is_drawn_where_none_is_asked_for(settings):
    run(dataclasses.replace(settings, steps=2))
    assert not [name for name in events_of(settings.run_dir).Tags()["tensors"] if name.startswith(("windows/", "audio/"))]


def test_a_profile_is_written_of_the_steps_asked_for(settings):
    run(dataclasses.replace(settings, steps=6, profile_steps=(2, 3)))
    assert list(settings.run_dir.glob("plugins/profile/*/*.xplane.pb"))


# --- what is learnt


def test_the_loss_falls_and_its_best_weights_are_kept(settings, real_network):
    """It ends below half of what the untrained network has, and a new Keras model with the best weights has the same."""
    settings = dataclasses.replace(settings, loss="mse", steps=60, learning_rate=3e-3, test_every=15)
    untrained = build(settings).validation.loss()
    assert run(settings)
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


def test_loud_weights_learn_and_do_not_validate(settings):
    """The same network has the same validation loss with them, and learns from another."""
    plain, loud = (build(dataclasses.replace(settings, run_dir=settings.run_dir / str(w), loud_weight=w)) for w in (0.0, 4.0))
    for ours in (plain, loud):
        bias = ours.learner.model.get_layer("bins").bias
        bias.assign(np.linspace(0, 9, *bias.shape))
    assert loud.validation.loss() == pytest.approx(plain.validation.loss(), rel=1e-6)
    batch = next(iter(dataset.fixed_windows(open_shard_set(settings.data), plain.validation.plan, batch_size=2)))
    losses = [float(ours.train_step(batch, tf.constant(0.0))[0]) for ours in (plain, loud)]
    assert abs(losses[0] - losses[1]) > 1e-3 * losses[0]


def test_best_weights_schedule_and_checkpoint_follow_the_validations(settings, monkeypatch):
    """Validation losses 3, 1, 2, 2: the best weights are the second's, the rate falls at the fourth."""
    settings = dataclasses.replace(settings, steps=8, plateau_patience=1, plateau_factor=0.5)
    ours, seen = build(settings), []
    script_validation(monkeypatch, 3.0, 1.0, 2.0, 2.0, each=lambda: seen.append(weights(ours.learner.model)))
    assert ours.run()
    ours.close()
    model = unet.build_performance_net(open_shard_set(settings.data).spec, CONFIG)
    checkpoint.load_weights(settings.run_dir / run_folder.BEST_WEIGHTS_NAME, model)
    for mine, theirs in zip(weights(model), seen[1], strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert not np.array_equal(seen[1][0], seen[2][0])
    again = build(settings)
    assert again.progress == checkpoint.Progress(8, Plateau(5e-4, 1.0, n_bad=0, n_since_best=2), epoch=4, validated_step=8)
    np.testing.assert_array_equal(weights(again.learner.model)[0], seen[3][0])
    assert steps_kept(settings.run_dir) == [6, 8]


def test_the_rate_warms_up_step_by_step(settings):
    run(dataclasses.replace(settings, steps=6, warmup_steps=4, log_every=1))
    rates = curves(settings.run_dir)["learning_rate"]
    assert rates == {k: pytest.approx(1e-3 * min(k, 4) / 4) for k in range(1, 7)}


@pytest.mark.parametrize("early_stopping", [0, 2])
def test_a_training_ends_early_where_it_was_asked_to(early_stopping, settings, monkeypatch, caplog):
    script_validation(monkeypatch, 3.0, 1.0, 2.0, 0.5, 0.7, 0.6, 0.4)
    settings = dataclasses.replace(settings, steps=14, early_stopping=early_stopping)
    with caplog.at_level("INFO", logger="absl"):
        assert run(settings)
    assert max(curves(settings.run_dir)["loss/validation"]) == (12 if early_stopping else 14)
    assert ("stopped early at step 12: 2 validations without a new best" in caplog.text) == bool(early_stopping)
    assert build(settings)._is_over()


def test_averaged_weights_are_validated_kept_and_come_back(settings):
    settings = dataclasses.replace(settings, steps=4, ema_decay=0.9, learning_rate=1e-2)
    ours = build(settings)
    ours.run()
    ours.close()
    learner = ours.learner
    assert learner.for_use is learner.averaged and learner.averaged is not learner.model
    assert np.abs(weights(learner.averaged)[0] - weights(learner.model)[0]).max() > 1e-4
    best = unet.build_performance_net(open_shard_set(settings.data).spec, CONFIG)
    checkpoint.load_weights(settings.run_dir / run_folder.BEST_WEIGHTS_NAME, best)
    np.testing.assert_array_equal(weights(best)[0], weights(learner.averaged)[0])
    again = build(settings).learner
    for mine, theirs in zip(weights(again.averaged), weights(learner.averaged), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_it_learns_in_every_precision(precision, settings, real_network):
    run(dataclasses.replace(settings, steps=8, precision=precision, learning_rate=3e-3, log_every=2, test_every=4))
    found = curves(settings.run_dir)
    losses = list(found["loss/training"].values())
    assert losses[-1] < losses[0]
    assert ("loss_scale" in found) == (precision == "mixed_float16")


# --- what goes wrong


def poison(monkeypatch, place, *, at, value=math.nan):
    """Lets one number of what a step gives be no number, in the step counted from 1."""
    make_train_step, calls = train_step.make_train_step, []

    def make_poisoned_step(*arguments, **options):
        step = make_train_step(*arguments, **options)

        def poisoned(batch, stopping):
            calls.append(step(batch, stopping).numpy())
            if len(calls) == at:
                calls[-1][place] = value
            return tf.constant(calls[-1])

        return poisoned

    monkeypatch.setattr(train_step, "make_train_step", make_poisoned_step)


@pytest.mark.parametrize("place", [train_step.LOSS, train_step.GRADIENT_NORM])
def test_a_loss_or_gradient_that_is_no_number_ends_the_run_and_keeps_the_checkpoint(place, settings, monkeypatch):
    """The step and all its windows are named; the log takes five steps at a time."""
    settings = dataclasses.replace(settings, steps=6, log_every=5)
    poison(monkeypatch, place, at=4)
    ours = build(settings)
    expected = "(training loss|gradient) is nan at step 4, on .*step-000000002 is kept: .*lower --learning_rate"
    with pytest.raises(InputError, match=expected) as ended:
        ours.run()
    ours.close()
    said = str(ended.value)
    assert "\n" not in said and said.count(" from ") == 10
    rows = ours.plan.batch(0, 3, 10)
    name = ours.shards.manifest.recordings[rows[0, 0]].name
    assert f"{name} from {rows[0, 1] * 256 / 44100:.2f} s" in said
    assert steps_kept(settings.run_dir) == [2]
    assert (settings.run_dir / run_folder.BEST_WEIGHTS_NAME).exists()


def test_no_checkpoint_is_written_of_spoilt_weights(settings, monkeypatch):
    """With a checkpoint after each step the last one is that of the step before."""
    poison(monkeypatch, train_step.LOSS, at=4, value=math.inf)
    with pytest.raises(InputError, match="at step 4, on .*; step-000000003 is kept"):
        run(dataclasses.replace(settings, steps=6, checkpoint_minutes=0))
    assert steps_kept(settings.run_dir)[-1] == 3


def test_weights_that_are_no_numbers_are_not_kept_though_the_loss_was_one(settings):
    """A step of length 1e38: its own loss is fine, and the weights behind it are not."""
    settings = dataclasses.replace(settings, learning_rate=1e38, steps=1, test_every=100)
    with pytest.raises(InputError, match=r"(validation loss is|holds numbers that are none).* at step 1; no checkpoint had been"):
        run(settings)
    assert steps_kept(settings.run_dir) == []


def test_a_validation_loss_that_is_no_number_ends_the_run(settings, monkeypatch):
    script_validation(monkeypatch, 1.0, math.nan)
    with pytest.raises(InputError, match="validation loss is nan at step 4; step-000000002 is kept"):
        run(dataclasses.replace(settings, steps=8))
    assert steps_kept(settings.run_dir) == [2]


def test_flags_that_can_have_no_effect_are_warned_of(settings, caplog):
    settings = dataclasses.replace(settings, steps=2, profile_steps=(3, 4))
    ours = build(settings)
    nothing = np.zeros(0, np.int64)
    ours.validation.plan = dataset.WindowPlan(64, nothing, nothing, nothing, n_windows=nothing)
    ours.run()
    ours.close()
    assert "has no validation part" in caplog.text
    assert "--profile_steps begins at step 3, and steps 1 to 2 are taken" in caplog.text
    caplog.clear()


def test_an_overflow_under_loss_scaling_is_borne(settings, monkeypatch):
    poison(monkeypatch, train_step.GRADIENT_NORM, at=2, value=math.inf)
    assert run(dataclasses.replace(settings, steps=4, precision="mixed_float16"))


def test_overflows_without_end_are_not(settings, monkeypatch):
    monkeypatch.setattr(trainer, "_MAX_OVERFLOWS", 2)
    ours = build(dataclasses.replace(settings, precision="mixed_float16"))
    values = np.array([1.0, math.inf, 0.0])
    for step in (0, 1):
        ours._require_finite(step, values)
    ours._require_finite(2, np.array([1.0, 1.0, 0.0]))
    for step in (3, 4):
        ours._require_finite(step, values)
    with pytest.raises(InputError, match="gradient is inf at step 6"):
        ours._require_finite(5, values)


def test_a_batch_that_the_memory_cannot_hold_names_the_one_it_can(settings, monkeypatch):
    """As a device of 5 windows would say it."""
    error = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[10,64,1025]")

    def full(*arguments):
        raise error

    monkeypatch.setattr(train_step, "make_train_step", lambda *arguments, **options: full)
    monkeypatch.setattr(memory_probe, "fits", lambda probe, learner: probe.n_windows <= 5)
    with pytest.raises(InputError, match="--batch_size=10 does not fit .*; --batch_size=5 does"):
        run(dataclasses.replace(settings, steps=2))


def test_a_disk_that_fills_up_while_it_writes_ends_the_run(settings, monkeypatch):
    def full(*arguments, **arrays):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.np.lib.format, "write_array", full)
    with pytest.raises(OSError, match="No space left"):
        run(dataclasses.replace(settings, steps=4))
    assert steps_kept(settings.run_dir) == []
    assert not list(settings.run_dir.rglob("*.partial"))


# --- stopping and going on


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_same_run_goes_on(number, settings, monkeypatch, caplog):
    """In the middle of an epoch, between two points of the curves."""
    settings = dataclasses.replace(settings, steps=30, test_every=100, log_every=100)
    ours, count = build(settings), []
    step = ours.train_step

    def step_and_signal(batch, stopping):
        count.append(0)
        if len(count) == 3:
            os.kill(os.getpid(), number)
        return step(batch, stopping)

    ours.train_step = step_and_signal
    with caplog.at_level("INFO", logger="absl"):
        if number is signal.SIGINT:
            with pytest.raises(KeyboardInterrupt):
                ours.run()
        else:
            assert not ours.run()
            assert "asked to stop: saved at step" in caplog.text
    ours.close()
    (stopped_at,) = steps_kept(settings.run_dir)
    assert 3 <= stopped_at <= 5
    assert build(settings).progress.step == stopped_at
    assert list(curves(settings.run_dir)["loss/training"]) == [stopped_at]


def test_a_run_that_went_on_learns_what_an_unbroken_one_learns(settings, tmp_path):
    """Its windows, its optimizer, its averages, its warm-up."""
    settings = dataclasses.replace(settings, precision="float64", ema_decay=0.9, warmup_steps=3, test_every=100)
    (tmp_path / "whole").mkdir()
    whole, parts = (dataclasses.replace(settings, run_dir=tmp_path / name) for name in ("whole", "run"))
    run(dataclasses.replace(whole, steps=5))
    run(dataclasses.replace(parts, steps=2, keep=1))
    run(dataclasses.replace(parts, steps=5))
    ours, theirs = build(dataclasses.replace(whole, steps=5)), build(dataclasses.replace(parts, steps=5))
    for name in ("model", "averaged"):
        for mine, other in zip(weights(ours.learner.parts()[name]), weights(theirs.learner.parts()[name]), strict=True):
            np.testing.assert_allclose(mine, other, atol=1e-9)


def test_a_signal_during_a_validation_drops_it_and_it_is_made_up_for(settings, monkeypatch):
    settings = dataclasses.replace(settings, steps=4)
    with monkeypatch.context() as patch:

        def interrupted(self, *, go_on):
            os.kill(os.getpid(), signal.SIGTERM)
            assert not go_on()

        patch.setattr(Validation, "loss", interrupted)
        assert not run(settings)
    assert steps_kept(settings.run_dir) == [2]
    assert run(settings)
    assert list(curves(settings.run_dir)["loss/validation"]) == [2, 4]


@pytest.mark.parametrize("minutes", [0.0, 10.0])
def test_checkpoints_come_by_the_clock_between_validations(minutes, settings):
    run(dataclasses.replace(settings, steps=7, test_every=100, checkpoint_minutes=minutes, keep=20))
    assert steps_kept(settings.run_dir) == ([1, 2, 3, 4, 5, 6, 7] if minutes == 0 else [7])


def test_a_finished_run_says_so_and_is_left_alone(settings, caplog):
    settings = dataclasses.replace(settings, steps=2)
    assert run(settings)
    before = {path: path.stat().st_mtime_ns for path in settings.run_dir.rglob("*.npz")}
    with caplog.at_level("INFO", logger="absl"):
        assert run(settings)
    assert "all 2 steps are done" in caplog.text
    assert {path: path.stat().st_mtime_ns for path in settings.run_dir.rglob("*.npz")} == before


def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(settings, caplog):
    settings = dataclasses.replace(settings, steps=4)
    run(settings)
    newest = checkpoint.checkpoints_in(settings.run_dir / trainer.CHECKPOINTS_NAME)[-1]
    newest.write_bytes(newest.read_bytes()[:1000])
    assert build(settings).progress.step == 2
    assert "step-000000004.npz: damaged checkpoint" in caplog.text


def test_a_checkpoint_of_another_network_is_refused(settings):
    run(dataclasses.replace(settings, steps=2))
    other = dataclasses.replace(settings, config=unet.ModelConfig(width=1 / 32, bands=(2, 4)))
    with pytest.raises(InputError, match="the checkpoint there belongs to another network"):
        build(other)
    shutil.rmtree(settings.run_dir)
