"""Readers that do harm on purpose, for the test of the runner."""

import os
import pathlib
import signal
import time
from collections.abc import Callable

from pnet_tf.errors import InputError
from tests.attack.mutation import mutate_bytes
from tests.attack.readers import Read, Reader


def _once_in_a_while(harm: Callable[[], object]) -> Callable[[pathlib.Path], Read]:
    """A reader that does harm on its fiftieth input."""

    def open_one(scratch: pathlib.Path) -> Read:
        """Counts from here."""
        left = iter(range(50))

        def read(data: bytes) -> object:
            """Refuses, until it does harm."""
            if next(left, None) is None:
                return harm()
            raise InputError("a file of nothing")

        return lambda data: data if data == b"whole" else read(data)

    return open_one


def _spin() -> None:
    while time.monotonic():
        pass


_HARMS = {
    "clean": lambda: None,
    "crash": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "hang": _spin,
    "memory": lambda: bytearray(3 << 30),
    "trace": lambda: {}["no such key"],
}
READERS = {
    name: Reader(name, lambda: [b"whole"], mutate_bytes, _once_in_a_while(harm), 120, module="tests.attack.misbehaving")
    for name, harm in _HARMS.items()
}
