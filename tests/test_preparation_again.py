"""A preparation started again: what its source has now is what the set holds, and only the changed is done again."""

import os

import pytest
import small_corpus
from test_preparation import prepare, recordings, source, stop_after  # noqa: F401  (fixtures)

from pnet_tf.errors import InputError
from pnet_tf.files import held
from pnet_tf.shard_set import open_shard_set


@pytest.fixture
def out(source, tmp_path):  # noqa: F811
    folder = tmp_path / "out"
    prepare(source, folder)
    return folder


def names_of(folder):
    return [entry.name for entry in open_shard_set(folder).manifest.recordings]


def test_an_unchanged_source_leaves_a_finished_set_alone(source, out, monkeypatch):  # noqa: F811
    before, begun = small_corpus.content(out), stop_after(monkeypatch, 99)
    prepare(source, out)
    assert begun == [] and small_corpus.content(out) == before


@pytest.mark.parametrize("finished", [True, False])
def test_corrected_labels_are_prepared_again(source, out, monkeypatch, finished):  # noqa: F811
    labels = source / "train_labels" / "20.csv"
    labels.write_text(labels.read_text().replace(",60,", ",61,"))
    if not finished:
        (out / "COMPLETED").unlink()
    begun = stop_after(monkeypatch, 99)
    manifest = prepare(source, out)
    assert begun == ["20"]
    heard = {entry.name: entry.pitch_frames for entry in manifest.recordings}
    assert heard["20"][60] == 0 and heard["20"][61] > 0 and heard["10"][60] > 0
    assert open_shard_set(out).manifest.to_json() == manifest.to_json()


def test_an_added_recording_comes_in_and_a_removed_one_goes(source, out, monkeypatch):  # noqa: F811
    for kind, suffix in (("data", "wav"), ("labels", "csv")):
        (source / f"train_{kind}" / f"20.{suffix}").rename(source / f"train_{kind}" / f"25.{suffix}")
    begun = stop_after(monkeypatch, 99)
    prepare(source, out)
    assert begun == ["25"]
    assert names_of(out) == ["10", "25", "30", "40"]
    assert not [name for name in os.listdir(out) if name.startswith("20.")]


def test_a_recording_that_moves_to_the_test_is_prepared_again(source, out):  # noqa: F811
    for kind, suffix in (("data", "wav"), ("labels", "csv")):
        (source / f"train_{kind}" / f"20.{suffix}").rename(source / f"test_{kind}" / f"20.{suffix}")
    manifest = prepare(source, out)
    assert {entry.name: entry.split for entry in manifest.recordings}["20"] == "test"


def test_what_was_left_out_is_tried_again_when_it_is_mended(source, tmp_path, monkeypatch):  # noqa: F811
    audio = source / "train_data" / "20.wav"
    good, out = audio.read_bytes(), tmp_path / "out"
    audio.write_bytes(b"RIFF")
    prepare(source, out, skip_bad=True)
    begun = stop_after(monkeypatch, 99)
    prepare(source, out)
    assert begun == [] and names_of(out) == ["10", "30", "40"]
    audio.write_bytes(good)
    os.utime(audio, ns=((out / "COMPLETED").stat().st_mtime_ns + 10**9,) * 2)
    prepare(source, out)
    assert begun == ["20"] and names_of(out) == ["10", "20", "30", "40"]


def test_other_limits_for_labels_count_as_a_change(source, out, monkeypatch):  # noqa: F811
    begun = stop_after(monkeypatch, 99)
    prepare(source, out, max_bad_labels=0.5)
    assert sorted(begun) == ["10", "20", "30", "40"]


def test_two_preparations_in_one_folder_at_once_are_refused(source, tmp_path):  # noqa: F811
    """The second would take the first one's scratch files away; a folder that another holds is left as it is."""
    folder = tmp_path / "out"
    folder.mkdir()
    with held(folder, taken=""), pytest.raises(InputError, match="another preparation is running there; wait for it"):
        prepare(source, folder)
    assert os.listdir(folder) == []
    prepare(source, folder)


@pytest.mark.parametrize("days", [-20_000, -1, 1, 20_000])
def test_a_clock_that_jumps_hides_no_change(source, tmp_path, monkeypatch, days):  # noqa: F811
    """A recording mended and another corrected while the clock was days off: both are prepared anew, the rest is kept."""
    audio, labels = source / "train_data" / "20.wav", source / "train_labels" / "10.csv"
    good, out = audio.read_bytes(), tmp_path / "out"
    audio.write_bytes(b"RIFF")
    prepare(source, out, skip_bad=True)
    audio.write_bytes(good)
    labels.write_text(labels.read_text().replace(",60,", ",61,"))
    for path in (audio, labels):
        os.utime(path, ns=((out / "COMPLETED").stat().st_mtime_ns + days * 86_400 * 10**9,) * 2)
    begun = stop_after(monkeypatch, 99)
    prepare(source, out)
    assert sorted(begun) == ["10", "20"] and names_of(out) == ["10", "20", "30", "40"]
    assert not (out / "left_out.json").exists()
    begun.clear()
    prepare(source, out)
    assert begun == []
