"""Processes that are killed while they work, and two that work in one place: docs/reliability.md."""

import contextlib
import functools
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest
import small_corpus
import soundfile
from faults import ROOT, KilledWriter, children_of

from pnet_tf import inspect_shards, savedmodel
from pnet_tf.shard_set import open_shard_set

pytestmark = [pytest.mark.attack, pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")]
COLUMNS = "start_time,end_time,instrument,note,start_beat,end_beat,note_value\n"


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


@pytest.fixture
def prepares(tiny_corpus, place):
    windows = ["--window_frames=64", "--validation_share=0.2"]
    return ["--instrument=violin", f"--source={tiny_corpus}", f"--out={place / 'set'}", *windows]


def begin(*flags, **options):
    line = [sys.executable, "-m", "pnet_tf.prepare", *flags]
    # Shells start what runs in the background with SIGINT ignored, and whoever runs these tests may be there.
    options |= {"preexec_fn": functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)}
    return subprocess.Popen(line, cwd=ROOT, stderr=subprocess.PIPE, text=True, **options)


def workers_of(pid):
    """Worker processes, not the one that watches over shared memory."""
    found = []
    for child in children_of(pid):
        with contextlib.suppress(FileNotFoundError):
            if b"spawn_main" in pathlib.Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(child)
    return found


def wait_for(condition, *, seconds=120):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)
    return found


@contextlib.contextmanager
def killed(module, folder, *flags):
    writer = KilledWriter(module, folder, list(flags))
    try:
        yield writer
    finally:
        writer.close()


@pytest.mark.parametrize("moment", ["at once", "while it writes"])
def test_a_killed_worker_costs_its_recording_and_the_same_command_finishes(
    moment, prepares, place, tiny_shards, record_property
):
    with begin(*prepares, "--workers=2") as process:
        if moment == "at once":
            worker = wait_for(lambda: workers_of(process.pid))[0]
        else:
            wait_for(lambda: list((place / "set").glob(".*.partial")))
            worker = workers_of(process.pid)[0]
        os.kill(worker, signal.SIGKILL)
        _, said = process.communicate(timeout=240)
    last = said.splitlines()[-1]
    assert process.returncode == 1 and "Traceback" not in said
    assert "its worker process died" in last and "the others are finished and kept" in last
    kept = {path.name: path.stat().st_mtime_ns for path in (place / "set").glob("*.tfrecord")}
    assert not (place / "set" / "COMPLETED").exists() and len(kept) >= 1
    with begin(*prepares, "--workers=0") as process:
        process.communicate(timeout=240)
    assert process.returncode == 0
    assert all((place / "set" / name).stat().st_mtime_ns == made for name, made in kept.items())
    assert small_corpus.content(place / "set").keys() == small_corpus.content(tiny_shards).keys()
    for path in tiny_shards.glob("*.tfrecord"):
        assert (place / "set" / path.name).read_bytes() == path.read_bytes()
    record_property("faults", 1)


def test_a_killed_preparation_leaves_nothing_that_passes_for_whole_and_goes_on(prepares, place, tiny_shards, record_property):
    """At each change to the folder in turn, with and without what the run before had finished."""
    n_faults = 0
    with killed("prepare", place, *prepares, "--workers=0") as writer:
        for change in (1, 2, 3, 4, 5, 7, 9, 12, 16):
            if writer.run(change) != "killed":
                break
            n_faults += 1
            if (place / "set" / "COMPLETED").exists():
                open_shard_set(place / "set")
            for path in (place / "set").glob("*.entry.json"):  # an entry promises a shard
                shard = path.with_name(path.name.replace(".entry.json", ".tfrecord"))
                assert shard.read_bytes() == (tiny_shards / shard.name).read_bytes()
        assert writer.run(0) == "0"
    whole = small_corpus.content(tiny_shards)
    made = small_corpus.content(place / "set")
    assert made.keys() == whole.keys()
    assert all(made[name] == whole[name] for name in whole if name.endswith((".tfrecord", "manifest.json", "COMPLETED")))
    assert inspect_shards.verify(open_shard_set(place / "set")) is None
    assert n_faults >= 4
    record_property("faults", n_faults)


@pytest.mark.parametrize(("form", "changes"), [("voice", (1, 2, 3, 4, 5, 6)), ("savedmodel", (1, 3, 5, 8))])
def test_a_killed_export_leaves_no_model(form, changes, tiny_run, place, record_property):
    out, n_faults = place / "model", 0
    with killed("export_command", place, f"--format={form}", f"--run_dir={tiny_run}", f"--out={out}") as writer:
        for change in changes:
            if writer.run(change) == "killed":
                n_faults += 1
                if not out.exists():
                    assert all(path.name.startswith(".model-") for path in place.iterdir())
                    continue
            savedmodel.open_voice(out)
            shutil.rmtree(out)
        # What was left behind is in nobody's way.
        assert writer.run(0) == "0"
    assert savedmodel.open_voice(out).instrument == "violin"
    assert n_faults >= 3
    record_property("faults", n_faults)


def test_a_killed_performance_leaves_what_was_there(tiny_voice, place, tmp_path, record_property):
    score, n_faults = tmp_path / "score.csv", 0
    score.write_text(COLUMNS + "".join(f"{k * 22050},{k * 22050 + 20000},41,{60 + k % 12},0,1,Quarter\n" for k in range(60)))
    out, picture = place / "a.wav", place / "a.png"
    flags = [f"--model={tiny_voice}", f"--score={score}", f"--out={out}", f"--plot={picture}", "--iterations=2"]
    with killed("perform_command", place, *flags) as writer:
        assert writer.run(0) == "0"
        whole, n_samples = {path: path.read_bytes() for path in (out, picture)}, soundfile.info(out).frames
        for change in (1, 2, 3, 5, 8, 12, 16):
            out.write_text("before")
            picture.unlink(missing_ok=True)
            if writer.run(change) == "killed":
                n_faults += 1
            assert out.read_bytes() in (b"before", whole[out])
            assert not picture.exists() or picture.read_bytes() == whole[picture]
        assert writer.run(0) == "0" and soundfile.info(out).frames == n_samples
    assert n_faults >= 4
    record_property("faults", n_faults)


def family_of(pid):
    """A process and all that it began, watchers included."""
    return [pid, *(one for child in children_of(pid) for one in family_of(child))]


def is_running(pid):
    """Whether there is such a process that has not ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.parametrize(
    ("how", "after_sec"),
    [("killed", 1.5), ("killed", 4.0), ("terminated", 0.0), ("terminated", 4.0), ("interrupted", 1.5), ("interrupted", None)],
)
def test_a_stopped_preparation_leaves_no_process_and_says_one_line(how, after_sec, prepares, place, record_property):
    """So many seconds after its workers began, or when they write: while they start, import TensorFlow, work."""
    with begin(*prepares, "--workers=2", start_new_session=True) as process:
        wait_for(lambda: workers_of(process.pid)[1:])
        if after_sec is None:
            wait_for(lambda: list((place / "set").glob(".*.partial")))
        time.sleep(after_sec or 0)
        family = family_of(process.pid)
        if how == "interrupted":
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.send_signal(signal.SIGKILL if how == "killed" else signal.SIGTERM)
        _, said = process.communicate(timeout=20)
    wait_for(lambda: not any(is_running(pid) for pid in family))
    assert len(family) >= 3  # after some seconds a worker may have done all that there was
    if how != "killed":
        assert process.returncode == {"terminated": 143, "interrupted": 130}[how]
        assert "Traceback" not in said
        assert [line for line in said.splitlines() if "prepare:" in line] == [f"prepare: {how}"]
        assert not [path.name for path in (place / "set").glob(".scratch-*")]
    record_property("faults", 1)


def test_two_preparations_into_one_folder_at_once(prepares, place, tiny_shards, record_property):
    """Begun together: one makes the set, the other says so and touches nothing, whichever came first."""
    with begin(*prepares, "--workers=1") as one, begin(*prepares, "--workers=1") as other:
        said = [process.communicate(timeout=240)[1] for process in (one, other)]
    codes = [one.returncode, other.returncode]
    assert 0 in codes and not any("Traceback" in text for text in said)
    for code, text in zip(codes, said):
        # One that comes when all is done finds it complete.
        assert code == 0 or "another preparation is running there; wait for it" in text.splitlines()[-1]
    assert small_corpus.content(place / "set").keys() == small_corpus.content(tiny_shards).keys()
    assert inspect_shards.verify(open_shard_set(place / "set")) is None
    record_property("faults", 1)
