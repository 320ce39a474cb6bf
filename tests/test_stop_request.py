"""The first signal is noted, the second works as ever, and afterwards everything is as it was."""

import signal

import pytest

from pnet_tf.stop_request import StopRequest, StopRequestedError


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_is_only_noted(number):
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert stop.received is None
        stop.note_only()
        signal.raise_signal(number)
        assert stop.received is number
    assert signal.getsignal(number) is before


@pytest.fixture
def interrupts():
    """SIGINT raises KeyboardInterrupt, also where the tests were started in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts")
def test_the_second_one_works_as_ever():
    with StopRequest() as stop:
        stop.note_only()
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert stop.received is signal.SIGTERM


def test_without_a_signal_nothing_is_left_behind():
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(ZeroDivisionError), StopRequest():
        raise ZeroDivisionError
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGTERM, StopRequestedError), (signal.SIGINT, KeyboardInterrupt)])
def test_as_long_as_there_is_nothing_to_save_a_signal_is_an_exception(number, raised):
    with pytest.raises(raised), StopRequest() as stop:
        signal.raise_signal(number)
    assert stop.received is None and not stop.is_listening


def test_it_listens_again_after_another_took_the_signal():
    with StopRequest() as stop:
        stop.leave_to_the_system()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        stop.listen()
        stop.note_only()
        signal.raise_signal(signal.SIGTERM)
        assert stop.received is signal.SIGTERM


def test_what_is_not_entered_touches_no_signal():
    before = signal.getsignal(signal.SIGTERM)
    stop = StopRequest()
    stop.leave_to_the_system()
    stop.listen()
    assert signal.getsignal(signal.SIGTERM) is before
