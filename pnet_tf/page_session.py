"""Performances that the page was asked for: one is played at a time, the others wait in a queue, each can be stopped."""

import collections
import contextlib
import dataclasses
import pathlib
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator

from absl import logging

from pnet_tf import page_live
from pnet_tf.errors import InputError

# Nobody who asked for a performance takes longer to listen to it, but whose page is closed.
_MOST_UNHEARD_SEC = 15.0
_NAME_BYTES = 16
# How often an idle server looks for what is too old.
_TIDY_SEC = 20.0

WAITING, PLAYING, DONE, FAILED, STOPPED = "waiting", "playing", "done", "failed", "stopped"


class Stopped(Exception):
    """A performance was stopped by whoever asked for it."""


@dataclasses.dataclass(eq=False)
class Job:
    """One performance that was asked for; what the worker makes of it waits in a file until the page fetches it.

    In memory it would add up: a page may read slowly, or not at all, and the worker waits for nobody.

    Attributes:
      folder: its own, for its files; gone with it.
      play: makes it, calling `send` and `check` of its job; what it raises ends the job.
      name: what a browser saves its files as, without a suffix.
      who: the session that asked.
      state: WAITING, PLAYING, DONE, FAILED or STOPPED.
    """

    folder: pathlib.Path
    play: Callable[["Job"], None]
    name: str
    who: str | None = None
    token: str = dataclasses.field(default_factory=lambda: secrets.token_urlsafe(_NAME_BYTES))
    state: str = WAITING
    made_at: float = dataclasses.field(default_factory=time.monotonic)
    listened: bool = False
    _stop: threading.Event = dataclasses.field(default_factory=threading.Event)
    _lengths: collections.deque[int] = dataclasses.field(default_factory=collections.deque)
    _fetched_bytes: int = 0
    _is_dropped: bool = False
    _last: collections.deque[bytes] = dataclasses.field(default_factory=collections.deque)

    @property
    def is_unheard(self) -> bool:
        """Whether nobody came to listen."""
        return not self.listened and time.monotonic() - self.made_at > _MOST_UNHEARD_SEC

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.state in (DONE, FAILED, STOPPED)

    def send(self, *messages: bytes) -> None:
        """Puts messages where the page fetches them.

        Raises:
          InputError: the disk is full.
        """
        if self._is_dropped:
            return
        try:
            with self._waiting.open("ab") as file:
                file.write(b"".join(messages))
        except OSError as error:
            raise InputError(f"the sound cannot be kept ({error.strerror})") from error
        self._lengths.extend(map(len, messages))

    def fetch(self) -> Iterator[bytes]:
        """Takes what there is; for one reader."""
        if self._lengths and not self._is_dropped:
            with contextlib.suppress(FileNotFoundError), self._waiting.open("rb") as file:  # dropped just now
                file.seek(self._fetched_bytes)
                while self._lengths and not self._is_dropped:
                    n_bytes = self._lengths.popleft()
                    self._fetched_bytes += n_bytes
                    yield file.read(n_bytes)
        while self._last:
            yield self._last.popleft()

    def drop(self, *last: bytes) -> None:
        """Forgets what was not fetched, and all that is sent from now on, but for these messages."""
        self._is_dropped = True
        self._waiting.unlink(missing_ok=True)
        self._last.extend(last)

    @property
    def _waiting(self) -> pathlib.Path:
        return self.folder / "live"

    def stop(self) -> None:
        """Asks for its end; a performance under way ends at its next block."""
        self._stop.set()

    def check(self) -> None:
        """To be called between blocks.

        Raises:
          Stopped: it was stopped, or nobody has come to listen.
        """
        if self._stop.is_set() or self.is_unheard:
            raise Stopped


class Stage:
    """One worker thread and its queue."""

    def __init__(self, folder: pathlib.Path, *, most_waiting: int = 20, most_kept: int = 40, keep_sec: float = 3600.0) -> None:
        """Starts no thread yet.

        Args:
          folder: where each performance gets a folder of its own.
          most_waiting: performances that may wait.
          most_kept: finished performances whose files are kept, the latest.
          keep_sec: how long they are kept at most.
        """
        self._folder, self._most_waiting, self._most_kept, self._keep_sec = folder, most_waiting, most_kept, keep_sec
        self._jobs: dict[str, Job] = {}
        self._queue: list[Job] = []
        self._changed = threading.Condition()
        self._closing = False
        self.is_preparing = False
        self._thread: threading.Thread | None = None

    def start(self, prepare: Callable[[], None] = lambda: None) -> None:
        """Starts the worker.

        Args:
          prepare: called by it before the first performance.
        """
        self.is_preparing = True
        self._thread = threading.Thread(target=self._work, args=(prepare,), name="stage", daemon=True)
        self._thread.start()

    def add(self, play: Callable[[Job], None], name: str, who: str | None = None) -> Job:
        """Queues a performance, in place of one of the same session that waits still.

        Args:
          play: as `Job.play`.
          name: as `Job.name`.
          who: as `Job.who`.

        Raises:
          InputError: too many wait already.
        """
        with self._changed:
            for waiting in [job for job in self._queue if job.is_unheard or (who is not None and job.who == who)]:
                self._queue.remove(waiting)
                self._end(waiting, STOPPED, page_live.say(type="stopped"))
            if len(self._queue) >= self._most_waiting:
                raise InputError(f"{len(self._queue)} performances are waiting already; try again in some minutes")
            job = Job(self._folder, play, name, who)
            job.folder = self._folder / job.token
            job.folder.mkdir()
            self._jobs[job.token] = job
            self._queue.append(job)
            self._changed.notify_all()
        self._tidy()
        return job

    def stop(self, job: Job) -> None:
        """Ends a performance: one that waits now, one under way at its next block."""
        job.stop()
        with self._changed:
            if job in self._queue:
                self._queue.remove(job)
                self._end(job, STOPPED, page_live.say(type="stopped"))

    def find(self, token: str) -> Job | None:
        """A performance by its token, or None."""
        return self._jobs.get(token)

    def place(self, job: Job) -> int:
        """How many performances come before a waiting one has ended, itself not counted; 0 once it plays."""
        with self._changed:
            if job not in self._queue:
                return 0
            return self._queue.index(job) + sum(other.state == PLAYING for other in self._jobs.values())

    def end(self) -> None:
        """Stops what waits, now, and what is under way, at its next block, without waiting for it; nothing else begins."""
        with self._changed:
            self._closing = True
            waiting, self._queue = self._queue, []
            for job in waiting:
                self._end(job, STOPPED, page_live.say(type="stopped"))
            for job in self._jobs.values():
                job.stop()
            self._changed.notify_all()

    def close(self) -> None:
        """Stops what is under way and removes all files."""
        self.end()
        if self._thread is not None:
            self._thread.join(timeout=30)
        for job in self._jobs.values():
            shutil.rmtree(job.folder, ignore_errors=True)

    def _work(self, prepare: Callable[[], None]) -> None:
        _run_apart(prepare, "preparation")
        self.is_preparing = False
        while (job := self._next()) is not None:
            if not _run_apart(lambda job=job: self._play(job), "performance"):
                self._end(job, FAILED, page_live.say(type="failed", message="Something went wrong on the server."))
            self._tidy()

    def _next(self) -> Job | None:
        with self._changed:
            while not self._queue and not self._closing:
                if not self._changed.wait(timeout=_TIDY_SEC):
                    self._tidy()
            if self._closing:
                return None
            job = self._queue.pop(0)
            job.state = PLAYING
            return job

    def _play(self, job: Job) -> None:
        try:
            job.check()
            job.play(job)
        except Stopped:
            self._end(job, STOPPED, page_live.say(type="stopped"))
        except InputError as error:
            logging.warning("a performance failed: %s", error)
            self._end(job, FAILED, page_live.say(type="failed", message=_without_place(str(error), job.folder)))
        else:
            self._end(job, DONE)
        finally:
            if not job.is_over:
                self._end(job, FAILED, page_live.say(type="failed", message="Something went wrong on the server."))

    def _end(self, job: Job, state: str, *messages: bytes) -> None:
        if state != DONE:
            job.drop(*messages)
            shutil.rmtree(job.folder, ignore_errors=True)
        job.state = state

    def _tidy(self) -> None:
        """Forgets performances that are over and too many or too old, with their files."""
        with self._changed:
            over = [job for job in self._jobs.values() if job.is_over]
            for job in over:
                if job.is_unheard:
                    job.drop()
            old = [job for job in over if time.monotonic() - job.made_at > self._keep_sec]
            for job in {*over[: max(len(over) - self._most_kept, 0)], *old}:
                del self._jobs[job.token]
                shutil.rmtree(job.folder, ignore_errors=True)


def _run_apart(work: Callable[[], None], name: str) -> bool:
    """Runs in a thread of its own, so that a fault of ours shows its traceback and ends nothing else; whether it could begin."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:  # no thread can be had just now
        logging.error("no %s could begin: %s", name, error)
        return False
    thread.join()
    return True


def _without_place(message: str, folder: pathlib.Path) -> str:
    return message.replace(f"{folder}/", "")
