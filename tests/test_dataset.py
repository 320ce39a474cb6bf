"""Windows: which, in which order, and that what is read is a slice of the recording."""

import hashlib

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pnet_tf import augmentation, dataset, records, splits
from pnet_tf.errors import InputError
from pnet_tf.shard_set import Manifest, RecordingEntry, ShardSet
from pnet_tf.spec import FeatureSpec

SPEC = FeatureSpec(n_fft=16, hop_samples=8, n_pitches=5)
CHUNK_FRAMES = 10
WINDOW = 16
LENGTHS = {"a": ("train", 205), "b": ("train", 90), "c": ("test", 64), "d": ("train", 40), "e": ("train", 12)}


def arrays_of(seed, n_frames):
    random = np.random.default_rng(seed)
    return {
        "log_power": random.uniform(0, 20, (n_frames, SPEC.n_bins)).astype(np.float16),
        "pianoroll": random.integers(0, 2, (n_frames, SPEC.n_pitches)).astype(np.int8),
        "onset_offset": random.integers(-1, 2, (n_frames, SPEC.n_pitches)).astype(np.int8),
    }


def make_shards(folder, lengths=LENGTHS):
    """A shard set with random features, and the whole arrays of its recordings."""
    wholes, entries = [], []
    for seed, (name, (split, n_frames)) in enumerate(lengths.items()):
        whole = arrays_of(seed, n_frames)
        cuts = [slice(first, first + CHUNK_FRAMES) for first in range(0, n_frames, CHUNK_FRAMES)]
        chunks = [records.Chunk(**{key: array[cut] for key, array in whole.items()}) for cut in cuts]
        shard = records.write_shard(folder / f"{name}.tfrecord", chunks)
        entries.append(
            RecordingEntry(
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
                size_bytes=shard.size_bytes,
                sha256=shard.sha256,
                byte_offsets=shard.byte_offsets,
            )
        )
        wholes.append(whole)
    ranged = splits.assign_ranges(entries, window_frames=WINDOW, validation_share=0.1)
    return ShardSet(folder, SPEC, Manifest("violin", "folder", CHUNK_FRAMES, WINDOW, ranged, {})), wholes


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_shards(tmp_path_factory.mktemp("shards"))


def plan_of(ranges, window_frames=WINDOW):
    """A plan for (recording, first, end), by way of a manifest."""
    recording, first, end = np.array(ranges, np.int64).T
    return dataset.WindowPlan(window_frames, recording, first, end, n_windows=(end - first) // window_frames)


def taken(windows, n):
    return [{name: value.numpy() for name, value in batch.items()} for batch in windows.take(n)]


def assert_same(batches, others):
    assert len(batches) == len(others) > 0
    for batch, other in zip(batches, others, strict=True):
        assert batch.keys() == other.keys()
        for name in batch:
            np.testing.assert_array_equal(batch[name], other[name])


def expected(wholes, rows):
    """The windows of rows (recording, first frame), cut out of the whole arrays."""
    names = ("pianoroll", "onset_offset", "log_power")
    return {
        name: np.stack([wholes[r][name][first : first + WINDOW] for r, first in rows]).astype(np.float32)
        for name in names
    }


# --- which windows, in which order


def test_a_plan_takes_whole_windows_from_the_ranges_of_its_split(corpus):
    """By hand: a is validated on from frame 123 to 139, and trained on but for 16 frames on each side of that."""
    shards, _ = corpus
    train = dataset.plan_windows(shards, "train", window_frames=WINDOW)
    table = np.stack([train.recording, train.first, train.end, train.n_windows], axis=1)
    np.testing.assert_array_equal(table, [[0, 0, 107, 6], [0, 155, 205, 3], [1, 0, 90, 5], [3, 0, 40, 2]])
    assert train.epoch_windows == 16
    validation = dataset.plan_windows(shards, "validation", window_frames=WINDOW)
    np.testing.assert_array_equal(validation.fixed(), [[0, 123]])
    test = dataset.plan_windows(shards, "test", window_frames=WINDOW)
    np.testing.assert_array_equal(test.fixed(), [[2, 0], [2, 16], [2, 32], [2, 48]])


def test_parts_too_short_are_named_in_a_warning(corpus, caplog):
    dataset.plan_windows(corpus[0], "train", window_frames=WINDOW)
    assert "1 of 5 parts for train are shorter than a window of 16 frames" in caplog.text


def test_windows_longer_than_the_guard_are_refused(corpus):
    with pytest.raises(InputError, match=r"at most 16 frames, got --window_frames=17; prepare again"):
        dataset.plan_windows(corpus[0], "train", window_frames=17)


def test_nothing_to_train_on_is_refused_and_nothing_to_validate_on_is_not(tmp_path):
    shards, _ = make_shards(tmp_path, {"a": ("train", 15)})
    with pytest.raises(InputError, match="no recording for training is as long as a window"):
        dataset.plan_windows(shards, "train", window_frames=WINDOW)
    none = dataset.plan_windows(shards, "validation", window_frames=WINDOW)
    assert none.epoch_windows == 0
    assert taken(dataset.fixed_windows(shards, none, batch_size=2), 1) == []


RANGES = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 500), st.integers(WINDOW, 200)), min_size=1, max_size=6
).map(lambda rows: [(recording, first, first + length) for recording, first, length in rows])


@settings(max_examples=100, deadline=None)
@given(ranges=RANGES, seed=st.integers(0, 2**40), epoch=st.integers(0, 2**40))
def test_an_epoch_is_a_pure_function_and_keeps_inside_its_ranges(ranges, seed, epoch):
    rows = plan_of(ranges).epoch(seed, epoch)
    np.testing.assert_array_equal(rows, plan_of(ranges).epoch(seed, epoch))
    assert len(rows) == sum((end - first) // WINDOW for _, first, end in ranges)
    for recording, start in rows:
        assert any(r == recording and first <= start <= end - WINDOW for r, first, end in ranges)


def test_each_epoch_cuts_each_range_at_fresh_offsets_all_over_it():
    plan = plan_of([(0, 100, 100 + 20 * WINDOW)])
    n_windows, n_offsets = 20, 19 * WINDOW + 1
    epochs = [plan.epoch(seed=1, epoch=k) for k in range(400)]
    starts = np.stack([np.sort(rows[:, 1]) for rows in epochs]) - 100
    assert len(np.unique(starts, axis=0)) == 400
    # Every offset can be the first frame of a window, those at both ends of the range too.
    assert set(starts.ravel()) == set(range(n_offsets))
    # One in each twentieth of the offsets: no part of the range is left out in any epoch.
    borders = np.arange(n_windows + 1) * n_offsets / n_windows
    assert (starts >= np.floor(borders[:-1])).all()
    assert (starts < borders[1:]).all()
    assert any((np.diff(rows[:, 1]) < 0).any() for rows in epochs), "windows follow each other in order"


def test_seeds_and_epochs_give_other_windows():
    plan = plan_of([(0, 0, 300), (1, 0, 300)])
    tables = [plan.epoch(seed, epoch).tobytes() for seed in range(4) for epoch in range(4)]
    assert len(set(tables)) == 16


def test_the_order_does_not_change_from_one_version_to_the_next():
    """A run that goes on under a newer version has to see the windows that it would have seen."""
    rows = plan_of([(0, 0, 100), (2, 50, 90)]).epoch(seed=7, epoch=3)
    assert rows.tolist() == [[0, 64], [2, 64], [0, 84], [0, 16], [0, 37], [0, 54], [0, 5], [2, 54]]


def test_the_windows_of_a_step_are_those_of_the_one_order():
    plan = plan_of([(0, 0, 100), (2, 50, 90)])
    order = np.concatenate([plan.epoch(7, epoch) for epoch in range(9)])
    for step, batch_size in ((0, 3), (2, 3), (5, 3), (1, 30)):
        expected = order[step * batch_size : (step + 1) * batch_size]
        np.testing.assert_array_equal(plan.batch(7, step, batch_size), expected)


# --- reading them


@pytest.mark.parametrize("batch_size", [1, 3, 16, 37])
def test_step_k_is_the_same_batch_whether_the_training_ran_or_went_on(corpus, batch_size):
    """16 windows an epoch: batches of 3 and 37 cross the ends of epochs."""
    shards, _ = corpus
    plan = dataset.plan_windows(shards, "train", window_frames=WINDOW)
    whole = taken(dataset.training_windows(shards, plan, batch_size=batch_size, seed=5), 12)
    for first_step in (0, 1, 6, 11):
        later = dataset.training_windows(shards, plan, batch_size=batch_size, seed=5, first_step=first_step)
        assert_same(taken(later, 12 - first_step), whole[first_step:])


def test_two_iterations_are_equal_and_another_seed_is_not(corpus):
    shards, _ = corpus
    plan = dataset.plan_windows(shards, "train", window_frames=WINDOW)
    windows = dataset.training_windows(shards, plan, batch_size=4, seed=5)
    first = taken(windows, 6)
    assert_same(first, taken(windows, 6))
    other = taken(dataset.training_windows(shards, plan, batch_size=4, seed=6), 6)
    assert not any(np.array_equal(a["log_power"], b["log_power"]) for a, b in zip(first, other, strict=True))


def test_the_windows_of_a_training_are_slices_of_the_recordings_in_the_planned_order(corpus):
    shards, wholes = corpus
    plan = dataset.plan_windows(shards, "train", window_frames=WINDOW)
    rows = np.concatenate([plan.epoch(5, epoch) for epoch in range(4)])
    batches = taken(dataset.training_windows(shards, plan, batch_size=8, seed=5), 8)
    for k, batch in enumerate(batches):
        for name, value in expected(wholes, rows[8 * k : 8 * k + 8]).items():
            assert batch[name].dtype == np.float32
            np.testing.assert_array_equal(batch[name], value)


def test_each_window_says_which_of_the_trained_recordings_it_is_from(corpus):
    shards, _ = corpus
    names = shards.manifest.trained_names()
    entries = shards.manifest.recordings
    assert 0 < len(names) < len(entries)
    rows = [(r, 0) for r, entry in enumerate(entries) if entry.n_frames >= WINDOW]
    (batch,) = taken(dataset.fixed_windows(shards, plan_of([(r, 0, WINDOW) for r, _ in rows]), batch_size=100), 1)
    assert batch["recording"].dtype == np.int32
    places = [names.index(entries[r].name) if entries[r].name in names else len(names) for r, _ in rows]
    assert batch["recording"].tolist() == places and len(set(places)) > 1


def test_every_offset_reads_right_over_every_chunk_border_and_at_the_end(corpus):
    """All windows of a recording of 205 frames in chunks of 10, the last one of 5."""
    shards, wholes = corpus
    rows = [(0, first) for first in range(205 - WINDOW + 1)]
    plan = plan_of([(r, first, first + WINDOW) for r, first in rows])
    batches = taken(dataset.fixed_windows(shards, plan, batch_size=100), 9)
    assert [len(batch["log_power"]) for batch in batches] == [100, 90]
    for name, value in expected(wholes, rows).items():
        np.testing.assert_array_equal(np.concatenate([batch[name] for batch in batches]), value)


def test_moved_windows_are_the_planned_ones_moved_as_far_as_was_drawn(corpus):
    """Also where a training goes on, and where two workers share: 16 windows an epoch, batches of 8."""
    shards, _ = corpus
    plan = dataset.plan_windows(shards, "train", window_frames=WINDOW)
    plain = taken(dataset.training_windows(shards, plan, batch_size=8, seed=5), 4)
    ours = {"batch_size": 8, "seed": 5, "pitch_shift": 2}
    whole = taken(dataset.training_windows(shards, plan, **ours), 4)
    semitones = [augmentation.draw_semitones(5, epoch, n_windows=16, at_most=2) for epoch in range(2)]
    for k, semitone in enumerate(np.concatenate(semitones)):
        window = {name: tf.constant(value[k % 8]) for name, value in plain[k // 8].items()}
        for name, value in augmentation.move_pitch(window, tf.constant(semitone), shards.spec).items():
            np.testing.assert_allclose(whole[k // 8][name][k % 8], value, atol=1e-6)
    assert_same(taken(dataset.training_windows(shards, plan, **ours, first_step=3), 1), whole[3:])
    shares = [dataset.Share(index, n_workers=2) for index in range(2)]
    parts = [taken(dataset.training_windows(shards, plan, **ours, share=share), 4) for share in shares]
    for step, batch in enumerate(whole):
        for name, value in batch.items():
            np.testing.assert_array_equal(np.concatenate([part[step][name] for part in parts]), value)


@pytest.mark.parametrize(("n_workers", "n_replicas"), [(1, 2), (2, 1), (3, 1), (2, 3)])
def test_workers_and_devices_together_read_what_one_reads(n_workers, n_replicas, corpus):
    """Each global batch of 12, in its order: worker by worker, device by device; epochs have 16 windows."""
    shards, _ = corpus
    plan = dataset.plan_windows(shards, "train", window_frames=WINDOW)
    whole = taken(dataset.training_windows(shards, plan, batch_size=12, seed=5, first_step=1), 4)
    parts = []
    for index in range(n_workers):
        share = dataset.Share(index, n_workers, n_replicas)
        windows = dataset.training_windows(shards, plan, batch_size=12, seed=5, first_step=1, share=share)
        parts.append(taken(windows, 4 * n_replicas))
    for step, batch in enumerate(whole):
        devices = [parts[w][step * n_replicas + r] for w in range(n_workers) for r in range(n_replicas)]
        assert {len(device["log_power"]) for device in devices} == {12 // (n_workers * n_replicas)}
        for name, value in batch.items():
            np.testing.assert_array_equal(np.concatenate([device[name] for device in devices]), value)


@pytest.mark.parametrize(("n_workers", "n_replicas"), [(1, 1), (2, 1), (1, 2), (3, 2)])
def test_weighted_windows_are_all_windows_once_in_batches_that_are_full(n_workers, n_replicas, corpus):
    """16 windows in global batches of 6: two windows of the last batch weigh nothing."""
    shards, _ = corpus
    plan = dataset.plan_windows(shards, "train", window_frames=WINDOW)
    (expected,) = taken(dataset.fixed_windows(shards, plan, batch_size=100), 1)
    shares = [dataset.Share(index, n_workers, n_replicas) for index in range(n_workers)]
    batches = [taken(dataset.weighted_windows(shards, plan, batch_size=6, share=share), 99) for share in shares]
    assert {len(one) for one in batches} == {3 * n_replicas}
    assert {len(batch["weight"]) for one in batches for batch in one} == {6 // (n_workers * n_replicas)}
    in_order = [
        batches[w][step * n_replicas + r] for step in range(3) for w in range(n_workers) for r in range(n_replicas)
    ]
    joined = {name: np.concatenate([batch[name] for batch in in_order]) for name in in_order[0]}
    np.testing.assert_array_equal(joined.pop("weight"), [1] * 16 + [0] * 2)
    for name, value in joined.items():
        np.testing.assert_array_equal(value[:16], expected[name])


def test_windows_are_read_at_any_place(corpus):
    shards, wholes = corpus
    plan = dataset.plan_windows(shards, "train", window_frames=WINDOW)
    rows = np.array([[2, 7], [0, 150]])
    batches = taken(dataset.windows_at(shards, plan, rows), 9)
    assert [len(batch["log_power"]) for batch in batches] == [1, 1]
    for name, value in expected(wholes, rows.tolist()).items():
        np.testing.assert_array_equal(np.concatenate([batch[name] for batch in batches]), value)


def test_validation_and_test_windows_come_once_in_order(corpus):
    shards, wholes = corpus
    plan = dataset.plan_windows(shards, "test", window_frames=WINDOW)
    batches = taken(dataset.fixed_windows(shards, plan, batch_size=3), 9)
    assert [len(batch["log_power"]) for batch in batches] == [3, 1]
    joined = np.concatenate([batch["log_power"] for batch in batches]).reshape(64, -1)
    np.testing.assert_array_equal(joined, wholes[2]["log_power"])


@pytest.mark.parametrize("where", ["data", "length"])
def test_a_flipped_byte_is_an_error_and_never_a_number(tmp_path, where):
    shards, _ = make_shards(tmp_path, {"a": ("train", 40)})
    path = tmp_path / "a.tfrecord"
    entry = shards.manifest.recordings[0]
    data = bytearray(path.read_bytes())
    data[entry.byte_offsets[1] + (100 if where == "data" else 0)] ^= 1
    path.write_bytes(bytes(data))
    assert hashlib.sha256(data).hexdigest() != entry.sha256
    plan = dataset.plan_windows(shards, "train", window_frames=WINDOW)
    with pytest.raises(tf.errors.DataLossError, match="corrupted record"):
        taken(dataset.fixed_windows(shards, plan, batch_size=1), 2)
