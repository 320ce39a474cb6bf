"""What a library may take while it reads a score: enough for a real one, and an end of what would go on for ever."""

import resource
import signal
import threading
import time

import pytest

from pnet_tf import limits
from pnet_tf.score_bounds import bounded
from pnet_tf.score_notes import ScoreError


def test_what_goes_on_for_ever_is_ended_whatever_it_swallows():
    begun = time.process_time()
    with pytest.raises(ScoreError, match="^a.xml: not read after 0 s, far more than a score of 9 bytes takes"):
        with limits.raised_to(limits.Limits(reading_sec=0.3)), bounded(9, "a.xml"):
            while True:
                try:
                    sum(range(1000))
                except Exception:
                    raise AssertionError from None
    assert time.process_time() - begun < 5


def test_what_asks_for_gigabytes_is_refused():
    with pytest.raises(ScoreError, match="^a.xml: asks for more than 1024 MiB to be read, far more than a score of 9 bytes"):
        with bounded(9, "a.xml"):
            bytearray(3 << 30)
    bytearray(3 << 30)


def test_nothing_is_left_behind():
    before = resource.getrlimit(resource.RLIMIT_AS), signal.getsignal(signal.SIGPROF), signal.getitimer(signal.ITIMER_PROF)
    with bounded(9, "a.xml"):
        assert signal.getitimer(signal.ITIMER_PROF)[0] > 0
    with pytest.raises(KeyError), bounded(9, "a.xml"):
        raise KeyError
    after = resource.getrlimit(resource.RLIMIT_AS), signal.getsignal(signal.SIGPROF), signal.getitimer(signal.ITIMER_PROF)
    assert after == before


def test_a_thread_reads_too_without_a_bound_on_its_time():
    done = []

    def read() -> None:
        """Where no signal can come."""
        with bounded(9, "a.xml"):
            done.append(signal.getitimer(signal.ITIMER_PROF)[0])

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    assert done == [0.0]


def test_larger_files_may_take_more():
    with limits.raised_to(limits.Limits(reading_sec=0.001)), bounded(1 << 30, "a.xml"):
        sum(range(1_000_000))


def test_the_longest_time_and_the_largest_score_make_no_overflow():
    with limits.raised_to(limits.Limits(reading_sec=1e6)), bounded(2**36, "a.abc"):
        pass
