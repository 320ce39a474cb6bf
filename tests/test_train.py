"""Flags of `train`, the flag files that ship with it, and that devices, batches and interruptions change nothing."""

import dataclasses
import json
import pathlib
import subprocess
import sys

import pytest
from absl import flags as absl_flags

from pnet_tf import command, train

ROOT = pathlib.Path(__file__).resolve().parent.parent
CONFIGS = sorted((ROOT / "configs").glob("*.flags"))
# What a flag file need not say: where things are, and how long or how often without changing what is learnt.
OPTIONAL = {"data", "instrument", "run_dir", "steps", "log_every"}


def parse(*arguments):
    flags = absl_flags.FlagValues()
    train.define_flags(flags)
    flags(["train", *arguments])
    return flags


def failure(capsys, *arguments):
    """Exit code and the one line on stderr."""
    code = command.run(train.define_flags, train.main, list(arguments))
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    return code, said.removeprefix("train: ").rstrip("\n")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_flag_file_is_complete_and_stands_alone(path):
    """Every parameter of model and recipe is written out, none twice, and no other file is read."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    written = [line.removeprefix("--").partition("=")[0] for line in lines]
    known = set(parse("--data=x").flag_values_dict()) - set(absl_flags.FlagValues())
    assert sorted(written) == sorted(set(written))
    assert "flagfile" not in written
    assert known - OPTIONAL <= set(written) <= known
    flags = parse("--data=x", f"--flagfile={path}")
    assert flags.experiment == path.stem
    assert flags.instrument == (path.stem if path.stem != "smoke" else None)


def test_the_four_flag_files_are_there():
    assert [path.stem for path in CONFIGS] == ["cello", "flute", "smoke", "violin"]


@pytest.mark.parametrize("name", ["cello", "flute", "violin"])
def test_an_instruments_flag_file_is_the_papers_recipe(name):
    """Full width, bands 2 4 8 16, Adam at 1e-3, batches of 16, 300 epochs, squared error: the defaults."""
    default = parse("--data=x").flag_values_dict()
    ours = parse("--data=x", f"--flagfile={ROOT / 'configs' / name}.flags", "--data=x").flag_values_dict()
    different = {key for key in ours if ours[key] != default[key]} - {"flagfile"}
    assert different == {"instrument", "experiment"}
    assert (ours["width"], ours["bands"], ours["batch_size"], ours["epochs"]) == (1.0, ["2", "4", "8", "16"], 16, 300)


def test_defaults_of_flags_and_of_settings_agree():
    from pnet_tf import trainer, unet

    flags = parse("--data=x")
    for field in dataclasses.fields(trainer.Settings):
        if field.default is not dataclasses.MISSING:
            assert flags[field.name].value == field.default, field.name
    config = unet.ModelConfig()
    assert (flags.preset, flags.width, tuple(map(int, flags.bands))) == (config.preset, config.width, config.bands)
    assert flags["strategy"].parser.enum_values == list(trainer.STRATEGIES)


def test_an_unknown_flag_in_a_flag_file_is_wrong_usage(tmp_path, capsys):
    (tmp_path / "x.flags").write_text("--data=x\n--batchsize=4\n")
    code, said = failure(capsys, f"--flagfile={tmp_path / 'x.flags'}")
    assert code == 2
    assert said.startswith("unknown flag --batchsize in a flag file; did you mean --batch_size?")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--bands=2,x"], "--bands=2,x: expected whole numbers"),
        (["--width=wide"], "--width"),
        (["--batch_size=0"], "--batch_size"),
        (["--learning_rate=-1"], "--learning_rate"),
        (["--learning_rate=nan"], "--learning_rate=nan: expected a number"),
        (["--plateau_factor=nan"], "--plateau_factor=nan: expected a number"),
        (["--seed=99999999999999999999"], "--seed"),
        (["--loss=mel"], "--loss"),
        (["--window_frames=8"], "--window_frames"),
        (["--instrument=theremin"], "--instrument"),
    ],
)
def test_a_value_that_no_training_can_use_is_wrong_usage(arguments, message, capsys):
    code, said = failure(capsys, "--data=x", *arguments)
    assert code == 2
    assert message in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--width=0"], "width is 0.0, expected a number above 0"),
        (["--width=nan"], "width is nan"),
        (["--bands=7"], "cannot be split into [7] equal bands"),
        (["--preset=mine"], "preset is 'mine', this version knows paper"),
        ([], "no such folder; make a shard set with python -m pnet_tf.prepare"),
    ],
)
def test_a_network_or_data_that_does_not_exist_is_one_line(arguments, message, capsys, tmp_path):
    run_dir = tmp_path / "run"
    code, said = failure(capsys, f"--data={tmp_path / 'none'}", f"--run_dir={run_dir}", *arguments)
    assert code == (2 if arguments else 1)
    assert message in said
    assert not run_dir.exists()


def test_a_half_written_shard_set_is_one_line(tiny_shards, tmp_path, capsys):
    (tmp_path / "feature_spec.json").write_bytes((tiny_shards / "feature_spec.json").read_bytes())
    code, said = failure(capsys, f"--data={tmp_path}", f"--run_dir={tmp_path / 'run'}")
    assert code == 1
    assert said == f"{tmp_path}: this shard set is unfinished (no COMPLETED); run the same prepare again"


def test_the_resolved_flags_train_the_same_again(tiny_run, tiny_shards):
    """What a run folder keeps is a flag file with every flag."""
    text = (tiny_run / "resolved.flags").read_text()
    again = parse(f"--flagfile={tiny_run / 'resolved.flags'}").flag_values_dict()
    assert (again["width"], again["bands"], again["steps"]) == (0.015625, ["2", "4"], 8)
    assert again["data"] == str(tiny_shards)
    assert {"learning_rate", "seed", "loss", "epochs"} <= {line[2:].partition("=")[0] for line in text.splitlines()}


# --- devices and interruptions

AGREEMENT = """
import dataclasses, json, pathlib, sys
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
tf.config.experimental.enable_op_determinism()

from pnet_tf import dataset, shard_set, trainer, unet

shards = shard_set.open_shard_set(pathlib.Path(sys.argv[1]))
plan = dataset.plan_windows(shards, "train", window_frames=64)
base = trainer.Settings(
    shards.folder, pathlib.Path(sys.argv[2]), unet.ModelConfig(width=1 / 64, bands=(2, 4)), steps=5, batch_size=4,
    window_frames=64, loss="mae", strategy="one", learning_rate=1e-3,
)

def learn(name, strategy=None, stop_at=None, epsilon=1e-8):
    settings = dataclasses.replace(base, run_dir=base.run_dir / name)
    ours = trainer.Trainer(settings, shards, plan, strategy=strategy)
    started_at, before = ours.progress.step, ours.model.get_weights()
    ours.optimizer.epsilon = epsilon
    if stop_at:
        step, left = ours._train_step, iter(range(stop_at))
        def interrupted(batch):
            if next(left, None) is None:
                raise KeyboardInterrupt
            return step(batch)
        ours._train_step = interrupted
        try:
            ours.run()
        except KeyboardInterrupt:
            pass
    else:
        ours.run()
    return started_at, before, ours.model.get_weights(), [np.asarray(v) for v in ours.optimizer.variables]

def furthest(a, b):
    return max(float(np.abs(x.astype(np.float64) - y).max()) for x, y in zip(a, b, strict=True))

_, _, whole, adam = learn("whole")
learn("parts", stop_at=3)
went_on_at, _, parts, adam_of_parts = learn("parts")

# Weights that differ by 1e-7 part by 1e-3 within five steps on one device alone: Adam makes a step of full size of a
# gradient that is nothing but rounding (a bias before a norm), and the norms amplify what hardly changes in a window. So
# devices are compared on dense rolls, with an epsilon that keeps steps in proportion to gradients.
def dense_windows(shards, plan, *, batch_size, seed, first_step):
    random = np.random.default_rng(seed)
    rolls = (random.random((2, 5 * batch_size, 256, 128)) < 0.05).astype(np.float32)
    log_power = 5 * random.random((5 * batch_size, 256, 1025), np.float32)
    rows = {"pianoroll": rolls[0], "onset_offset": rolls[1], "log_power": log_power}
    return tf.data.Dataset.from_tensor_slices(rows).batch(batch_size, drop_remainder=True)

dataset.training_windows = dense_windows
_, first, one, _ = learn("one", epsilon=0.1)
_, _, two, _ = learn("two", tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"]), epsilon=0.1)
print(json.dumps({
    "moved": furthest(first, one), "two": furthest(one, two), "went_on_at": went_on_at,
    "parts": furthest(whole, parts), "adam": furthest(adam, adam_of_parts),
}))
"""


@pytest.fixture(scope="module")
def agreement(tiny_shards, tmp_path_factory):
    """Furthest distances between the weights of trainings that should agree, from a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", AGREEMENT, str(tiny_shards), str(tmp_path_factory.mktemp("agreement"))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_two_devices_learn_what_one_learns(agreement):
    """Five steps with the same global batch; meanwhile the weights move by hundreds of times as much."""
    assert agreement["two"] <= 1e-6
    assert agreement["moved"] > 3e-5


@pytest.mark.slow
def test_an_interrupted_training_goes_on_as_if_it_had_not_been(agreement):
    """Interrupted after three steps, between two points of the curves: not a bit differs."""
    assert agreement["went_on_at"] == 3
    assert agreement["parts"] == 0
    assert agreement["adam"] == 0
