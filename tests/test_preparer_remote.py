"""One recording fetched from afar, prepared here and brought home: the same bytes, and nothing half-written."""

import os
import pathlib
import uuid

import pytest
import small_corpus

from pnet_tf import preparer, preparer_remote, remote
from pnet_tf.errors import InputError
from pnet_tf.remote import path_of
from pnet_tf.score import read_labels
from pnet_tf.spec import FeatureSpec

FILES = ["10.entry.json", "10.tfrecord"]


@pytest.fixture(scope="module")
def audio(tmp_path_factory):
    return small_corpus.add_recording(tmp_path_factory.mktemp("corpus"), "10", 1.2)


@pytest.fixture
def bucket():
    folder = path_of(f"ram://test-{uuid.uuid4().hex}")
    for name in ("source", "out", "out/.scratch-a"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return folder


def labels_of(recording):
    return recording.parent.parent / "train_labels" / "10.csv"


def job_of(recording, folder, **fields):
    score = fields["score"] if "score" in fields else read_labels(labels_of(recording))
    values = {"audio": recording, "score": score, "split": "train", "label_source": "csv", "folder": folder}
    values |= {"name": "10", "spec": FeatureSpec(), "max_bad_labels": 0.01, "made_from": "these"}
    return preparer.Job(**(values | fields))


@pytest.fixture
def expected(audio, tmp_path):
    (tmp_path / "here").mkdir()
    preparer.prepare_recording(job_of(audio, tmp_path / "here"))
    return small_corpus.content(tmp_path / "here")


def test_remote_audio_and_folder_give_the_bytes_of_local_ones(audio, bucket, expected):
    (bucket / "source" / "10.wav").write_bytes(audio.read_bytes())
    job = job_of(audio, bucket / "out", audio=bucket / "source" / "10.wav")
    entry = preparer_remote.prepare_job(job, landing=bucket / "out" / ".scratch-a")
    assert {name: (bucket / "out" / name).read_bytes() for name in FILES} == expected
    assert (entry.name, entry.size_bytes) == ("10", len(expected["10.tfrecord"]))
    assert list((bucket / "out" / ".scratch-a").iterdir()) == []


def test_relative_paths_are_those_of_the_command_wherever_a_worker_is(audio, tmp_path, monkeypatch, expected):
    (tmp_path / "out" / ".scratch-a").mkdir(parents=True)
    job = job_of(audio, pathlib.Path("out"), audio=pathlib.Path(os.path.relpath(audio, tmp_path)))
    monkeypatch.chdir("/")
    preparer_remote.do_errand(preparer_remote.Errand(job, landing=pathlib.Path("out/.scratch-a"), base=tmp_path))
    assert small_corpus.content(tmp_path / "out") == expected


def test_what_is_wrong_with_audio_is_said_of_its_place_in_the_source(audio, bucket):
    broken, gone = bucket / "source" / "10.wav", bucket / "source" / "no.wav"
    broken.write_bytes(b"RIFF and nothing more")
    for path, reason in ((broken, "cannot open it as audio"), (gone, "does not exist any more")):
        with pytest.raises(InputError) as caught:
            preparer_remote.prepare_job(job_of(audio, bucket / "out", audio=path), landing=bucket / "out")
        assert str(caught.value).startswith(f"{path}: {reason}")


def test_a_bad_score_is_said_before_audio_is_fetched(audio, bucket, monkeypatch):
    monkeypatch.setattr(preparer_remote, "copy_whole", lambda *_, **__: pytest.fail("fetched"))
    job = job_of(audio, bucket / "out", audio=bucket / "source" / "10.wav", score=InputError("10.mid: no notes"))
    with pytest.raises(InputError, match="^10.mid: no notes$"):
        preparer_remote.prepare_job(job, landing=bucket / "out")


def test_the_entry_comes_after_the_shard_and_neither_when_the_place_is_full(audio, bucket, monkeypatch):
    brought = []

    def bring(source, target, *, landing):
        brought.append(target.name)
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(preparer_remote, "copy_whole", bring)
    with pytest.raises(OSError, match="No space left"):
        preparer_remote.prepare_job(job_of(audio, bucket / "out"), landing=bucket / "out" / ".scratch-a")
    assert brought == ["10.tfrecord"]
    monkeypatch.setattr(preparer_remote, "copy_whole", lambda *a, **b: (brought.append(a[1].name), remote.copy_whole(*a, **b)))
    preparer_remote.prepare_job(job_of(audio, bucket / "out"), landing=bucket / "out" / ".scratch-a")
    assert brought == ["10.tfrecord", "10.tfrecord", "10.entry.json"]


# --- errands on the way to a worker


def test_an_errand_survives_the_way_to_a_worker(audio, bucket):
    for job in (
        job_of(audio, bucket / "out", max_audio_sec=60.0),
        job_of(pathlib.Path("with \udcff in it.wav"), pathlib.Path("out"), score=read_labels(labels_of(audio))),
    ):
        errand = preparer_remote.Errand(job, landing=job.folder / ".scratch-a", base=pathlib.Path("/base"))
        assert preparer_remote.Errand.from_json(errand.to_json(), where="10.job.json") == errand
    refused = job_of(audio, bucket / "out", score=InputError("10.mid: no notes"))
    errand = preparer_remote.Errand(refused, landing=bucket, base=pathlib.Path("/base"))
    assert str(preparer_remote.Errand.from_json(errand.to_json(), where="x").job.score) == "10.mid: no notes"


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"\x80\x04cos\nsystem\n.", b'{"spec": 1}', b"[" * 100_000])
def test_what_is_no_errand_is_refused(text):
    with pytest.raises(InputError, match="^10.job.json: no job of a preparation .*run the same prepare again$"):
        preparer_remote.Errand.from_json(text, where="10.job.json")
