"""The command: every mistake is one line and an exit code, and what it finishes can be trained on."""

import os
import shutil

import numpy as np
import pytest
import small_corpus
import tensorflow as tf

from pnet_tf import command, preparation, prepare
from pnet_tf.shard_set import open_shard_set


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    root = tmp_path_factory.mktemp("corpus")
    for name, split in (("10", "train"), ("20", "train"), ("30", "test")):
        small_corpus.add_recording(root, name, 1.2, split=split)
    return root


@pytest.fixture
def source(recordings, tmp_path):
    return shutil.copytree(recordings, tmp_path / "source")


def run(source, out, *flags, instrument="violin"):
    arguments = [f"--instrument={instrument}", f"--source={source}", f"--out={out}", "--workers=0", "--window_frames=32"]
    return command.run(prepare.define_flags, prepare.main, [*arguments, *flags])


def failure(capsys, exit_code, expected):
    """The one line of a failed command; progress and warnings about single recordings come before it."""
    assert exit_code in (1, 2)
    lines = capsys.readouterr().err.splitlines()
    assert "Traceback" not in "\n".join(lines)
    assert lines[-1].startswith("prepare: ")
    assert expected in lines[-1]
    return exit_code


def test_the_flags_reach_the_shard_set(source, tmp_path):
    flags = ["--target_gain=1", "--validation_share=0.3", "--window_frames=40"]
    assert run(source, tmp_path / "out", *flags, instrument="Violin") == 0
    shards = open_shard_set(tmp_path / "out")
    assert (shards.spec.target_gain, shards.manifest.guard_frames, shards.manifest.instrument) == (1.0, 40, "violin")
    # 207 frames each, a share of 62: one window in the first, and 84 owed, two, but one of five can be given.
    assert [entry.ranges.get("validation") for entry in shards.manifest.recordings] == [((124, 164),)] * 2 + [None]


def test_workers_default_to_the_cores(source, tmp_path, monkeypatch):
    plans = []

    def stop(plan):
        plans.append(plan)
        raise KeyboardInterrupt

    monkeypatch.setattr(preparation, "prepare_corpus", stop)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 5})
    arguments = ["--instrument=violin", f"--source={source}", f"--out={tmp_path / 'out'}"]
    assert command.run(prepare.define_flags, prepare.main, arguments) == 130
    assert command.run(prepare.define_flags, prepare.main, [*arguments, "--workers=7"]) == 130
    assert [plan.n_workers for plan in plans] == [3, 7]
    assert (plans[0].window_frames, plans[0].validation_share, plans[0].max_bad_labels) == (864, 0.1, 0.01)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--instrument=violn"], "unknown instrument 'violn', expected one of"),
        (["--instrument="], "unknown instrument ''"),
        (["--out="], "--out='' names no file or folder"),
        (["--out=a\0b"], "names no file or folder"),
        (["--source="], "--source='' names no file or folder"),
        (["--validation_share=nan"], "--validation_share=nan is not a number"),
        (["--max_bad_labels=nan"], "--max_bad_labels=nan is not a number"),
        (["--target_gain=nan"], "--target_gain=nan is not a number"),
        (["--target_gain=0"], "--target_gain=0"),
        (["--validation_share=0.6"], "--validation_share=0.6"),
        (["--window_frames=15"], "--window_frames=15"),
        (["--workers=-1"], "--workers=-1"),
        (["--worker=1"], "did you mean --workers?"),
        (["out"], "unexpected argument 'out'"),
    ],
    ids=str,
)
def test_wrong_usage_is_exit_code_2_and_touches_nothing(source, tmp_path, capsys, flags, expected):
    assert failure(capsys, run(source, tmp_path / "out", *flags), expected) == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["instrument", "source", "out"])
def test_what_is_required_is_named(capsys, name):
    arguments = {"instrument": "violin", "source": "a", "out": "b"}
    del arguments[name]
    given = [f"--{key}={value}" for key, value in arguments.items()]
    exit_code = command.run(prepare.define_flags, prepare.main, given)
    assert failure(capsys, exit_code, f"--{name} is required") == 2


WRONG_FILES = {
    "no source": (lambda source: shutil.rmtree(source), "does not exist"),
    "empty source": (lambda source: (shutil.rmtree(source), source.mkdir()), "no solo recording of violin"),
    "source is text": (lambda source: (shutil.rmtree(source), source.write_text("x")), "neither a tar nor an npz"),
    "empty labels": (lambda source: (source / "train_labels" / "10.csv").write_text(""), "no column"),
    "labels are noise": (lambda source: (source / "train_labels" / "10.csv").write_bytes(b"\xff\x00" * 99), "10.csv"),
    "empty audio": (lambda source: (source / "train_data" / "10.wav").write_bytes(b""), "10.wav"),
    "audio is noise": (lambda source: (source / "train_data" / "10.wav").write_bytes(b"\x07" * 999), "10.wav"),
    "audio is cut": (
        lambda source: (source / "train_data" / "10.wav").write_bytes((source / "train_data" / "20.wav").read_bytes()[:9999]),
        "10.wav",
    ),
    "audio is silent": (
        lambda source: small_corpus.write_audio(source / "train_data" / "10.wav", np.zeros(60000, np.float32)),
        "silent wherever the score has notes",
    ),
    "audio is no number": (
        lambda source: small_corpus.write_audio(source / "train_data" / "10.wav", np.full(60000, np.nan, np.float32)),
        "no numbers",
    ),
}


@pytest.mark.parametrize("name", WRONG_FILES)
def test_a_wrong_file_is_exit_code_1_and_one_line(source, tmp_path, capsys, name):
    damage, expected = WRONG_FILES[name]
    damage(source)
    assert failure(capsys, run(source, tmp_path / "out"), expected) == 1
    assert not (tmp_path / "out" / "COMPLETED").exists()


def test_a_source_below_the_folder_to_make_is_left_alone(source, tmp_path, capsys):
    before = small_corpus.content(source)
    for out in (tmp_path, source):
        assert failure(capsys, run(source, out), "not empty, and not a shard set; give another --out") == 1
    assert small_corpus.content(source) == before


@pytest.mark.parametrize("out", ["file", "file/below", "x" * 300, "link"])
def test_a_folder_that_cannot_be_made_is_one_line(source, tmp_path, capsys, out):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "link")
    failure(capsys, run(source, tmp_path / out), str(tmp_path / out))
    assert (tmp_path / "file").read_text() == "mine"


def test_no_permission_is_one_line(source, tmp_path, capsys, monkeypatch):
    """Patched, for a root user may write everywhere."""

    def refuse(path, text):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(preparation, "write_whole", refuse)
    assert failure(capsys, run(source, tmp_path / "out"), "not allowed to write or read here") == 1


@pytest.mark.parametrize("name", ["10.tfrecord", "manifest.json"])
def test_a_folder_where_a_file_has_to_be_is_one_line(source, tmp_path, capsys, name):
    assert run(source, tmp_path / "out") == 0
    capsys.readouterr()
    (tmp_path / "out" / "COMPLETED").unlink()
    (tmp_path / "out" / name).unlink()
    (tmp_path / "out" / name).mkdir()
    failure(capsys, run(source, tmp_path / "out"), f"{tmp_path / 'out' / name}: Is a directory")
    assert not [path for path in os.listdir(tmp_path / "out") if path.startswith(".")]


def test_another_gain_in_the_same_folder_is_one_line(source, tmp_path, capsys):
    assert run(source, tmp_path / "out") == 0
    expected = f"target_gain is 1.0 in these flags and 100.0 in {tmp_path / 'out'}"
    assert failure(capsys, run(source, tmp_path / "out", "--target_gain=1"), expected) == 1


def test_a_bad_recording_stops_the_end_and_with_skip_bad_it_does_not(source, tmp_path, capsys):
    (source / "train_data" / "10.wav").write_bytes(b"")
    expected = "the others are finished and kept: mend or remove these and run again, or add --skip_bad"
    assert failure(capsys, run(source, tmp_path / "out"), expected) == 1
    assert run(source, tmp_path / "out", "--skip_bad") == 0
    manifest = open_shard_set(tmp_path / "out").manifest
    assert [entry.name for entry in manifest.recordings] == ["20", "30"]
    assert "10.wav" in manifest.skipped["10"]


def test_a_full_disk_is_one_line_and_a_later_run_finishes(source, tmp_path, capsys, monkeypatch):
    class FullDisk(tf.io.TFRecordWriter):
        def write(self, record):
            raise tf.errors.ResourceExhaustedError(None, None, "10.tfrecord; No space left on device")

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(tf.io, "TFRecordWriter", FullDisk)
        assert failure(capsys, run(source, out), "no space left on the disk: free some and start again") == 1
    assert sorted(os.listdir(out)) == ["feature_spec.json", "preparation.json"]
    assert run(source, out) == 0
    assert len(open_shard_set(out).manifest.recordings) == 3


def test_pairs_of_audio_and_label_file_are_a_source_too(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    notes = small_corpus.notes_of(60000)
    small_corpus.write_audio(folder / "a.wav", small_corpus.waveform_of(notes, 60000))
    small_corpus.write_labels(folder / "a.csv", notes)
    assert run(folder, tmp_path / "out") == 0
    (entry,) = open_shard_set(tmp_path / "out").manifest.recordings
    assert (entry.name, entry.split, entry.n_frames, entry.n_notes) == ("a", "train", 235, len(notes))
