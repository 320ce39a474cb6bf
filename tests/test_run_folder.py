"""A run folder says what it was made from, comes back equal, and refuses to become another run."""

import dataclasses
import fcntl
import importlib.metadata
import json

import pytest

from pnet_tf import run_folder
from pnet_tf.errors import InputError
from pnet_tf.run_folder import Run, open_run, start_run
from pnet_tf.spec import FeatureSpec, SpecMismatchError
from pnet_tf.unet import ModelConfig

TRAINING = {"batch_size": 2, "learning_rate": 1e-3, "seed": 0}
VOICE = {"instrument": "violin", "pitch_frames": [0, 3, 7], "window_frames": 64}


def run_in(folder, **changes):
    config = ModelConfig(width=0.125, bands=(2, 4))
    return dataclasses.replace(Run(folder, FeatureSpec(), config, TRAINING, VOICE), **changes)


def test_what_was_written_comes_back(tmp_path):
    run = run_in(tmp_path / "runs" / "a")
    start_run(run, flag_text="--seed=0\n")
    assert open_run(run.folder) == run
    assert (run.folder / run_folder.FLAGS_NAME).read_text() == "--seed=0\n"
    made_with = json.loads((run.folder / run_folder.RUN_NAME).read_text())["made_with"]
    versions = {name: importlib.metadata.version(name) for name in ("tensorflow", "keras", "numpy")}
    assert {name: made_with[name] for name in versions} == versions
    assert set(made_with) == {*versions, "pnet_tf", "python", "commit"}


def test_the_same_run_goes_on_with_its_files_untouched(tmp_path):
    run = run_in(tmp_path / "a")
    start_run(run, flag_text="--steps=5\n")
    before = {path.name: path.read_bytes() for path in run.folder.iterdir()}
    start_run(run, flag_text="--steps=9\n")
    assert {path.name: path.read_bytes() for path in run.folder.iterdir()} == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training": {**TRAINING, "seed": 1}}, "other settings (seed is 0 there and 1 now)"),
        ({"training": {**TRAINING, "batch_size": 4}}, "batch_size is 2 there and 4 now"),
        ({"config": ModelConfig(width=0.25, bands=(2, 4))}, "width is 0.125 there and 0.25 now"),
        ({"config": ModelConfig(width=0.125, bands=(2,))}, "bands is (2, 4) there and (2,) now"),
        ({"voice": {**VOICE, "instrument": "cello"}}, "was begun with data of violin, and --data holds cello"),
        ({"voice": {**VOICE, "pitch_frames": [0, 3, 8]}}, "was begun with other recordings than --data holds"),
    ],
)
def test_another_run_is_refused_and_the_difference_named(changes, message, tmp_path):
    start_run(run_in(tmp_path / "a"), flag_text="")
    with pytest.raises(InputError) as refused:
        start_run(run_in(tmp_path / "a", **changes), flag_text="")
    assert message in str(refused.value)
    assert str(refused.value).startswith(str(tmp_path / "a"))
    assert "--run_dir" in str(refused.value)


def test_a_run_from_before_a_flag_goes_on_where_the_flag_changes_nothing(tmp_path):
    since = {"variance_weight": 0.0, "loud_weight": 0.0, "level_weight": 0.0, "cosine_weight": 0.0, "pitch_shift": 0}
    since["schedule"] = "plateau"
    since |= {"init_from": None}
    start_run(run_in(tmp_path / "a"), flag_text="")
    start_run(run_in(tmp_path / "a", training={**TRAINING, **since}), flag_text="")
    with pytest.raises(InputError, match="schedule is 'plateau' there and 'cosine' now"):
        start_run(run_in(tmp_path / "a", training={**TRAINING, **since, "schedule": "cosine"}), flag_text="")
    with pytest.raises(InputError, match="pitch_shift is 0 there and 3 now"):
        start_run(run_in(tmp_path / "a", training={**TRAINING, **since, "pitch_shift": 3}), flag_text="")


def test_data_of_another_spec_is_refused(tmp_path):
    start_run(run_in(tmp_path / "a"), flag_text="")
    with pytest.raises(SpecMismatchError, match=r"target_gain is 1\.0 in the data and 100\.0 in .*/a"):
        start_run(run_in(tmp_path / "a", spec=FeatureSpec(target_gain=1.0)), flag_text="")


def test_a_folder_with_something_else_or_a_file_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    for folder in (tmp_path, tmp_path / "thesis.tex"):
        with pytest.raises(InputError, match="not empty, and not a run folder"):
            start_run(run_in(folder), flag_text="")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"file/run: cannot make this folder \(Not a directory\); give another --run_dir"):
        start_run(run_in(tmp_path / "file" / "run"), flag_text="")


def test_an_empty_folder_becomes_a_run(tmp_path):
    start_run(run_in(tmp_path), flag_text="")
    assert open_run(tmp_path).training == TRAINING


def test_what_is_no_run_says_so(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(InputError, match=r"not a run folder \(no run.json\)"):
            open_run(folder)


@pytest.mark.parametrize("name", ["run.json", "model_config.json", "feature_spec.json"])
@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"training": 3, "voice": 4}', "[" * 100_000])
def test_a_damaged_run_folder_is_named(name, text, tmp_path):
    start_run(run_in(tmp_path / "a"), flag_text="")
    (tmp_path / "a" / name).write_text(text)
    with pytest.raises(InputError, match=str(tmp_path / "a")):
        open_run(tmp_path / "a")


def test_two_trainings_in_one_folder_at_once_are_refused(tmp_path):
    run = run_in(tmp_path / "a")
    start_run(run, flag_text="")
    with run_folder.only_training_in(run.folder):
        with pytest.raises(InputError, match="another training is running there"), run_folder.only_training_in(run.folder):
            pass
    with run_folder.only_training_in(run.folder):
        pass


def test_a_file_system_without_locks_is_borne(tmp_path, monkeypatch, caplog):
    run = run_in(tmp_path / "a")
    start_run(run, flag_text="")

    def no_locks(*arguments):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with run_folder.only_training_in(run.folder):
        assert "has no locks (Operation not supported)" in caplog.text
        caplog.clear()


@pytest.mark.parametrize("left", [["feature_spec.json"], ["feature_spec.json", "model_config.json", ".resolved.flags.partial"]])
def test_a_run_that_was_killed_before_it_had_begun_begins_again(left, tmp_path):
    run = run_in(tmp_path / "a")
    run.folder.mkdir()
    for name in left:
        (run.folder / name).write_text("hal")
    start_run(run, flag_text="--seed=0\n")
    assert open_run(run.folder) == run
    assert not list(run.folder.glob(".*"))


@pytest.mark.parametrize("name", ["run.json", "model_config.json", "feature_spec.json"])
def test_a_device_in_the_place_of_a_file_is_not_read(name, tmp_path):
    start_run(run_in(tmp_path / "a"), flag_text="")
    (tmp_path / "a" / name).unlink()
    (tmp_path / "a" / name).symlink_to("/dev/zero")
    with pytest.raises(InputError, match=f"{name}: not a regular file"):
        open_run(tmp_path / "a")
