"""Reads the pickles inside `musicnet.npz` without running anything that they name.

A pickle is a program: loading it plainly calls whatever functions it asks for. Here every name it may ask for is
answered by a small stand-in of this file, numpy's names too (its own reconstruction functions trust their input), and
any other name ends the reading before anything of it runs.

Before that the opcodes are walked through once: Python's reader takes the memory that an opcode asks for before it sees
whether the file holds as much (https://github.com/python/cpython/issues/115952), and a few bytes can ask for all there is.
"""

import contextlib
import contextvars
import pickle
import pickletools
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from pnet_tf.errors import InputError

_NUMBER_DTYPE = re.compile(r"[<>|=]?[iufb][1248]")
_OBJECT_DTYPE = re.compile(r"\|?O[48]?")
# An object can be named again and again, in two bytes each time, and each time be copied by what takes it.
_COPIES_OF_THE_FILE = 8
_LEAST_COPIED = 1 << 20
_NEWEST_PROTOCOL = 4
# Python 2's memo began at 1; pickletools.optimize leaves numbers out.
_MEMO_GAP = 1 << 16
_left_to_copy: contextvars.ContextVar[int] = contextvars.ContextVar("left_to_copy")


class _StandIn:
    """What a pickle gets instead of what it names.

    Each stand-in is a class with a `__setstate__`, so that a pickle cannot change it: giving a state to the class
    itself, instead of to an object of it, fails.
    """

    def __setstate__(self, state: Any) -> None:
        """Refuses a state."""
        raise pickle.UnpicklingError(f"a state for {type(self).__name__}")


def _copying(n: int) -> None:
    """Raises pickle.UnpicklingError when `n` more bytes or items are copied than a file of this size has reason to."""
    _left_to_copy.set(left := _left_to_copy.get() - n)
    if left < 0:
        raise pickle.UnpicklingError("its objects are copied over and over")


def _items(items: Any) -> list[Any]:
    """Items as a list of our own."""
    if not isinstance(items, list | tuple | set | frozenset | dict):
        raise pickle.UnpicklingError(f"items in a {type(items).__name__}")
    _copying(len(items))
    return list(items)


class Interval(_StandIn):
    """Stands in for `intervaltree.Interval`: samples from `begin` to `end`, and what MusicNet says of the note."""

    def __init__(self, begin: Any = None, end: Any = None, data: Any = None) -> None:
        """Keeps the three as they come; `musicnet_npz` checks them."""
        self.begin, self.end, self.data = begin, end, data


class IntervalTree(_StandIn):
    """Stands in for `intervaltree.IntervalTree`: the intervals, in no order."""

    def __init__(self, intervals: Any = ()) -> None:
        """Keeps the intervals."""
        self.intervals = _items(intervals)

    def __setstate__(self, state: Any) -> None:
        """Takes the intervals out of a state, where a pickle holds the tree's attributes instead of arguments."""
        self.intervals = _items(state["all_intervals"])


class _Node(_StandIn):
    """Stands in for `intervaltree.node.Node`, which repeats what the tree's `all_intervals` hold."""

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


class _Dtype(_StandIn):
    """Stands in for `numpy.dtype`: plain numbers and objects only."""

    def __init__(self, name: Any = "", align: Any = False, copy: Any = False) -> None:
        self._name, self._order = name, ""

    def __setstate__(self, state: Any) -> None:
        self._order = state[1]

    @property
    def is_object(self) -> bool:
        """Whether it is the type of Python objects."""
        return isinstance(self._name, str) and _OBJECT_DTYPE.fullmatch(self._name) is not None

    def numpy_dtype(self) -> np.dtype:
        """The plain number type that it names.

        Raises:
          pickle.UnpicklingError: it names something else.
        """
        code = f"{self._order}{self._name}"
        if not _NUMBER_DTYPE.fullmatch(code):
            raise pickle.UnpicklingError(f"an array of {code!r}, expected plain numbers")
        return np.dtype(code)


class Array(_StandIn):
    """Stands in for a pickled numpy array; `value` is a list of objects or float32 and the like [shape]."""

    def __init__(self, *arguments: Any) -> None:
        """Ignores the shape and type that come before the state."""
        self.value: list[Any] | np.ndarray = []

    def __setstate__(self, state: Any) -> None:
        """Takes shape, type and content."""
        _version, shape, dtype, is_fortran, content = state
        if not isinstance(dtype, _Dtype):
            raise pickle.UnpicklingError("an array without a type")
        if dtype.is_object:
            self.value = _items(content)
            return
        flat = np.frombuffer(_bytes(content), dtype.numpy_dtype())
        self.value = flat.reshape(shape, order="F" if is_fortran else "C")


def _bytes(content: Any) -> bytes:
    _copying(len(content))
    # What Python 2 wrote as its byte string arrives as text, one character a byte.
    return content.encode("latin1") if isinstance(content, str) else bytes(memoryview(content))


class _Reconstruct(_StandIn):
    """Stands in for numpy's `_reconstruct`: an empty array whose state follows."""

    def __new__(cls, *arguments: Any) -> Array:
        return Array()


class _Scalar(_StandIn):
    """Stands in for numpy's `scalar`: one number."""

    def __new__(cls, dtype: Any, content: Any = b"") -> int | float:
        if not isinstance(dtype, _Dtype):
            raise pickle.UnpicklingError("a number without a type")
        return np.frombuffer(_bytes(content), dtype.numpy_dtype(), count=1)[0].item()


class _Latin1(_StandIn):
    """Stands in for `_codecs.encode`, which Python 3 writes into an old pickle in place of bytes."""

    def __new__(cls, text: Any, encoding: Any) -> bytes:
        if not isinstance(text, str) or encoding != "latin1":
            raise pickle.UnpicklingError(f"bytes in {encoding!r}")
        return _bytes(text)


class _Set(_StandIn):
    """Stands in for `set`: its items as a list."""

    def __new__(cls, items: Any = ()) -> list[Any]:
        return _items(items)


_STAND_INS: dict[tuple[str, str], type] = {
    ("numpy.core.multiarray", "_reconstruct"): _Reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _Reconstruct,
    ("numpy.core.multiarray", "scalar"): _Scalar,
    ("numpy._core.multiarray", "scalar"): _Scalar,
    ("numpy", "ndarray"): Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _Latin1,
    ("builtins", "set"): _Set,
    ("__builtin__", "set"): _Set,
    ("intervaltree.intervaltree", "IntervalTree"): IntervalTree,
    ("intervaltree", "IntervalTree"): IntervalTree,
    ("intervaltree.interval", "Interval"): Interval,
    ("intervaltree", "Interval"): Interval,
    ("intervaltree.node", "Node"): _Node,
}


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: BinaryIO, where: str) -> None:
        super().__init__(file, encoding="latin1")
        self._where = where

    def find_class(self, module: str, name: str) -> type:
        """The stand-in for a name."""
        if (module, name) not in _STAND_INS:
            raise InputError(
                f"{self._where}: refused: the file asks to load {module}.{name}, which MusicNet never does; "
                "get the data from a source you trust"
            )
        return _STAND_INS[module, name]


@contextlib.contextmanager
def _bounded(file: BinaryIO) -> Iterator[None]:
    """Walks through the opcodes and goes back to the first; then, what stand-ins copy is counted.

    Raises:
      pickle.UnpicklingError: an opcode that no pickle of Python 2's time has, or a memo that skips numbers.
      ValueError: an argument that the file does not hold whole, or an opcode that there is not.
    """
    begin, n_stored = file.tell(), 0
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.proto > _NEWEST_PROTOCOL:
            raise pickle.UnpicklingError(f"{opcode.name}, which no pickle of MusicNet has")
        if "PUT" in opcode.name or opcode.name == "MEMOIZE":
            if argument is not None and not 0 <= argument <= n_stored + _MEMO_GAP:
                raise pickle.UnpicklingError(f"{opcode.name} {argument} after {n_stored} others")
            n_stored += 1
    size = file.tell() - begin
    file.seek(begin)
    token = _left_to_copy.set(max(size * _COPIES_OF_THE_FILE, _LEAST_COPIED))
    try:
        yield
    finally:
        _left_to_copy.reset(token)


def load_objects(file: BinaryIO, *, where: str) -> list[Any]:
    """The objects of one pickled object array: numbers, text, tuples, lists, and this file's stand-ins.

    Args:
      file: at the start of the pickle.
      where: the file, for messages.

    Raises:
      InputError: the pickle names anything but arrays of numbers and intervals, is damaged, or holds something else.
    """
    try:
        with _bounded(file):
            loaded = _Unpickler(file, where).load()
    except InputError:
        raise
    except Exception as error:
        # A damaged pickle can raise nearly anything out of the interpreter of its opcodes.
        detail = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{where}: damaged, its content cannot be read ({detail}); download it again") from error
    if not isinstance(loaded, Array) or not isinstance(loaded.value, list):
        raise InputError(f"{where}: expected an array of objects, MusicNet's [waveform, intervals]")
    return loaded.value
