"""Opening a shard set: whole ones are read as written, of others one line says what is wrong and what to do."""

import dataclasses
import json
import re

import pytest

from pnet_tf import shard_set
from pnet_tf.errors import InputError
from pnet_tf.shard_set import Manifest, RecordingEntry, open_shard_set, seal
from pnet_tf.spec import FeatureSpec

SPEC = FeatureSpec()
# More than 500 frames of the spec need.
SIZE = 500 * (2 * SPEC.n_bins + 2 * SPEC.n_pitches) + 11


def entry(name, **fields):
    values = dict(
        name=name,
        split="train",
        shard=f"{name}.tfrecord",
        n_frames=500,
        n_notes=7,
        seconds=2.9,
        label_source="a.csv",
        label_counts={"cut": 1, "dropped": 0},
        alignment={"onset_share": 0.5, "warnings": ["late"]},
        level_gain=0.5,
        pitch_frames=(0, 4, 0),
        size_bytes=SIZE,
        sha256="00",
        byte_offsets=(0, 40, 80),
        ranges={"train": ((0, 200), (400, 500)), "validation": ((250, 350),)},
    )
    return RecordingEntry(**{**values, **fields})


def manifest_of(*entries):
    return Manifest("violin", "folder", 216, 50, entries, {"bad": "not readable"})


WHOLE = manifest_of(
    entry("a"),
    entry("b", split="test", ranges={"test": ((0, 500),)}, pitch_frames=(9, 9, 9)),
    entry("c", ranges={"train": ((0, 500),)}, pitch_frames=(1, 1, 0)),
)


@pytest.fixture
def folder(tmp_path):
    """A whole shard set; opening it reads no shard, only its size."""
    for item in WHOLE.recordings:
        (tmp_path / item.shard).write_bytes(bytes(SIZE))
    (tmp_path / "feature_spec.json").write_text(SPEC.to_json())
    (tmp_path / "manifest.json").write_text(WHOLE.to_json())
    (tmp_path / "COMPLETED").write_text(seal(tmp_path))
    return tmp_path


def refusal(folder):
    with pytest.raises(InputError) as caught:
        open_shard_set(folder)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_whole_set_is_read_as_it_was_written(folder):
    found = open_shard_set(folder)
    assert found == shard_set.ShardSet(folder, SPEC, WHOLE)
    assert type(found.manifest.recordings[0].ranges["train"][0]) is tuple


def test_a_set_has_the_spec_that_it_brings_along(folder):
    spec = FeatureSpec(target_gain=3.0, level_rms=0.1)
    (folder / "feature_spec.json").write_text(spec.to_json())
    (folder / "COMPLETED").write_text(seal(folder))
    assert open_shard_set(folder).spec == spec


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [("feature_spec.json", '"n_fft": 2048', '"n_fft": 1024'), ("manifest.json", '"violin"', '"kazoo"')],
)
def test_a_spec_or_manifest_edited_afterwards_is_refused(folder, name, old, new):
    text = (folder / name).read_text()
    assert text.count(old) == 1
    (folder / name).write_text(text.replace(old, new))
    assert refusal(folder).endswith("is not as prepare wrote it; prepare into another folder")


def test_seconds_and_pitches_are_sums_over_the_right_recordings():
    rate = SPEC.sample_rate_hz / SPEC.hop_samples
    assert WHOLE.seconds("train", SPEC) == pytest.approx(800 / rate)
    assert WHOLE.seconds("validation", SPEC) == pytest.approx(100 / rate)
    assert WHOLE.seconds("test", SPEC) == pytest.approx(500 / rate)
    assert WHOLE.trained_pitch_frames() == (1, 5, 0)


def test_equal_manifests_are_equal_text():
    fields = dict(label_counts={"dropped": 0, "cut": 1}, alignment={"warnings": ["late"], "onset_share": 0.5})
    turned = manifest_of(entry("a", **fields), *WHOLE.recordings[1:])
    assert turned.to_json() == WHOLE.to_json()


def test_a_folder_that_is_none_says_how_to_make_one(tmp_path):
    assert refusal(tmp_path / "nowhere").endswith(f"python -m pnet_tf.prepare --out={tmp_path / 'nowhere'}")
    assert "not a shard set (no feature_spec.json)" in refusal(tmp_path)


def test_an_unfinished_set_is_refused(folder):
    (folder / "COMPLETED").unlink()
    assert refusal(folder) == f"{folder}: this shard set is unfinished (no COMPLETED); run the same prepare again"


def test_a_missing_shard_is_named(folder):
    (folder / "b.tfrecord").unlink()
    message = refusal(folder)
    assert message.startswith(f"{folder / 'b.tfrecord'}: this shard is missing; delete COMPLETED")


def test_a_shard_that_is_a_folder_is_missing(folder):
    (folder / "b.tfrecord").unlink()
    (folder / "b.tfrecord").mkdir()
    assert "b.tfrecord: this shard is missing" in refusal(folder)


@pytest.mark.parametrize("size", [SIZE - 1, 0, SIZE + 1])
def test_a_shard_of_another_size_is_named(folder, size):
    (folder / "c.tfrecord").write_bytes(bytes(size))
    message = refusal(folder)
    assert message.startswith(f"{folder / 'c.tfrecord'}: the shard has {size} bytes, the manifest says {SIZE}")
    assert message.endswith("run the same prepare again")


def test_a_missing_manifest_is_named(folder):
    (folder / "manifest.json").unlink()
    assert refusal(folder).startswith(f"{folder / 'manifest.json'}: cannot read the manifest")


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"3", b"null", b"\xff\xfe", b"{}", b"[" * 100_000])
def test_what_is_no_manifest_is_refused(folder, text):
    (folder / "manifest.json").write_bytes(text)
    message = refusal(folder)
    assert message.startswith(f"{folder / 'manifest.json'}: not a manifest (")
    assert message.endswith("prepare the data again")


def test_a_manifest_of_another_version_says_so(folder):
    (folder / "manifest.json").write_text(dataclasses.replace(WHOLE, format_version=2).to_json())
    assert "format_version is 2, this version reads 1; prepare the data again" in refusal(folder)


@pytest.mark.parametrize(
    "path",
    [
        ("instrument", 5),
        ("chunk_frames", "216"),
        ("chunk_frames", 0),
        ("chunk_frames", 100),
        ("guard_frames", None),
        ("guard_frames", 50.5),
        ("skipped", []),
        ("recordings", 3),
        ("recordings", {}),
        ("more", 1),
        ("n_frames", "500"),
        ("n_frames", True),
        ("n_frames", 300),
        ("n_frames", 700),
        ("seconds", None),
        ("split", "validation"),
        ("split", []),
        ("shard", 5),
        ("size_bytes", "11"),
        ("byte_offsets", [0, None, 80]),
        ("byte_offsets", [0, 40]),
        ("byte_offsets", [0, 80, 40]),
        ("byte_offsets", [-1, 40, 80]),
        ("byte_offsets", [0, 40, 2**70]),
        ("byte_offsets", [0, 40, SIZE]),
        ("pitch_frames", 3),
        ("pitch_frames", [0, -4, 0]),
        ("pitch_frames", [0, 4]),
        ("n_notes", -1),
        ("seconds", 1e400),
        ("seconds", 10**400),
        ("level_gain", float("nan")),
        ("size_bytes", 2**64),
        ("chunk_frames", -216),
        ("guard_frames", -1),
        ("alignment", {"onset_share": "high"}),
        ("label_counts", {"cut": []}),
        ("alignment", None),
        ("ranges", {"train": [[0]]}),
        ("ranges", {"train": [[-1, 20]]}),
        ("ranges", {"train": [[30, 20]]}),
        ("ranges", {"dev": [[0, 20]]}),
        ("ranges", None),
        ("label_counts", 4),
        ("other", 4),
    ],
    ids=str,
)
def test_a_wrong_field_is_refused(folder, path):
    """Those of a recording are set in the first recording, the others in the manifest itself."""
    name, value = path
    fields = json.loads(WHOLE.to_json())
    (fields if name in fields or name == "more" else fields["recordings"][0])[name] = value
    (folder / "manifest.json").write_text(json.dumps(fields))
    assert re.match(f"{re.escape(str(folder / 'manifest.json'))}: not a manifest .*prepare the data again", refusal(folder))


@pytest.mark.parametrize("name", ["instrument", "recordings", "guard_frames", "format_version"])
def test_a_missing_field_is_refused(folder, name):
    fields = json.loads(WHOLE.to_json())
    del fields[name]
    (folder / "manifest.json").write_text(json.dumps(fields))
    assert "not a manifest" in refusal(folder)


@pytest.mark.parametrize("shard", ["../a.tfrecord", "x" * 256, "\ud800", "/etc/passwd", "x/a.tfrecord", "", ".", ".."])
def test_a_shard_outside_the_folder_is_refused(folder, shard):
    (folder / "x").mkdir()
    for place in (folder.parent / "a.tfrecord", folder / "x" / "a.tfrecord"):
        place.write_bytes(bytes(SIZE))
    (folder / "manifest.json").write_text(manifest_of(entry("a", shard=shard)).to_json())
    message = refusal(folder)
    assert any(words in message for words in ("not a plain file name", "this shard is missing", "surrogates not allowed"))


def test_more_frames_than_the_shard_can_hold_are_refused(folder):
    """Windows are planned, in memory, with what the manifest says."""
    huge = entry("a", n_frames=10**12, ranges={"train": ((0, 10**12),)})
    manifest = dataclasses.replace(manifest_of(huge), chunk_frames=10**12 // 3 + 1)
    (folder / "manifest.json").write_text(manifest.to_json())
    (folder / "COMPLETED").write_text(seal(folder))
    assert "frames of this spec need" in refusal(folder)


def test_a_damaged_spec_is_named(folder):
    (folder / "feature_spec.json").write_text("{")
    assert refusal(folder).startswith(f"{folder / 'feature_spec.json'}: not a feature spec")


@pytest.mark.parametrize("name", ["feature_spec.json", "manifest.json", "COMPLETED"])
def test_a_device_in_the_place_of_a_file_is_not_read(folder, name):
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")
    assert refusal(folder).startswith(f"{folder / name}: not a regular file")
