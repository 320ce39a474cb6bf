"""Worker processes of which any may die: each task gets its own result or its own error, and the rest goes on.

`concurrent.futures` loses a whole pool with one worker; here each lane is a pool of one, so that a lost process names
exactly the task it was working on.
"""

import concurrent.futures
import contextlib
import ctypes
import importlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from typing import NoReturn, TypeVar

from pnet_tf.errors import InputError

Task = TypeVar("Task")
Result = TypeVar("Result")

# Linux: which signal a process gets when its parent dies (linux/prctl.h).
_PR_SET_PDEATHSIG = 1
_STOPPING = (signal.SIGINT, signal.SIGTERM)
_GRACE_SEC = 3.0
_DIED = "its worker process died (killed, out of memory, or a crash in a decoder)"


class WorkerDiedError(InputError):
    """The process that worked on a task was killed, or died inside native code."""


class _Left(SystemExit):
    """SIGTERM came to a worker: what it was doing unwinds, so that its temporary files go."""


def run_in_lanes(
    work: Callable[[Task], Result],
    tasks: Iterator[Task],
    *,
    n_workers: int,
    set_up: Callable[[], None],
) -> Iterator[tuple[Task, Result | InputError]]:
    """Runs tasks in worker processes and gives each back as it ends.

    Workers end with this process, however it ends. Ctrl-C is for this process alone: it ends them, and at once, whenever
    what stops it is no `Exception`.

    Args:
      work: a function of a module, called as `work(task)` in a worker; the task and what it returns are pickled
        between our own processes.
      tasks: taken one at a time, when a lane is free; never more than `n_workers` are under way.
      n_workers: number of processes; 0 works in this process.
      set_up: a function of a module, called once in each worker before its first task.

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
        # By name: a worker unpickles what it gets before it does anything, and `set_up` may bring seconds of imports.
        told = (os.getpid(), set_up.__module__, set_up.__name__)
        return concurrent.futures.ProcessPoolExecutor(1, mp_context=context, initializer=_begin_worker, initargs=told)

    others = multiprocessing.active_children()
    opened = [open_lane() for _ in range(n_workers)]
    free = list(opened)
    busy: dict[concurrent.futures.Future, tuple[concurrent.futures.ProcessPoolExecutor, Task]] = {}
    try:
        while True:
            while free and (task := next(tasks, None)) is not None:
                lane = free.pop()
                with _held_back():
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
    except BaseException as error:
        if not isinstance(error, Exception):
            _stop([child for child in multiprocessing.active_children() if child not in others])
        raise
    finally:
        for lane in opened:
            lane.shutdown(wait=True, cancel_futures=True)


def _call(work: Callable[[Task], Result], task: Task) -> Result | InputError:
    try:
        return work(task)
    except InputError as error:
        return error
    except _Left:
        return WorkerDiedError(_DIED)


def _result_of(future: concurrent.futures.Future) -> tuple[Result | InputError, bool]:
    """What a task came to, and whether its worker is still there."""
    try:
        return future.result(), True
    except BrokenProcessPool:
        return WorkerDiedError(_DIED), False


# --- how workers begin and end


@contextlib.contextmanager
def _held_back() -> Iterator[None]:
    """Lets signals that stop wait: half a worker begun would stay, or die of what it was not told.

    A process begun meanwhile inherits that, until `_begin_worker` lets them in. The mask is this thread's alone, and
    Python's handlers run in the main thread whichever thread got the signal: so they are held back too.
    """
    came: list[int] = []
    handlers = {}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        if threading.current_thread() is threading.main_thread():
            for number in _STOPPING:
                handlers[number] = signal.signal(number, lambda number, frame: came.append(number))
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number in came:
            signal.raise_signal(number)


def _begin_worker(parent: int, module: str, set_up: str) -> None:
    """In a worker: ties it to the process that began it, then sets it up."""
    end_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
    # Until here and in this SIGTERM ends it on the spot: nothing is written yet.
    getattr(importlib.import_module(module), set_up)()
    signal.signal(signal.SIGTERM, _leave)


def end_with(parent: int) -> None:
    """Ends this process when its parent does, however that ends; at once where it is gone already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # A parent that died before the line above sends nothing any more.
    if os.getppid() != parent:
        os._exit(1)


def _leave(number: int, frame: object) -> NoReturn:
    raise _Left(128 + number)


def _stop(workers: Iterable[BaseProcess]) -> None:
    """Ends processes: asked first, killed if they are deep in native code."""
    workers = list(workers)
    for worker in workers:
        worker.terminate()
    deadline = time.monotonic() + _GRACE_SEC
    for worker in workers:
        worker.join(max(deadline - time.monotonic(), 0))
        if worker.is_alive():
            worker.kill()
