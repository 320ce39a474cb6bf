"""Worker processes of which any may die: each task gets its own result or its own error, and the rest goes on.

`concurrent.futures` loses a whole pool with one worker; here each lane is a pool of one, so that a lost process names
exactly the task it was working on.
"""

import concurrent.futures
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from pnet_tf.errors import InputError

Task = TypeVar("Task")
Result = TypeVar("Result")


class WorkerDiedError(InputError):
    """The process that worked on a task was killed, or died inside native code."""


def run_in_lanes(
    work: Callable[[Task], Result],
    tasks: Iterator[Task],
    *,
    n_workers: int,
    set_up: Callable[[], None],
) -> Iterator[tuple[Task, Result | InputError]]:
    """Runs tasks in worker processes and gives each back as it ends.

    Args:
      work: a function of a module, called as `work(task)` in a worker; the task and what it returns are pickled
        between our own processes.
      tasks: taken one at a time, when a lane is free; never more than `n_workers` are under way.
      n_workers: number of processes; 0 works in this process.
      set_up: called once in each worker before its first task.

    Yields:
      The task, and what `work` returned or the `InputError` it raised (`WorkerDiedError` for a lost process).

    Raises:
      Exception: any other error of `work`, as it was raised.
    """
    if n_workers == 0:
        for task in tasks:
            yield task, _call(work, task)
        return
    context = multiprocessing.get_context("spawn")

    def open_lane() -> concurrent.futures.ProcessPoolExecutor:
        """A pool of one process."""
        return concurrent.futures.ProcessPoolExecutor(1, mp_context=context, initializer=set_up)

    opened = [open_lane() for _ in range(n_workers)]
    free = list(opened)
    busy: dict[concurrent.futures.Future, tuple[concurrent.futures.ProcessPoolExecutor, Task]] = {}
    try:
        while True:
            while free and (task := next(tasks, None)) is not None:
                lane = free.pop()
                busy[lane.submit(_call, work, task)] = (lane, task)
            if not busy:
                return
            for future in concurrent.futures.wait(busy, return_when=concurrent.futures.FIRST_COMPLETED).done:
                lane, task = busy.pop(future)
                result, alive = _result_of(future)
                if not alive:
                    opened.remove(lane)
                    opened.append(lane := open_lane())
                free.append(lane)
                yield task, result
    finally:
        for lane in opened:
            lane.shutdown(wait=True, cancel_futures=True)


def _call(work: Callable[[Task], Result], task: Task) -> Result | InputError:
    try:
        return work(task)
    except InputError as error:
        return error


def _result_of(future: concurrent.futures.Future) -> tuple[Result | InputError, bool]:
    """What a task came to, and whether its worker is still there."""
    try:
        return future.result(), True
    except BrokenProcessPool:
        return WorkerDiedError("its worker process died (killed, out of memory, or a crash in a decoder)"), False
