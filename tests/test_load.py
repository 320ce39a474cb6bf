"""200 scores in one process: what it holds after the last is what it held after the first twenty."""

import gc
import os
import pathlib
import random
import sys

import pytest

from pnet_tf import performer, render
from pnet_tf.perform_plan import Task

COLUMNS = "start_time,end_time,instrument,note,start_beat,end_beat,note_value\n"
N_SCORES, N_FIRST, MOST = 200, 20, 1.05


def write_scores(folder: pathlib.Path, n_scores: int) -> list[Task]:
    """Scores of half a second to eight, no two equal, a longest one among the first; some with a picture."""
    rng, tasks = random.Random(0), []
    for k in range(n_scores):
        rows, start = [], 0
        end = 8 * 44100 if k == 1 else rng.randrange(22050, 8 * 44100)
        while start < end:
            length = rng.randrange(4000, 40000)
            rows.append(f"{start},{min(start + length, end)},41,{rng.randrange(57, 73)},0,1,Quarter\n")
            start += length
        path = folder / f"{k:03d}.csv"
        path.write_text(COLUMNS + "".join(rows))
        picture = folder / "out" / f"{k:03d}.png" if k % 10 == 0 else None
        tasks.append(Task(path, folder / "out" / f"{k:03d}.wav", picture))
    return tasks


def held() -> dict[str, int]:
    """What this process holds: memory in kB, open files, threads."""
    gc.collect()
    status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
    return {
        "memory_kb": int(status["VmRSS"].split()[0]),
        "files": len(os.listdir("/proc/self/fd")),
        "threads": int(status["Threads"]),
    }


@pytest.mark.attack
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_200_scores_in_one_process_hold_no_more_than_twenty(tiny_voice, tmp_path, monkeypatch, record_property):
    tasks, measured, perform = write_scores(tmp_path, N_SCORES), [], performer.perform_task

    def measure(*arguments):
        measured.append(held())  # before each score: behind the one before, and all that follows it
        perform(*arguments)

    monkeypatch.setattr(performer, "perform_task", measure)
    settings = performer.Settings(render.Settings(iterations=2))
    assert performer.perform_tasks(tasks, str(tiny_voice), settings) == []
    measured.append(held())
    first, last = measured[N_FIRST], measured[-1]
    growth = max(one["memory_kb"] for one in measured[N_FIRST:]) / first["memory_kb"] - 1
    for name, value in {"scores": N_SCORES, "growth_percent": round(100 * growth, 2), **last, "faults": 0}.items():
        record_property(name, value)
    assert last["memory_kb"] <= MOST * first["memory_kb"] and 1 + growth <= MOST, (first, last, growth)
    assert (last["files"], last["threads"]) <= (first["files"], first["threads"])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        path.name for task in tasks for path in (task.out, task.plot) if path is not None
    )


@pytest.mark.attack
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_scores_that_fail_leave_no_file_open(tiny_voice, tmp_path, record_property):
    """Forty that cannot be read or written; the failures themselves are kept to the end."""
    settings = performer.Settings(render.Settings(iterations=1))
    (good, *_) = write_scores(tmp_path, 2)
    assert performer.perform_tasks([good], str(tiny_voice), settings) == []
    before = held()
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    (tmp_path / "bad.mid").write_bytes(b"MThd")
    tasks = [Task(tmp_path / "bad.mid", tmp_path / "b.wav", None), Task(good.score, in_the_way / "b.wav", None)] * 20
    failures = performer.perform_tasks(tasks, str(tiny_voice), settings)
    assert len(failures) == 40
    assert held()["files"] <= before["files"]
    record_property("faults", 40)
