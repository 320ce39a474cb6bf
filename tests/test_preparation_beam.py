"""Preparing on Apache Beam: the set of the local pool, byte for byte, whatever goes wrong on the way."""

import os
import pathlib
import re
import runpy
import socket
import subprocess
import sys
import tarfile
import uuid

import pytest
import small_corpus
import soundfile
import tensorflow as tf
import test_musicnet_npz
from test_preparation import WHOLE, plan_of, prepare, recordings, source, stop_after  # noqa: F401  (fixtures)

from pnet_tf import command, inspect_shards, preparation, preparation_beam, preparer
from pnet_tf import prepare as prepare_command
from pnet_tf.dataset import fixed_windows, plan_windows
from pnet_tf.errors import InputError, UsageError
from pnet_tf.preparer_remote import Errand
from pnet_tf.remote import path_of
from pnet_tf.shard_set import open_shard_set

ROOT = pathlib.Path(__file__).resolve().parent.parent


def on_beam(source, folder, **fields):  # noqa: F811
    return prepare(source, folder, runner="DirectRunner", **fields)


def run(source, out, *flags):  # noqa: F811
    arguments = ["--instrument=violin", f"--source={source}", f"--out={out}", "--window_frames=32"]
    return command.run(prepare_command.define_flags, prepare_command.main, [*arguments, *flags])


def upload(folder, target):
    for name, data in small_corpus.content(folder).items():
        path = path_of(f"{target}/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


@pytest.fixture
def bucket():
    return path_of(f"ram://test-{uuid.uuid4().hex}")


# --- the same set


def test_the_demo_corpus_gives_the_same_set_on_beam_and_in_the_pool(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["make_demo_corpus", f"--out={tmp_path / 'corpus'}"])
    with pytest.raises(SystemExit, match="^0$"):
        runpy.run_path(str(ROOT / "tools" / "make_demo_corpus.py"), run_name="__main__")
    assert run(tmp_path / "corpus", tmp_path / "beam", "--runner=DirectRunner") == 0
    assert run(tmp_path / "corpus", tmp_path / "pool", "--workers=0") == 0
    digests = [entry.sha256 for entry in open_shard_set(tmp_path / "beam").manifest.recordings]
    assert len(set(digests)) == 5
    assert digests == [entry.sha256 for entry in open_shard_set(tmp_path / "pool").manifest.recordings]
    assert small_corpus.content(tmp_path / "beam") == small_corpus.content(tmp_path / "pool")


def test_audio_out_of_an_archive_gives_the_same_set_and_the_same_words(source, tmp_path):  # noqa: F811
    (source / "train_data" / "20.wav").write_bytes(b"RIFF and nothing more")
    with tarfile.open(tmp_path / "musicnet.tar.gz", "w:gz") as archive:
        archive.add(source, "musicnet")
    for name, prepared in (("beam", on_beam), ("pool", prepare)):
        manifest = prepared(tmp_path / "musicnet.tar.gz", tmp_path / name, skip_bad=True)
    assert manifest.skipped["20"].startswith(f"{tmp_path / 'musicnet.tar.gz'}: 20.wav: cannot open it as audio")
    assert small_corpus.content(tmp_path / "beam") == small_corpus.content(tmp_path / "pool")


def pack(source, folder, kind):  # noqa: F811
    """The source as an archive in a folder of its own."""
    folder.mkdir()
    if kind == "tar":
        with tarfile.open(folder / "musicnet.tar.gz", "w:gz") as archive:
            archive.add(source, "musicnet")
        return folder
    members = {}
    for path in source.rglob("*.wav"):
        waveform, _ = soundfile.read(path, dtype="float32")
        notes = [(start, end, (41, pitch, 0, 0.0, "Half")) for start, end, pitch in small_corpus.notes_of(len(waveform))]
        members[path.stem] = test_musicnet_npz.member(test_musicnet_npz.pair(waveform, *notes))
    test_musicnet_npz.archive(folder / "musicnet.npz", **members)
    return folder


@pytest.mark.parametrize("kind", ["folder", "tar", "npz"])
def test_source_and_set_on_a_remote_file_system_are_as_local_ones(source, tmp_path, bucket, kind):  # noqa: F811
    place = bucket / "source"
    if kind != "folder":
        source = pack(source, tmp_path / kind, kind)
    upload(source, place)
    local = prepare(source, tmp_path / "local")
    for name, prepared in (("pool", prepare), ("beam", on_beam)):
        prepared(place, bucket / name)
        shards = open_shard_set(bucket / name)
        assert sorted(path.name for path in (bucket / name).iterdir()) == sorted(WHOLE)
        expected = local.to_json().replace(str(source), str(place))
        assert shards.manifest.to_json() == expected
        for entry in shards.manifest.recordings:
            assert (bucket / name / entry.shard).read_bytes() == (tmp_path / "local" / entry.shard).read_bytes()


def test_a_remote_set_is_trained_on_and_inspected_as_a_local_one(source, tmp_path, bucket, capsys):  # noqa: F811
    prepare(source, tmp_path / "local")
    prepare(source, bucket / "set")
    windows = []
    for folder in (tmp_path / "local", bucket / "set"):
        shards = open_shard_set(folder)
        windows.append(list(fixed_windows(shards, plan_windows(shards, "train", window_frames=32), batch_size=4)))
    assert len(windows[0]) == len(windows[1]) > 1
    for here, there in zip(*windows, strict=True):
        assert all(tf.reduce_all(here[name] == there[name]) for name in here)
    arguments = [str(bucket / "set"), "--verify"]
    assert command.run(inspect_shards.define_flags, inspect_shards.main, arguments, allow_positional=True) == 0
    assert "every shard is as the manifest says" in capsys.readouterr().out


# --- stopped, refused, gone on


def test_a_preparation_stopped_in_the_pool_goes_on_on_beam(source, tmp_path, monkeypatch):  # noqa: F811
    prepare(source, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            prepare(source, tmp_path / "out")
    begun = stop_after(monkeypatch, 99)
    on_beam(source, tmp_path / "out")
    assert sorted(begun) == ["30", "40"]
    assert small_corpus.content(tmp_path / "out") == small_corpus.content(tmp_path / "whole")
    before = small_corpus.content(tmp_path / "out")
    on_beam(source, tmp_path / "out")
    assert len(begun) == 2 and small_corpus.content(tmp_path / "out") == before


def test_an_interrupt_is_one_and_leaves_what_is_finished(source, tmp_path, monkeypatch, capsys):  # noqa: F811
    stop_after(monkeypatch, 2)
    assert run(source, tmp_path / "out", "--runner=DirectRunner") == 130
    assert capsys.readouterr().err.splitlines()[-1] == "prepare: interrupted"
    names = os.listdir(tmp_path / "out")
    assert len([name for name in names if name.endswith(".tfrecord")]) == 2
    assert not [name for name in names if name.startswith(".")]


def test_a_bad_recording_is_named_and_the_others_are_kept(source, tmp_path):  # noqa: F811
    audio = source / "train_data" / "20.wav"
    audio.write_bytes(b"RIFF and nothing more")
    messages = []
    for name, prepared in (("beam", on_beam), ("pool", prepare)):
        with pytest.raises(InputError) as caught:
            prepared(source, tmp_path / name)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert messages[0].startswith(f"1 of 4 recordings cannot be used ({audio}: cannot open it as audio")
    assert small_corpus.content(tmp_path / "beam") == small_corpus.content(tmp_path / "pool")
    assert not (tmp_path / "beam" / "COMPLETED").exists()
    for name, prepared in (("beam", on_beam), ("pool", prepare)):
        prepared(source, tmp_path / name, skip_bad=True)
    assert small_corpus.content(tmp_path / "beam") == small_corpus.content(tmp_path / "pool")


def test_a_full_disk_is_one_line_and_the_finished_are_kept(source, tmp_path, monkeypatch, capsys):  # noqa: F811
    work, out = preparer.prepare_recording, tmp_path / "out"

    def fill(job):
        if len(list(out.glob("*.entry.json"))) == 2:
            raise OSError(28, "No space left on device", "30.tfrecord")
        return work(job)

    with monkeypatch.context() as patch:
        patch.setattr(preparer, "prepare_recording", fill)
        assert run(source, out, "--runner=DirectRunner") == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("prepare: DirectRunner: ")
    assert lines[-1].endswith("No space left on device: '30.tfrecord'; what was finished is kept, run again to go on")
    assert not any("Traceback" in line for line in lines)
    assert len([name for name in os.listdir(out) if name.endswith(".tfrecord")]) == 2
    assert not [name for name in os.listdir(out) if name.startswith(".")]
    assert run(source, out, "--runner=DirectRunner") == 0


def test_a_set_that_workers_do_not_see_is_one_line(source, tmp_path, monkeypatch):  # noqa: F811
    run_pipeline = preparation_beam._run_pipeline
    monkeypatch.setattr(
        preparation_beam, "_run_pipeline", lambda paths, *rest: run_pipeline([f"/elsewhere{path}" for path in paths], *rest)
    )
    with pytest.raises(InputError, match=r"^DirectRunner: a worker cannot read /elsewhere.*must be where every worker sees"):
        on_beam(source, tmp_path / "out")


def test_a_fault_of_this_program_keeps_its_traceback(source, tmp_path, monkeypatch):  # noqa: F811
    def fault(job):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(preparer, "prepare_recording", fault)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        on_beam(source, tmp_path / "out")


def test_a_runner_that_leaves_something_out_is_not_believed(source, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr(preparation_beam, "_run_pipeline", lambda paths, runner, options: None)
    with pytest.raises(InputError, match="4 of 4 recordings cannot be used .*left neither a shard nor a reason"):
        on_beam(source, tmp_path / "out")


def test_the_reason_is_found_in_a_runner_s_long_report():
    report = "job failed: Traceback\n  File x\npnet_tf.preparation_beam.WorkerPlaceError: 20: gone [while running 'Prepare']\n\n"
    assert preparation_beam._reason_of(RuntimeError(report)) == "20: gone"
    assert preparation_beam._reason_of(RuntimeError("no\njar")) == "no jar"
    assert preparation_beam._reason_of(RuntimeError("  File x, in do_written_errand\n  KeyError")) is None
    assert preparation_beam._reason_of(TimeoutError()) == "no answer (TimeoutError)"


# --- runners and options


@pytest.mark.parametrize(
    ("flags", "code", "expected"),
    [
        (["--runner=Nonsense"], 2, "--runner=Nonsense: expected one of DirectRunner, FlinkRunner, SparkRunner"),
        (["--runner="], 2, "--runner=: expected one of DirectRunner"),
        (["--runner_options=--parallelism=2"], 2, "--runner_options without --runner"),
        (["--runner=flink", "--runner_options=--paralelism=2"], 2, "--paralelism=2: no option that Beam for Python has"),
        (["--runner=flink", "--runner_options=parallelism=2"], 2, "expected an option as Beam writes it"),
        (["--runner=flink", "--runner_options=--runner=DirectRunner"], 2, "expected an option as Beam writes it"),
        (["--runner=flink", "--runner_options=--parallelism=x"], 2, "Beam refuses them (argument --parallelism"),
        (["--runner=flink", "--workers=2"], 2, "--workers is for processes of this machine; FlinkRunner has options"),
        (["--runner=PortableRunner"], 1, "PortableRunner: You must specify a --job_endpoint"),
    ],
    ids=str,
)
def test_what_cannot_be_run_is_one_line(source, tmp_path, capsys, flags, code, expected):  # noqa: F811
    assert run(source, tmp_path / "out", *flags) == code
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("prepare: ") and expected in last
    assert code == 1 or not (tmp_path / "out").exists()


def test_the_options_in_the_documents_are_beam_s():
    from apache_beam.options import pipeline_options

    text = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    options = re.findall(r"--runner_options=(--\w+=\S+)", text)
    assert len(options) > 10
    assert preparation_beam._unknown_options(pipeline_options, options) == []


def test_what_a_runner_misses_is_wrong_usage(source, tmp_path, monkeypatch, capsys):  # noqa: F811
    """Patched, for Dataflow's own check goes to the network."""

    def refuse(runner, options):
        raise ValueError("validation errors:\nMissing required option: project.")

    monkeypatch.setattr(preparation_beam, "_new_pipeline", refuse)
    assert run(source, tmp_path / "out", "--runner=DataflowRunner") == 2
    expected = "prepare: --runner=DataflowRunner: validation errors: Missing required option: project. (give them as"
    assert capsys.readouterr().err.splitlines()[-1].startswith(expected)


def test_without_beam_the_way_to_get_it_is_named(source, tmp_path, monkeypatch, capsys):  # noqa: F811
    for name in [name for name in sys.modules if name.partition(".")[0] == "apache_beam"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    assert run(source, tmp_path / "out", "--runner=DirectRunner") == 1
    assert 'pip install "pnet_tf[beam]"' in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_the_pool_brings_no_beam(source, tmp_path):  # noqa: F811
    program = (
        "import sys; from pnet_tf import command, prepare;"
        "assert command.run(prepare.define_flags, prepare.main, sys.argv[1:]) == 0; assert 'apache_beam' not in sys.modules"
    )
    flags = ["--instrument=violin", f"--source={source}", f"--out={tmp_path / 'out'}", "--workers=0", "--window_frames=32"]
    subprocess.run([sys.executable, "-c", program, *flags], check=True, cwd=ROOT, capture_output=True)


def test_the_names_of_runners_in_any_case():
    assert [preparation_beam.require_runner(name) for name in ("direct", "FLINKRUNNER", "SparkRunner")] == [
        *("DirectRunner", "FlinkRunner", "SparkRunner")
    ]
    with pytest.raises(UsageError):
        preparation_beam.require_runner("runner")


def test_the_direct_runner_works_in_this_process_and_never_asks_for_prism(source, tmp_path, monkeypatch):  # noqa: F811
    from apache_beam.runners.portability import prism_runner

    monkeypatch.setattr(prism_runner, "PrismRunner", lambda: pytest.fail("asked for Prism"))
    pids, work = [], preparer.prepare_recording
    monkeypatch.setattr(preparer, "prepare_recording", lambda job: (pids.append(os.getpid()), work(job))[1])
    on_beam(source, tmp_path / "out")
    assert pids == [os.getpid()] * 4


def test_workers_of_the_direct_runner_are_processes(source, tmp_path, monkeypatch):  # noqa: F811
    plans = []
    monkeypatch.setattr(preparation, "prepare_corpus", lambda plan: plans.append(plan) or 1 / 0)
    for flags in ([], ["--workers=0"], ["--workers=3", "--runner_options=--direct_test_splits={}"]):
        with pytest.raises(ZeroDivisionError):
            run(source, tmp_path / "out", "--runner=DirectRunner", *flags)
    assert [plan.runner_options for plan in plans[:2]] == [(), ()]
    assert plans[2].runner_options == (
        *("--direct_num_workers=3", "--direct_running_mode=multi_processing", "--direct_test_splits={}"),
    )


def test_a_job_file_holds_what_a_worker_needs(source, tmp_path, monkeypatch):  # noqa: F811
    seen = []

    def look(paths, runner, options):
        seen.extend((pathlib.Path(path).name, Errand.from_json(pathlib.Path(path).read_bytes(), where=path)) for path in paths)
        raise KeyboardInterrupt

    monkeypatch.setattr(preparation_beam, "_run_pipeline", look)
    monkeypatch.chdir(source.parent)
    with pytest.raises(KeyboardInterrupt):
        on_beam(source.relative_to(source.parent), pathlib.Path("out"))
    assert [name for name, _ in seen] == ["10.job.json", "20.job.json", "30.job.json", "40.job.json"]
    assert {errand.base for _, errand in seen} == {source.parent}
    assert [errand.job.audio.name for _, errand in seen] == ["10.wav", "20.wav", "30.wav", "40.wav"]


# --- other processes


@pytest.mark.slow
def test_processes_of_the_direct_runner_give_the_same_bytes(source, tmp_path):  # noqa: F811
    prepare(source, tmp_path / "pool")
    assert run(source, tmp_path / "beam", "--runner=DirectRunner", "--workers=2", "--validation_share=0.2") == 0
    assert small_corpus.content(tmp_path / "beam") == small_corpus.content(tmp_path / "pool")


@pytest.mark.slow
def test_a_job_server_with_workers_in_another_folder_gives_the_same_bytes(source, tmp_path, monkeypatch):  # noqa: F811
    """The way to Flink and Spark as far as it goes without them: Beam's own job server, and workers that it calls."""
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("localhost", 0))
            ports.append(free.getsockname()[1])
    programs = [
        ["apache_beam.runners.portability.local_job_service_main", f"--port={ports[0]}"],
        ["apache_beam.runners.worker.worker_pool_main", f"--service_port={ports[1]}"],
    ]
    path = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    (tmp_path / "elsewhere").mkdir()
    started = [
        subprocess.Popen(
            [sys.executable, "-m", *program],
            cwd=tmp_path / "elsewhere",
            env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for program in programs
    ]
    try:
        monkeypatch.chdir(source.parent)
        prepare("source", tmp_path / "pool")
        where = [f"--job_endpoint=localhost:{ports[0]}", "--environment_type=EXTERNAL"]
        flags = [f"--runner_options={option}" for option in (*where, f"--environment_config=localhost:{ports[1]}")]
        assert run("source", "beam", "--runner=PortableRunner", "--validation_share=0.2", *flags) == 0
    finally:
        for process in started:
            process.terminate()
            process.wait(timeout=30)
    assert small_corpus.content(source.parent / "beam") == small_corpus.content(tmp_path / "pool")
