"""Signals that ask a training to stop: SIGTERM from a machine that is taken away, SIGINT from a person."""

import signal
import types
from typing import Self

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequestedError(Exception):
    """SIGTERM came while there was nothing to save yet."""


class StopRequest:
    """While it is entered, signals end a training in good order.

    As long as there is nothing to save a signal is an exception: `StopRequestedError`, or `KeyboardInterrupt`. Once
    `note_only` was called the first one is only noted, so that the step under way ends and is saved, and a second one
    works as it did before.

    Attributes:
      received: the signal that was noted, or None.
      is_listening: whether it is entered.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self.is_listening = False
        self._is_only_noted = False
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.getsignal(number) for number in SIGNALS}
        self.is_listening = True
        self.listen()
        return self

    def __exit__(self, *details: object) -> None:
        self._restore()
        self.is_listening = False

    def listen(self) -> None:
        """Listens, or listens again: connecting to other machines, TensorFlow takes SIGTERM for itself."""
        if self._before:
            for number in SIGNALS:
                signal.signal(number, self._handle)

    def leave_to_the_system(self) -> None:
        """Lets SIGTERM end the process at once, until `listen`: waiting for other machines nothing else would."""
        if self._before:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def note_only(self) -> None:
        """From now on there is something to save."""
        self._is_only_noted = True

    def _handle(self, number: int, frame: types.FrameType | None) -> None:
        if self._is_only_noted:
            self.received = signal.Signals(number)
            self._restore()
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        else:
            raise StopRequestedError

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
