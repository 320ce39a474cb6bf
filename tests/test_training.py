"""A training from settings to its end: what it is begun with, and what of it is refused in one line."""

import dataclasses
import functools
import math
import shutil

import numpy as np
import pytest
import tensorflow as tf
from event_files import curves, events_of

from pnet_tf import (
    checkpoint,
    dataset,
    loss,
    run_folder,
    schedule,
    train_step,
    trainer,
    training,
    unet,
    voice_folder,
)
from pnet_tf.cluster import Cluster
from pnet_tf.errors import InputError
from pnet_tf.settings import Settings
from pnet_tf.shard_set import open_shard_set
from tests.attack.formats import tfrecord

CONFIG = unet.ModelConfig(width=1 / 64, bands=(2, 4))


@pytest.fixture
def settings(tiny_shards, tmp_path):
    return Settings(
        *(tiny_shards, tmp_path / "run", CONFIG),
        **{"batch_size": 2, "window_frames": 64, "test_every": 1, "strategy": "one", "pictures": 0},
    )


def test_what_a_run_is_made_from_is_written_before_its_first_step(settings, monkeypatch):
    seen = {}

    def run(self, *, flag_text):
        seen.update({path.name: path.read_bytes() for path in self.settings.run_dir.iterdir() if path.is_file()})

    monkeypatch.setattr(trainer.Trainer, "run", run)
    training.train(settings, flag_text="--seed=0\n")
    spec = open_shard_set(settings.data).spec
    assert seen["feature_spec.json"] == spec.to_json().encode()
    assert seen["model_config.json"] == CONFIG.to_json().encode()
    assert seen["resolved.flags"] == b"--seed=0\n"
    run = run_folder.open_run(settings.run_dir)
    assert run.training == settings.what_is_learnt()
    assert run.voice["instrument"] == "violin"
    assert [pitch for pitch, n in enumerate(run.voice["pitch_frames"]) if n][0] == 57
    assert {len(run.voice[name]) for name in ("noise_floor", "ceiling")} == {spec.n_bins}
    assert max(run.voice["noise_floor"]) > 0 and np.all(np.less_equal(run.voice["noise_floor"], run.voice["ceiling"]))


def test_a_batch_that_the_devices_cannot_share_is_refused_before_the_run_begins(settings, monkeypatch):
    """A run begun with it could not go on with another batch size."""

    class Two:
        num_replicas_in_sync = 2

    monkeypatch.setattr(training, "open_cluster", lambda name: Cluster(Two()))
    with pytest.raises(InputError, match=r"--batch_size=3 .* must be a multiple of their number, 2"):
        training.train(dataclasses.replace(settings, batch_size=3))
    assert not settings.run_dir.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1}, "seed is 0 there and 1 now"),
        ({"clip_norm": 1.0}, r"clip_norm is 0\.0 there and 1\.0 now"),
        ({"precision": "float64"}, "precision is 'float32' there and 'float64' now"),
        ({"config": unet.ModelConfig(width=1 / 64, bands=(2,))}, r"bands is \(2, 4\) there and \(2,\) now"),
        ({"instrument": "cello"}, "holds violin, and --instrument=cello"),
        ({"window_frames": 80}, "prepared for windows of at most 64 frames"),
    ],
)
def test_another_training_in_the_same_folder_is_refused(changes, message, settings, tiny_run):
    before = sorted(path.stat().st_mtime_ns for path in tiny_run.rglob("*"))
    with pytest.raises(InputError, match=message):
        training.train(dataclasses.replace(settings, **{"run_dir": tiny_run, **changes}))
    assert sorted(path.stat().st_mtime_ns for path in tiny_run.rglob("*")) == before


def test_a_finished_run_is_left_alone(settings, tiny_run, tmp_path, caplog):
    run_dir = shutil.copytree(tiny_run, tmp_path / "copy")
    best = (run_dir / run_folder.BEST_WEIGHTS_NAME).read_bytes()
    with caplog.at_level("INFO", logger="absl"):
        assert training.train(dataclasses.replace(settings, run_dir=run_dir, steps=8))
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
    ours = dataclasses.replace(settings, data=data, loss=kind, steps=40, batch_size=10)
    with pytest.raises(InputError, match=f"{data}: a shard was changed or damaged .*inspect_shards") as ended:
        with dataset.shards_named(shards):
            trainer.Trainer(ours, shards, plan).run()
    assert "\n" not in str(ended.value) and "{{" not in str(ended.value)


@pytest.mark.parametrize("record", [b"\xbc no example", b""])
def test_a_record_that_is_none_is_one_line_though_its_checksum_is_right(tiny_shards, tmp_path, record):
    data = shutil.copytree(tiny_shards, tmp_path / "data")
    shards = open_shard_set(data)
    for entry in shards.manifest.recordings:
        (data / entry.shard).write_bytes(tfrecord([record] * 20))
    plan = dataset.plan_windows(shards, "train", window_frames=64)
    with pytest.raises(InputError, match=f"{data}: a shard was changed or damaged .*inspect_shards"):
        with dataset.shards_named(shards):
            list(dataset.fixed_windows(shards, plan, batch_size=2))


@pytest.mark.parametrize("kind", [tf.errors.InternalError, tf.errors.InvalidArgumentError])
def test_other_faults_keep_their_traceback(tiny_shards, kind):
    with pytest.raises(kind):
        with dataset.shards_named(open_shard_set(tiny_shards)):
            raise kind(None, None, "a fault of ours")


def test_every_loss_that_the_flag_offers_can_be_trained_with():
    assert set(loss.LOSSES) == {"mse", "mae"}
    fields = {field.name for field in dataclasses.fields(Settings)}
    partial = functools.partial(Settings, data=None, run_dir=None, config=CONFIG)
    assert set(partial().what_is_learnt()) < fields


# --- what is begun with


@pytest.fixture
def begin(settings, tiny_voice, tmp_path, monkeypatch):
    """Begins a training, or goes on, with a copy of `tiny_voice`, up to its first step; gives back its weights."""
    seen = {}

    def run(self, *, flag_text):
        seen.update(checkpoint.weights_of(self.learner.model))
        assert all(np.array_equal(a, seen[name]) for name, a in checkpoint.weights_of(self.learner.for_use).items())

    def train(**changes):
        seen.clear()
        training.train(dataclasses.replace(settings, init_from=str(tmp_path / "voice"), ema_decay=0.9, **changes))
        return dict(seen)

    shutil.copytree(tiny_voice, tmp_path / "voice")
    monkeypatch.setattr(trainer.Trainer, "run", run)
    return train


def test_a_training_begins_with_the_weights_of_a_voice_and_keeps_their_digest_and_terms(begin, settings, tmp_path):
    (tmp_path / "voice" / "LICENSE.md").write_text("terms")
    first = begin()
    assert (settings.run_dir / "LICENSE.md").read_text() == "terms"
    with np.load(tmp_path / "voice" / "weights.npz") as stored:
        assert first.keys() == set(stored.files)
        for name in stored.files:
            np.testing.assert_array_equal(first[name], stored[name].astype(np.float32))
    digest = voice_folder.sha256_of(tmp_path / "voice" / "weights.npz")
    recorded = run_folder.open_run(settings.run_dir).training["init_from"]
    assert recorded == {"name": str(tmp_path / "voice"), "sha256": digest}


def test_a_training_goes_on_with_the_same_first_weights_and_with_no_others(begin, settings, tiny_run, tmp_path):
    """The same by another name are the same; before there is a checkpoint they are compared, and after it not needed."""
    first = begin()
    shutil.copytree(tmp_path / "voice", tmp_path / "moved")
    again = begin()
    assert all(np.array_equal(first[name], again[name]) for name in first)
    for other in (None, str(tiny_run)):
        with pytest.raises(InputError, match="was begun with other settings .init_from is .*sha256"):
            training.train(dataclasses.replace(settings, init_from=other, ema_decay=0.9))
    training.train(dataclasses.replace(settings, init_from=str(tmp_path / "moved"), ema_decay=0.9))
    path = tmp_path / "voice" / "weights.npz"
    voice_folder.write_weights(path.parent, {name: array + 1 for name, array in first.items()})
    spec, config = open_shard_set(settings.data).spec, settings.config
    voice_folder.write_facts(path.parent, spec, config, voice_folder.read_facts(path.with_name("voice.json"), spec))
    with pytest.raises(InputError, match="was begun with other settings .init_from is .*sha256"):
        begin()


def test_a_training_with_a_checkpoint_does_not_look_for_its_first_weights(begin, settings, tmp_path):
    first = begin()
    model = unet.build_performance_net(open_shard_set(settings.data).spec, CONFIG)
    checkpoint.assign_weights(model, {name: array + 1 for name, array in first.items()})
    optimizer = train_step.make_optimizer(settings.learning_rate, half_gradients=False)
    optimizer.build(model.trainable_variables)
    writer = checkpoint.Writer(settings.run_dir / trainer.CHECKPOINTS_NAME, keep=1)
    parts = {"model": model, "optimizer": optimizer, "averaged": model}
    writer.save_checkpoint(parts, checkpoint.Progress(3, schedule.Plateau(1e-3)))
    writer.close()
    shutil.rmtree(tmp_path / "voice")
    again = begin()
    assert all(np.array_equal(first[name] + 1, again[name]) for name in first)


def test_first_weights_of_another_network_are_refused_before_the_run_begins(begin, settings):
    with pytest.raises(InputError, match=r"another network \(bands is \(2,\) here and \(2, 4\) there\)"):
        begin(config=unet.ModelConfig(width=1 / 64, bands=(2,)))
    assert not settings.run_dir.exists()


# --- what is shown


def test_the_curves_of_a_run(tiny_run):
    """Eight steps with a point every two, the validation and the mean spectrum per note beside them."""
    found = curves(tiny_run)
    every = [2, 4, 6, 8]
    assert list(found["loss/training"]) == every
    assert found["learning_rate"] == {step: pytest.approx(1e-3) for step in every}
    assert list(found["loss/validation"]) == [8]
    assert list(found["loss/mean_spectrum_per_note"]) == [0]
    for name in ("loss/training", "gradient_norm/mean", "gradient_norm/largest", "windows_per_second"):
        assert list(found[name]) == every and all(math.isfinite(value) and value > 0 for value in found[name].values())
    for name in ("share_of_time_waiting/data", "share_of_time_waiting/checkpoints"):
        assert list(found[name]) == every and all(0 <= value < 1 for value in found[name].values())
    assert all(found["gradient_norm/mean"][step] <= found["gradient_norm/largest"][step] for step in every)


def test_what_is_trained_and_two_windows_of_it_are_shown(tiny_run, tiny_shards):
    events = events_of(tiny_run)
    names = set(events.Tags()["tensors"])
    assert {"run/flags", "run/feature_spec", "run/network", "run/versions"} <= names
    (flags,) = events.Tensors("run/flags")
    assert "--width=0.015625" in tf.make_ndarray(flags.tensor_proto)[()].decode()
    shown = sorted(name for name in names if name.startswith("windows/"))
    assert len(shown) == 2
    for name in shown:
        (picture,) = events.Tensors(name)
        assert picture.step == 8
        for kind in ("prediction", "target"):
            assert f"audio/{name.removeprefix('windows/')}/{kind}" in names


# --- what the data and what it begins with say of the network


@pytest.fixture
def built(settings, monkeypatch):
    """Begins a training with changed settings; gives the config of the network that it builds."""
    configs = []
    monkeypatch.setattr(trainer.Trainer, "run", lambda self, *, flag_text: configs.append(self.settings.config))

    def train(**changes):
        training.train(dataclasses.replace(settings, **changes))
        return configs[-1]

    return train


def test_spectra_are_those_of_the_pitches_of_the_instrument_and_recordings_those_that_are_trained_on(built, settings, tmp_path):
    names = open_shard_set(settings.data).manifest.trained_names()
    config = built(note_spectra=True, per_recording=True)
    assert (config.note_spectra, config.recordings) == ((52, 106), names) and names
    assert config == run_folder.open_run(settings.run_dir).config
    config = built(note_spectra=True, run_dir=tmp_path / "other")
    assert (config.note_spectra, config.recordings) == ((52, 106), ())
    assert built(run_dir=tmp_path / "third") == CONFIG


def test_a_training_that_begins_with_a_voice_has_its_pitches_also_once_the_voice_is_gone(built, settings, tmp_path):
    voice = tmp_path / "voice"
    config = dataclasses.replace(CONFIG, note_spectra=(40, 90))
    voice.mkdir()
    spec = open_shard_set(settings.data).spec
    voice_folder.write_weights(voice, checkpoint.weights_of(unet.build_performance_net(spec, config)))
    facts = {"instrument": "cello", "pitch_frames": [2] * 128, "window_frames": 64}
    voice_folder.write_facts(voice, spec, config, facts)
    begin = {"note_spectra": True, "init_from": str(voice)}
    assert built(**begin) == config
    shutil.rmtree(voice)
    gone = dataclasses.replace(settings, **begin)
    assert training._spectra_pitches(gone, open_shard_set(settings.data)) == (40, 90)
    with pytest.raises(InputError, match="no such folder"):
        built(**begin, run_dir=tmp_path / "another")
