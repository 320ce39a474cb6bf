"""Signals that ask a training to stop: SIGTERM from a machine that is taken away, SIGINT from a person."""

import signal
import types
from typing import Self

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """While it is entered, the first signal is only noted, so that the step under way ends and is saved.

    A second one works as it did before.

    Attributes:
      received: the signal, or None.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *details: object) -> None:
        self._restore()

    def _note(self, number: int, frame: types.FrameType | None) -> None:
        self.received = signal.Signals(number)
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
