"""Flags of `train`, and the flag files that ship with it."""

import dataclasses
import os
import pathlib
import signal

import pytest
from absl import flags as absl_flags

from pnet_tf import command, train

ROOT = pathlib.Path(__file__).resolve().parent.parent
CONFIGS = sorted((ROOT / "configs").glob("*.flags"))
# What a flag file need not say: where things are, and how long or how often without changing what is learnt.
OPTIONAL = {"data", "instrument", "run_dir", "init_from", "steps", "log_every", "checkpoint_minutes", "keep", "pictures"}
OPTIONAL |= {"max_channels", "profile_steps", "jit", "deterministic"}


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
    from pnet_tf import loss, model_config, settings

    flags = parse("--data=x")
    for field in dataclasses.fields(settings.Settings):
        if field.default is not dataclasses.MISSING:
            assert flags[field.name].value == field.default, field.name
    config = model_config.ModelConfig()
    assert (flags.preset, flags.width, tuple(map(int, flags.bands))) == (config.preset, config.width, config.bands)
    assert (flags.norm, flags.max_channels) == (config.norm, config.max_channels)
    assert (flags.note_spectra, flags.per_recording) == (config.note_spectra is not None, config.recordings != ())
    assert flags["norm"].parser.enum_values == list(model_config.NORMS)
    assert flags["strategy"].parser.enum_values == list(settings.STRATEGIES)
    assert flags["precision"].parser.enum_values == list(settings.PRECISIONS)
    assert flags["loss"].parser.enum_values == list(loss.LOSSES)


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
        (["--clip_norm=inf"], "--clip_norm=inf: expected a number"),
        (["--ema_decay=1"], "--ema_decay"),
        (["--checkpoint_minutes=nan"], "--checkpoint_minutes=nan: expected a number"),
        (["--keep=0"], "--keep"),
        (["--init_from="], "--init_from= names nothing"),
        (["--variance_weight=nan"], "--variance_weight=nan: expected a number"),
        (["--loud_weight=inf"], "--loud_weight=inf: expected a number"),
        (["--pitch_shift=13"], "--pitch_shift"),
        (["--norm=batch"], "--norm"),
        (["--max_channels=0"], "--max_channels"),
        (["--per_recording"], "give --note_spectra too"),
        (["--precision=int8"], "--precision"),
        (["--strategy=cluster"], "--strategy"),
        (["--profile_steps=5"], "--profile_steps=5: expected the first and the last step"),
        (["--profile_steps=5,4"], "--profile_steps=5,4: expected the first and the last step"),
        (["--profile_steps=a,b"], "--profile_steps=a,b: expected whole numbers, such as 100,110"),
        (["--jit", "--deterministic"], "--deterministic and --jit"),
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


@pytest.mark.parametrize(
    ("arguments", "has_gpu", "expected"),
    [
        ([], False, True),
        ([], True, False),
        (["--jit"], False, False),
        (["--deterministic"], True, True),
        (["--nodeterministic"], False, False),
    ],
)
def test_trainings_repeat_to_the_last_bit_where_that_costs_nothing_or_is_asked_for(arguments, has_gpu, expected):
    assert train._is_deterministic(parse("--data=x", *arguments), has_gpu=has_gpu) is expected


def test_flags_become_the_settings_of_a_training(monkeypatch, capsys):
    from pnet_tf import training

    seen = []
    monkeypatch.setattr(training, "train", lambda settings, *, flag_text, stop: seen.append((settings, flag_text)))
    arguments = ["--data=x", "--profile_steps=3,9", "--experiment=e", "--nodeterministic", "--ema_decay=0.5"]
    assert command.run(train.define_flags, train.main, arguments) == 0
    assert capsys.readouterr().err == ""
    ((settings, flag_text),) = seen
    assert (settings.profile_steps, settings.run_dir, settings.ema_decay) == ((3, 9), pathlib.Path("runs/e"), 0.5)
    assert "--profile_steps=3,9" in flag_text


def test_a_training_that_is_asked_to_stop_before_its_first_step_ends_well(monkeypatch, capsys):
    from pnet_tf import training

    monkeypatch.setattr(training, "train", lambda *arguments, **options: os.kill(os.getpid(), signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    assert command.run(train.define_flags, train.main, ["--data=x", "--nodeterministic"]) == 0
    assert capsys.readouterr().err == "train: asked to stop before the first step; the same command begins again\n"
    assert signal.getsignal(signal.SIGTERM) is before
