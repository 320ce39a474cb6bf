"""Which frames are trained on, validated on and tested on: by recording, contiguous, a guard between."""

import dataclasses
import itertools
import pathlib

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pnet_tf import dataset, splits
from pnet_tf.errors import InputError
from pnet_tf.shard_set import Manifest, RecordingEntry, ShardSet
from pnet_tf.spec import FeatureSpec

LENGTHS = st.lists(st.tuples(st.integers(1, 700), st.sampled_from(["train", "train", "test"])), min_size=1, max_size=8)
SHARES = st.floats(0, 0.5)


def entry(name, split, n_frames):
    return RecordingEntry(
        name=name,
        split=split,
        shard=f"{name}.tfrecord",
        n_frames=n_frames,
        n_notes=1,
        seconds=1.0,
        label_source="",
        label_counts={},
        alignment={},
        level_gain=1.0,
        pitch_frames=(),
        size_bytes=0,
        sha256="",
        byte_offsets=(),
    )


def assigned(lengths, window_frames, share):
    entries = [entry(str(k), split, n_frames) for k, (n_frames, split) in enumerate(lengths)]
    return splits.assign_ranges(entries, window_frames=window_frames, validation_share=share)


@settings(max_examples=300, deadline=None)
@given(lengths=LENGTHS, window=st.integers(4, 60), share=SHARES)
def test_ranges_are_by_recording_with_a_guard_of_one_window(lengths, window, share):
    for found, (n_frames, split) in zip(assigned(lengths, window, share), lengths, strict=True):
        train, validation = found.ranges.get("train", ()), found.ranges.get("validation", ())
        if split == "test":
            assert dict(found.ranges) == {"test": ((0, n_frames),)}
            continue
        assert "test" not in found.ranges
        if not validation:
            assert train == ((0, n_frames),)
            continue
        ((first, end),) = validation
        assert 0 <= first < end <= n_frames
        assert (end - first) % window == 0
        # All that is left, but for exactly one window on each side.
        left = [(0, first - window), (end + window, n_frames)]
        assert list(train) == [(a, b) for a, b in left if b > a]
        assert max(b - a for a, b in train) >= window


@settings(max_examples=300, deadline=None)
@given(lengths=LENGTHS, window=st.integers(4, 60), share=SHARES)
def test_validation_keeps_to_its_share(lengths, window, share):
    found = assigned(lengths, window, share)
    n_validation = sum(b - a for item in found for a, b in item.ranges.get("validation", ()))
    n_training = sum(n_frames for n_frames, split in lengths if split == "train")
    assert n_validation <= share * n_training
    roomy = [n_frames for n_frames, split in lengths if split == "train" and n_frames >= 9 * window]
    if len(roomy) == sum(split == "train" for _, split in lengths):
        assert n_validation > share * n_training - window


def test_short_recordings_add_up_to_a_share():
    """Ten recordings of six windows, a tenth: no single one owes a window, two of them together do."""
    found = assigned([(60, "train")] * 10, 10, 0.1)
    with_validation = [item.name for item in found if "validation" in item.ranges]
    assert with_validation == ["1", "3", "4", "6", "8", "9"]
    assert dict(found[1].ranges) == {"train": ((0, 26), (56, 60)), "validation": ((36, 46),)}


def test_too_short_a_recording_gives_no_validation():
    found = assigned([(49, "train"), (50, "train")], 10, 0.5)
    assert dict(found[0].ranges) == {"train": ((0, 49),)}
    assert dict(found[1].ranges) == {"train": ((0, 20),), "validation": ((30, 40),)}


def test_a_share_of_nothing_trains_on_everything():
    found = assigned([(1000, "train")], 10, 0.0)
    assert dict(found[0].ranges) == {"train": ((0, 1000),)}


def test_what_else_an_entry_says_stays():
    (found,) = assigned([(100, "train")], 10, 0.1)
    assert dataclasses.replace(found, ranges={}) == entry("0", "train", 100)


@settings(max_examples=200, deadline=None)
@given(
    lengths=LENGTHS,
    guard=st.integers(4, 60),
    share=SHARES,
    seed=st.integers(0, 2**31),
    epoch=st.integers(0, 1000),
    data=st.data(),
)
def test_no_window_of_one_split_overlaps_one_of_another(lengths, guard, share, seed, epoch, data):
    """Windows as the input pipeline cuts them, of the prepared length and of shorter ones."""
    manifest = Manifest("violin", "folder", 216, guard, assigned(lengths, guard, share), {})
    shards = ShardSet(pathlib.Path("none"), FeatureSpec(), manifest)
    window = data.draw(st.integers(4, guard))
    try:
        train = dataset.plan_windows(shards, "train", window_frames=window)
    except InputError:
        assume(False)
    heard = {split: [np.zeros(n_frames, bool) for n_frames, _ in lengths] for split in ("train", "other")}
    cut = {"train": [train.epoch(seed, epoch), train.epoch(seed, epoch + 1), train.fixed()]}
    plans = [dataset.plan_windows(shards, split, window_frames=window) for split in ("validation", "test")]
    cut["other"] = [plan.fixed() for plan in plans]
    for split, tables in cut.items():
        for recording, first in itertools.chain(*tables):
            assert 0 <= first <= lengths[recording][0] - window
            heard[split][recording][first : first + window] = True
    for (n_frames, _), trained, other in zip(lengths, heard["train"], heard["other"], strict=True):
        assert not (trained & other).any()
        # Not even near: the guard keeps frames that an analysis window shares with the other side apart.
        trained_frames, other_frames = np.flatnonzero(trained), np.flatnonzero(other)
        if len(trained_frames) and len(other_frames):
            assert np.abs(trained_frames[:, None] - other_frames).min() > guard, n_frames
