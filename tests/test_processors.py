"""Work spread over threads: every result in its place, and errors come through."""

import threading

import pytest

from pnet_tf import processors


@pytest.mark.parametrize("n_threads", [1, 3])
def test_results_come_in_order_and_from_as_many_threads(n_threads, monkeypatch):
    monkeypatch.setattr(processors, "n_processors", lambda: n_threads)
    meeting = threading.Barrier(n_threads, timeout=30)

    def square(number):
        meeting.wait()
        return number * number, threading.get_ident()

    made = processors.map_in_threads(square, range(6 * n_threads))
    assert [number for number, _ in made] == [number**2 for number in range(6 * n_threads)]
    assert len({thread for _, thread in made}) == n_threads


def test_an_error_comes_through():
    with pytest.raises(ZeroDivisionError):
        processors.map_in_threads(lambda number: 1 // number, [1, 0, 2])


def test_there_is_a_processor():
    assert processors.n_processors() >= 1
