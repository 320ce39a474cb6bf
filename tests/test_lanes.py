"""Work in processes of which any may die: each task keeps its own result, and nothing is left running."""

import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from pnet_tf import lanes
from pnet_tf.errors import InputError


def no_set_up():
    pass


def note_set_up():
    folder = pathlib.Path(os.environ["NOTED_IN"])
    (folder / str(os.getpid())).write_text(f"{(folder / str(os.getpid())).exists()}")


def work(task):
    if task == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if task == "terminate":
        os.kill(os.getpid(), signal.SIGTERM)
    if task == "interrupt":
        os.kill(os.getpid(), signal.SIGINT)
    if task == "linger":
        try:
            time.sleep(60)
        finally:
            (pathlib.Path(os.environ["NOTED_IN"]) / "unwound").touch()
    if task == "refuse":
        raise InputError("refused")
    if task == "fault":
        raise KeyError("a fault of ours")
    return f"{task} done"


def results_of(tasks, n_workers):
    found = list(lanes.run_in_lanes(work, iter(tasks), n_workers=n_workers, set_up=no_set_up))
    assert multiprocessing.active_children() == []
    return {task: result for task, result in found}


@pytest.mark.parametrize("n_workers", [0, 2])
def test_each_task_has_its_own_result_or_its_own_refusal(n_workers):
    found = results_of(["a", "refuse", "b", "c"], n_workers)
    assert str(found.pop("refuse")) == "refused"
    assert found == {task: f"{task} done" for task in "abc"}


@pytest.mark.parametrize("n_workers", [1, 2])
def test_a_killed_worker_costs_its_own_task_alone(n_workers):
    found = results_of(["a", "kill", "b", "c"], n_workers)
    died = found.pop("kill")
    assert isinstance(died, lanes.WorkerDiedError)
    assert "died" in str(died)
    assert found == {task: f"{task} done" for task in "abc"}


def test_a_terminated_worker_costs_its_own_task_and_ctrl_c_costs_none():
    found = results_of(["a", "terminate", "interrupt", "b"], 1)
    assert isinstance(found.pop("terminate"), lanes.WorkerDiedError)
    assert found == {task: f"{task} done" for task in ("a", "interrupt", "b")}


@pytest.mark.parametrize("n_workers", [0, 1])
def test_a_fault_of_the_program_is_raised_and_no_process_stays(n_workers):
    with pytest.raises(KeyError, match="a fault of ours"):
        results_of(["a", "fault", "b"], n_workers)
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("n_workers", [0, 2])
def test_no_more_tasks_are_taken_than_there_are_workers(n_workers):
    taken = []

    def tasks():
        for task in "abcdef":
            taken.append(task)
            yield task

    for n_done, _ in enumerate(lanes.run_in_lanes(work, tasks(), n_workers=n_workers, set_up=no_set_up), 1):
        # A result is handed out before its lane takes the next task; two may end at once.
        assert len(taken) - n_done < max(n_workers, 1)
    assert taken == list("abcdef")


def test_every_worker_is_set_up_once(tmp_path, monkeypatch):
    monkeypatch.setenv("NOTED_IN", str(tmp_path))
    found = list(lanes.run_in_lanes(work, iter(["a", "kill", "b", "c"]), n_workers=1, set_up=note_set_up))
    assert len(found) == 4
    assert [path.read_text() for path in tmp_path.iterdir()] == ["False", "False"]


def test_stopping_early_leaves_no_process():
    found = lanes.run_in_lanes(work, iter("abcd"), n_workers=2, set_up=no_set_up)
    next(found)
    assert multiprocessing.active_children() != []
    found.close()
    assert multiprocessing.active_children() == []


def test_a_source_that_breaks_is_not_hidden():
    def tasks():
        yield "a"
        raise InputError("the archive ends here")

    with pytest.raises(InputError, match="the archive ends here"):
        results_of(tasks(), 2)
    assert multiprocessing.active_children() == []


def test_an_interruption_unwinds_what_workers_do_and_waits_for_none(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("NOTED_IN", str(tmp_path))

    def tasks():
        yield from ["a", "linger"]
        time.sleep(2)
        raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        results_of(tasks(), 3)
    assert time.monotonic() - began < 30 and (tmp_path / "unwound").exists()
    assert multiprocessing.active_children() == [] and capfd.readouterr().err == ""


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel")
def test_a_worker_ends_with_the_process_that_began_it_or_at_once_if_that_is_gone():
    program = (
        "import ctypes, os, sys; from pnet_tf import lanes; lanes.end_with(os.getppid() + int(sys.argv[1])); "
        "got = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(got)); print(got.value)"
    )
    tied, late = (
        subprocess.run([sys.executable, "-c", program, more], capture_output=True, text=True, check=False) for more in "01"
    )
    assert int(tied.stdout) == signal.SIGKILL
    assert (late.returncode, late.stdout) == (1, "")
