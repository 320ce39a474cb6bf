"""A corpus to a shard set: stopped, started again, with bad recordings, a full disk, and in several processes."""

import os
import shutil
import signal

import numpy as np
import pytest
import small_corpus
import tensorflow as tf
from absl import logging

from pnet_tf import preparation, preparer
from pnet_tf.errors import InputError
from pnet_tf.shard_set import open_shard_set
from pnet_tf.spec import FeatureSpec, SpecMismatchError

SPEC = FeatureSpec()
WINDOW = 32


@pytest.fixture(autouse=True)
def _quiet():
    logging.set_verbosity(logging.FATAL)
    yield
    logging.set_verbosity(logging.WARNING)


@pytest.fixture(scope="session")
def recordings(tmp_path_factory):
    root = tmp_path_factory.mktemp("corpus")
    for name, seconds, split in (("10", 2.2, "train"), ("20", 1.7, "train"), ("30", 1.2, "train"), ("40", 1.1, "test")):
        small_corpus.add_recording(root, name, seconds, split=split)
    return root


@pytest.fixture
def source(recordings, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(recordings, tmp_path / "source")


def plan_of(source, folder, **fields):
    values = dict(instrument="violin", spec=SPEC, n_workers=0, window_frames=WINDOW, validation_share=0.2)
    return preparation.Plan(source=source, folder=folder, **{**values, **fields})


def prepare(source, folder, **fields):
    return preparation.prepare_corpus(plan_of(source, folder, **fields))


WHOLE = [
    *("COMPLETED", "feature_spec.json", "manifest.json", "preparation.json"),
    *(f"{name}{suffix}" for name in ("10", "20", "30", "40") for suffix in (".entry.json", ".tfrecord")),
]


def stop_after(monkeypatch, n_recordings, error=KeyboardInterrupt):
    """The preparation stops when it begins the recording after these."""
    work, begun = preparer.prepare_recording, []

    def count(job):
        begun.append(job.name)
        if len(begun) > n_recordings:
            raise error
        return work(job)

    monkeypatch.setattr(preparer, "prepare_recording", count)
    return begun


# --- a whole preparation


def test_every_recording_is_in_the_set_with_its_split_and_all_its_frames(source, tmp_path):
    manifest = prepare(source, tmp_path / "out")
    assert sorted(os.listdir(tmp_path / "out")) == sorted(WHOLE)
    n_frames = [1 + int(seconds * 44100) // 256 for seconds in (2.2, 1.7, 1.2, 1.1)]
    assert [(e.name, e.split, e.n_frames) for e in manifest.recordings] == list(
        zip(("10", "20", "30", "40"), ("train", "train", "train", "test"), n_frames, strict=True)
    )
    assert open_shard_set(tmp_path / "out").manifest.to_json() == manifest.to_json()
    assert manifest.recordings[3].ranges == {"test": ((0, n_frames[3]),)}
    # A fifth of 378 frames is 75, two windows of 32; the second recording then owes 11 and 58, again two.
    assert [e.ranges.get("validation") for e in manifest.recordings[:3]] == [((227, 291),), ((175, 239),), ((124, 156),)]
    assert (manifest.instrument, manifest.guard_frames, dict(manifest.skipped)) == ("violin", WINDOW, {})


def test_completed_is_written_last(source, tmp_path, monkeypatch):
    """Whatever is refused before it, no folder without a manifest is marked as whole."""
    written = []
    write = preparation.write_whole
    monkeypatch.setattr(preparation, "write_whole", lambda path, text: (written.append(path.name), write(path, text)))
    prepare(source, tmp_path / "out")
    assert written == ["preparation.json", "feature_spec.json", "manifest.json", "COMPLETED"]


def test_a_finished_set_is_left_as_it_is(source, tmp_path, monkeypatch):
    manifest = prepare(source, tmp_path / "out")
    before = small_corpus.content(tmp_path / "out")
    stop_after(monkeypatch, 0)
    assert prepare(source, tmp_path / "out").to_json() == manifest.to_json()
    assert small_corpus.content(tmp_path / "out") == before


def test_preparing_twice_gives_equal_bytes(source, tmp_path):
    for folder in ("one", "other"):
        prepare(source, tmp_path / folder)
    assert small_corpus.content(tmp_path / "one") == small_corpus.content(tmp_path / "other")


@pytest.mark.slow
def test_processes_give_the_same_bytes_as_none(source, tmp_path):
    prepare(source, tmp_path / "alone")
    prepare(source, tmp_path / "lanes", n_workers=2)
    assert small_corpus.content(tmp_path / "alone") == small_corpus.content(tmp_path / "lanes")


# --- stopped and started again


def test_an_interrupt_leaves_what_is_finished_and_no_mark(source, tmp_path, monkeypatch):
    stop_after(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        prepare(source, tmp_path / "out")
    left = ["10.entry.json", "10.tfrecord", "20.entry.json", "20.tfrecord", "feature_spec.json", "preparation.json"]
    assert sorted(os.listdir(tmp_path / "out")) == left
    with pytest.raises(InputError, match=r"unfinished \(no COMPLETED\); run the same prepare again"):
        open_shard_set(tmp_path / "out")


def test_a_stopped_preparation_goes_on_without_doing_a_recording_twice(source, tmp_path, monkeypatch):
    prepare(source, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            prepare(source, tmp_path / "out")
    times = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in ("10.tfrecord", "20.tfrecord")}
    begun = stop_after(monkeypatch, 99)
    prepare(source, tmp_path / "out")
    assert begun == ["30", "40"]
    assert times == {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in times}
    assert small_corpus.content(tmp_path / "out") == small_corpus.content(tmp_path / "whole")


def replace_in(path, old, new):
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize(
    "damage",
    [
        lambda out: (out / "20.tfrecord").unlink(),
        lambda out: (out / "20.tfrecord").write_bytes(b"half"),
        lambda out: (out / "20.entry.json").unlink(),
        lambda out: (out / "20.entry.json").write_text('{"name": "20"'),
        lambda out: replace_in(out / "20.entry.json", '"n_frames": 293', '"n_frames": "many"'),
        lambda out: shutil.copy(out / "10.entry.json", out / "20.entry.json"),
    ],
    ids=["no shard", "half a shard", "no entry", "half an entry", "odd entry", "another's entry"],
)
def test_a_recording_that_is_not_whole_is_prepared_again(source, tmp_path, monkeypatch, damage):
    out = tmp_path / "out"
    prepare(source, out)
    before = small_corpus.content(out)
    (out / "COMPLETED").unlink()
    damage(out)
    begun = stop_after(monkeypatch, 99)
    prepare(source, out)
    assert begun == ["20"]
    assert small_corpus.content(out) == before


# --- another preparation in the same folder


@pytest.mark.parametrize("finished", [True, False])
def test_another_gain_is_a_mismatch_of_specs(source, tmp_path, monkeypatch, finished):
    out = tmp_path / "out"
    prepare(source, out)
    if not finished:
        (out / "COMPLETED").unlink()
    before = small_corpus.content(out)
    with pytest.raises(SpecMismatchError) as caught:
        prepare(source, out, spec=FeatureSpec(target_gain=1))
    assert "target_gain is 1.0 in these flags and 100.0 in " + str(out) in str(caught.value)
    assert small_corpus.content(out) == before


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize(
    "fields", [{"instrument": "cello"}, {"window_frames": 48}, {"validation_share": 0.1}, {"source": "other"}], ids=str
)
def test_another_plan_is_refused(source, tmp_path, fields, finished):
    out = tmp_path / "out"
    small_corpus.write_labels(source / "train_labels" / "50.csv", [(0, 20000, 50)], instrument=43)
    small_corpus.write_audio(source / "train_data" / "50.wav", small_corpus.waveform_of([(0, 20000, 50)], 30000))
    shutil.copytree(source, tmp_path / "other")
    prepare(source, out)
    if not finished:
        (out / "COMPLETED").unlink()
    before = small_corpus.content(out)
    fields = {"source": source, **fields}
    with pytest.raises(InputError, match="holds another preparation .* give another --out, or delete that folder"):
        prepare(tmp_path / fields.pop("source"), out, **fields)
    assert small_corpus.content(out) == before


def test_the_same_source_by_another_path_is_the_same(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prepare(source, tmp_path / "out")
    prepare(source.relative_to(tmp_path), tmp_path / "out")


def test_what_a_killed_run_left_behind_is_no_hindrance_and_goes(source, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / ".preparation.json.partial").write_text("{")
    prepare(source, out)
    (out / "COMPLETED").unlink()
    (out / "20.entry.json").unlink()
    (out / ".20.tfrecord.partial").write_bytes(b"half")
    (out / ".scratch-abc").mkdir()
    (out / ".scratch-abc" / "20.wav").write_bytes(b"half")
    prepare(source, out)
    assert sorted(os.listdir(out)) == sorted(WHOLE)


def test_a_folder_with_other_things_is_refused_and_left_alone(source, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="not empty, and not a shard set; give another --out"):
        prepare(source, tmp_path / "out")
    assert small_corpus.content(tmp_path / "out") == {"thesis.txt": b"years of work"}


def test_a_file_in_the_way_is_refused(source, tmp_path):
    (tmp_path / "out").write_text("a file")
    for folder in (tmp_path / "out", tmp_path / "out" / "below"):
        with pytest.raises(InputError, match="is in the way of the shard set"):
            prepare(source, folder)


# --- bad recordings


def break_one(source, how):
    audio, labels = source / "train_data" / "20.wav", source / "train_labels" / "20.csv"
    if how == "unreadable":
        audio.write_bytes(b"RIFF and nothing more")
    elif how == "silent":
        small_corpus.write_audio(audio, np.zeros(70000, np.float32))
    else:
        small_corpus.write_labels(labels, [*small_corpus.notes_of(70000), (80000, 90000, 60)])
    return audio


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("unreadable", "cannot open it as audio"),
        ("silent", "silent wherever the score has notes"),
        ("labels", "lie past the end of the audio"),
    ],
)
def test_a_bad_recording_is_named_and_the_others_are_finished_and_kept(source, tmp_path, monkeypatch, how, why):
    good = (source / "train_data" / "20.wav").read_bytes(), (source / "train_labels" / "20.csv").read_bytes()
    audio = break_one(source, how)
    out = tmp_path / "out"
    with pytest.raises(InputError) as caught:
        prepare(source, out)
    message = str(caught.value)
    assert message.startswith(f"1 of 4 recordings cannot be used ({audio}: ")
    assert why in message
    assert "add --skip_bad" in message and "\n" not in message
    assert sorted(os.listdir(out)) == sorted(
        name for name in WHOLE if not name.startswith("20.") and name not in ("COMPLETED", "manifest.json")
    )
    # Mended, it is the only one left to do.
    audio.write_bytes(good[0])
    (source / "train_labels" / "20.csv").write_bytes(good[1])
    begun = stop_after(monkeypatch, 99)
    prepare(source, out)
    assert begun == ["20"]
    assert sorted(os.listdir(out)) == sorted(WHOLE)


def test_with_skip_bad_the_set_is_finished_and_says_what_is_left_out(source, tmp_path):
    audio = break_one(source, "unreadable")
    manifest = prepare(source, tmp_path / "out", skip_bad=True)
    assert [entry.name for entry in manifest.recordings] == ["10", "30", "40"]
    assert list(manifest.skipped) == ["20"]
    assert manifest.skipped["20"].startswith(f"{audio}: cannot open it as audio")
    assert open_shard_set(tmp_path / "out").manifest.to_json() == manifest.to_json()


def test_labels_past_the_end_are_counted_in_the_manifest(source, tmp_path):
    break_one(source, "labels")
    manifest = prepare(source, tmp_path / "out", max_bad_labels=0.5)
    assert [dict(entry.label_counts) for entry in manifest.recordings] == [
        {"cut": 0, "dropped": 0},
        {"cut": 0, "dropped": 1},
        {"cut": 0, "dropped": 0},
        {"cut": 0, "dropped": 0},
    ]


def test_nothing_to_train_on_is_refused(source, tmp_path):
    shutil.rmtree(source / "train_data")
    with pytest.raises(InputError, match=r"holds no violin recording to train on \(1 for testing\)"):
        prepare(source, tmp_path / "out")
    assert not (tmp_path / "out" / "COMPLETED").exists()


def test_too_little_for_validation_is_said(source, tmp_path, caplog):
    logging.set_verbosity(logging.WARNING)
    manifest = prepare(source, tmp_path / "out", window_frames=864)
    assert "too little audio for a validation part" in caplog.text
    assert all(set(entry.ranges) <= {"train", "test"} for entry in manifest.recordings)


# --- processes, disk


def die_on_20(job):
    """Works as the preparation does, in a process that dies on one recording."""
    if job.name == "20":
        os.kill(os.getpid(), signal.SIGKILL)
    (job.folder / "done").mkdir(exist_ok=True)
    (job.folder / "done" / job.name).touch()
    raise InputError(f"{job.name} was reached")


@pytest.mark.slow
def test_a_process_that_dies_is_named_with_its_recording_and_the_rest_goes_on(source, tmp_path, monkeypatch):
    monkeypatch.setattr(preparer, "prepare_recording", die_on_20)
    monkeypatch.setattr(preparation, "_set_up_worker", os.getpid)
    with pytest.raises(InputError) as caught:
        prepare(source, tmp_path / "out", n_workers=2)
    assert "its worker process died" in str(caught.value)
    assert sorted(os.listdir(tmp_path / "out" / "done")) == ["10", "30", "40"]
    assert not [name for name in os.listdir(tmp_path / "out") if name.startswith(".")]


class FullDisk:
    """A writer of TFRecords on a disk that is full after some records."""

    def __init__(self, path, n_records=1):
        self._writer, self._left = TF_RECORD_WRITER(path), n_records

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._writer.close()

    def write(self, record):
        if not self._left:
            raise tf.errors.ResourceExhaustedError(None, None, "a.tfrecord; No space left on device")
        self._left -= 1
        self._writer.write(record)


TF_RECORD_WRITER = tf.io.TFRecordWriter


def test_a_full_disk_stops_without_half_a_file_and_a_later_run_finishes(source, tmp_path, monkeypatch):
    prepare(source, tmp_path / "whole")
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(tf.io, "TFRecordWriter", FullDisk)
        with pytest.raises(tf.errors.ResourceExhaustedError):
            prepare(source, out)
    assert sorted(os.listdir(out)) == ["feature_spec.json", "preparation.json"]
    prepare(source, out)
    assert small_corpus.content(out) == small_corpus.content(tmp_path / "whole")


@pytest.mark.parametrize("name", ["preparation.json", "feature_spec.json", "10.entry.json", "manifest.json", "COMPLETED"])
def test_a_disk_full_at_any_other_file_can_be_gone_on_from(source, tmp_path, monkeypatch, name):
    out = tmp_path / "out"
    write = preparation.write_whole

    def fill(path, text):
        if path.name == name:
            raise OSError(28, "No space left on device")
        write(path, text)

    with monkeypatch.context() as patch:
        patch.setattr(preparation, "write_whole", fill)
        patch.setattr(preparer, "write_whole", fill)
        with pytest.raises(OSError, match="No space left"):
            prepare(source, out)
    assert not (out / "COMPLETED").exists()
    assert not [path for path in os.listdir(out) if path.startswith(".")]
    manifest = prepare(source, out)
    assert [entry.name for entry in manifest.recordings] == ["10", "20", "30", "40"]
    assert open_shard_set(out).manifest.to_json() == manifest.to_json()
