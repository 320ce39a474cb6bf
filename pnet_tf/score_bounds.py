"""Bounds on what a library may take while it reads a score: CPU time and memory, in proportion to the size of the file."""

import contextlib
import mmap
import pathlib
import signal
import threading
from collections.abc import Iterator

from pnet_tf import limits
from pnet_tf.score_notes import ScoreError

# music21 takes about 1 ms of CPU time and 10 KB of memory for a KB of MusicXML, and 300 ms for a KB of ABC that is full of
# repeats; a file of a few KB that takes far more is one on which it would go on for ever. A KB allows for so much more:
_SHARE_PER_KB = 1 / 20
MEMORY_BYTES, MEMORY_BYTES_PER_BYTE = 2**30, 1500
_AGAIN_SEC = 0.25
_MOST_SEC = 10**9  # Python's timers overflow at ten times that


class _TooLong(BaseException):
    """The CPU time is used up. No Exception: music21 goes on after some of those."""


@contextlib.contextmanager
def bounded(n_bytes: int, where: str) -> Iterator[None]:
    """Ends what is done inside when it takes far more CPU time or memory than a score of this size can need.

    Time is only bounded in the main thread, which alone gets signals, and where there is a timer of CPU time; memory where the
    system says how much there is.

    Args:
      n_bytes: size of the score.
      where: for messages.

    Raises:
      ScoreError: it took too much.
    """
    cpu_sec = min(limits.current().reading_sec * (1 + _SHARE_PER_KB * n_bytes / 1024), _MOST_SEC)
    memory_bytes = MEMORY_BYTES + MEMORY_BYTES_PER_BYTE * n_bytes
    try:
        with _cpu_time(cpu_sec), _memory(memory_bytes):
            yield
    except _TooLong:
        raise ScoreError(
            f"{where}: not read after {cpu_sec:.0f} s, far more than a score of {n_bytes} bytes takes; export it again, or raise "
            "--max_reading_sec"
        ) from None
    except MemoryError:
        raise ScoreError(
            f"{where}: asks for more than {memory_bytes >> 20} MiB to be read, far more than a score of {n_bytes} bytes needs; "
            "export it again"
        ) from None


@contextlib.contextmanager
def _cpu_time(seconds: float) -> Iterator[None]:
    """Raises `_TooLong` inside once the process has used so much CPU time, and again until it gets out."""

    def stop(number: int, frame: object) -> None:
        """Ends what is being done."""
        raise _TooLong

    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGPROF"):
        yield
        return
    handler = signal.signal(signal.SIGPROF, stop)
    timer = signal.setitimer(signal.ITIMER_PROF, seconds, _AGAIN_SEC)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, *timer)
        signal.signal(signal.SIGPROF, handler)


@contextlib.contextmanager
def _memory(n_bytes: int) -> Iterator[None]:
    """Lets the process take so much more memory than it has, and no more."""
    if (now := _address_space()) is None:
        yield
        return
    import resource  # where there is /proc there is this

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = min(limit for limit in (now + n_bytes, soft, hard) if limit != resource.RLIM_INFINITY)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _address_space() -> int | None:
    """Bytes of memory that the process has in its address space; None where the system does not say."""
    try:
        pages = pathlib.Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
    except OSError:
        return None
    return int(pages) * mmap.PAGESIZE
