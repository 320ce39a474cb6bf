"""What a shard set holds in a table, and a damaged byte found."""

import hashlib

import pytest

from pnet_tf import command, inspect_shards
from pnet_tf.shard_set import Manifest, RecordingEntry, open_shard_set, seal
from pnet_tf.spec import FeatureSpec


def inspect(*arguments):
    return command.run(inspect_shards.define_flags, inspect_shards.main, list(arguments), allow_positional=True)


def table_of(capsys, folder):
    assert inspect(str(folder)) == 0
    return capsys.readouterr().out.splitlines()


def test_the_minutes_are_those_of_the_ranges(shards, capsys):
    """By hand: 7500 and 2000 frames of 256 samples at 44100 Hz for training are 0.92 min."""
    lines = table_of(capsys, shards)
    assert lines[0] == "instrument  violin (from a source of kind folder)"
    assert lines[1].startswith("spec        44100 Hz, 2048/256, gain 100, digest ")
    assert lines[2:5] == ["train       0.92 min", "validation  0.10 min", "test        0.39 min"]
    # Pitch 90 is heard in the test recording alone.
    assert lines[5] == "pitches     3 heard in training, MIDI 60 to 67"
    assert lines[6] == "size        39.0 MB"


def test_each_recording_has_a_line(shards, capsys):
    lines = table_of(capsys, shards)
    (first,) = [line for line in lines if line.startswith("first ")]
    # 7500 / 172.265625 = 43.5 s; the validation begins at frame 8000.
    assert first.split() == ["first", "train", "63.3", "12", "75%", "-4", "c", "46.4-52.2", "s"]
    (last,) = [line for line in lines if line.startswith("last ")]
    assert last.split() == ["last", "test", "23.2", "12", "75%", "-4", "c"]
    assert "left out: bad (not readable)" in lines


def test_verify_passes_on_what_was_written(shards, capsys):
    assert inspect(str(shards), "--verify") == 0
    assert "every shard is as the manifest says" in capsys.readouterr().out


@pytest.mark.parametrize("position", [0, 400, -1])
def test_verify_names_a_shard_with_a_flipped_byte(shards, capsys, position):
    path = shards / "last.tfrecord"
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(bytes(data))
    assert inspect(str(shards)) == 0
    capsys.readouterr()
    assert inspect(str(shards), "--verify") == 1
    printed = capsys.readouterr()
    assert printed.err.splitlines()[-1].startswith(f"inspect_shards: {path}: damaged (its SHA-256 is not the manifest's)")
    assert "as the manifest says" not in printed.out


@pytest.mark.parametrize("arguments", [(), ("a", "b")])
def test_one_folder_is_expected(arguments, capsys):
    assert inspect(*arguments) == 2
    assert capsys.readouterr().err == (
        f"inspect_shards: expected one folder, got {len(arguments)} arguments (see --help)\n"
    )


@pytest.mark.parametrize("name", ["nowhere", "a file", "x" * 300])
def test_what_is_no_folder_is_one_line(tmp_path, capsys, name):
    (tmp_path / "a file").write_text("")
    assert inspect(str(tmp_path / name)) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_set_without_pitches_in_training_is_described(shards, capsys):
    text = (shards / "manifest.json").read_text()
    (shards / "manifest.json").write_text(text.replace('"split": "train"', '"split": "test"'))
    (shards / "COMPLETED").write_text(seal(shards))
    assert open_shard_set(shards).manifest.trained_pitch_frames() == ()
    assert "pitches     none" in table_of(capsys, shards)


@pytest.fixture
def shards(tmp_path):
    """A set made by hand; its shards hold no records."""
    entries = []
    for name, split, n_frames, ranges, heard in (
        ("first", "train", 10900, {"train": ((0, 7500),), "validation": ((8000, 9000),)}, {60: 9, 64: 1}),
        ("last", "test", 4000, {"test": ((0, 4000),)}, {90: 5}),
        ("second", "train", 2000, {"train": ((0, 2000),)}, {67: 2}),
    ):
        data = (name.encode() * 300).ljust(n_frames * 2306 + 20_000, b"\0")
        (tmp_path / f"{name}.tfrecord").write_bytes(data)
        entries.append(
            RecordingEntry(
                name=name,
                split=split,
                shard=f"{name}.tfrecord",
                n_frames=n_frames,
                n_notes=12,
                seconds=n_frames * 256 / 44100,
                label_source="a.csv",
                label_counts={"cut": 0, "dropped": 0},
                alignment={"onset_share": 0.75, "tuning_cents": -4.0, "warnings": []},
                level_gain=1.0,
                pitch_frames=tuple(heard.get(pitch, 0) for pitch in range(128)),
                size_bytes=len(data),
                sha256=hashlib.sha256(data).hexdigest(),
                byte_offsets=tuple(range(-(-n_frames // 216))),
                ranges=ranges,
            )
        )
    (tmp_path / "manifest.json").write_text(
        Manifest("violin", "folder", 216, 500, tuple(entries), {"bad": "not readable"}).to_json()
    )
    (tmp_path / "feature_spec.json").write_text(FeatureSpec().to_json())
    (tmp_path / "COMPLETED").write_text(seal(tmp_path))
    return tmp_path
