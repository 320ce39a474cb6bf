"""A network written as an ONNX model in memory: nodes and numbers in, the bytes that ONNX Runtime opens out.

ONNX is a protobuf format. Of it a network needs some fields alone, whose numbers are in `onnx.proto` of the ONNX project; the
package `onnx` would bring 60 MB, and its newer versions another protobuf than TensorFlow's.
"""

import struct
from collections.abc import Sequence

import numpy as np

# The oldest that has every operation here in its present form; any ONNX Runtime of the last years opens them.
_IR_VERSION, _OPERATIONS_VERSION = 8, 13
_VARINT, _BYTES, _FIXED32 = 0, 2, 5
_TENSOR_TYPES = {np.dtype("<f4"): 1, np.dtype("<i8"): 7}
# Of AttributeProto: float, int, ints.
_OF_FLOAT, _OF_INT, _OF_INTS = 1, 2, 7
# What a protobuf message can hold, less a MiB for all that is no weight.
MOST_BYTES = 2**31 - 2**20


class Graph:
    """A graph that is being laid out; tensors are known by their names."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._numbers: list[bytes] = []
        self._inputs: list[bytes] = []
        self._outputs: list[bytes] = []
        self._n_made = 0

    def add_input(self, name: str, shape: Sequence[int | str]) -> str:
        """A float32 input; an axis of any length has a name instead of a number. Gives its name."""
        self._inputs.append(_value_info(name, _TENSOR_TYPES[np.dtype("<f4")], shape))
        return name

    def add_index_input(self, name: str, length: int) -> str:
        """An int64 input, [length]. Gives its name."""
        self._inputs.append(_value_info(name, _TENSOR_TYPES[np.dtype("<i8")], [length]))
        return name

    def add_output(self, name: str, shape: Sequence[int | str]) -> None:
        """Gives out the float32 tensor of this name."""
        self._outputs.append(_value_info(name, _TENSOR_TYPES[np.dtype("<f4")], shape))

    def add_numbers(self, numbers: np.ndarray) -> str:
        """A constant, float32 or int64 [...]. Gives its name."""
        name = self._new_name()
        numbers = np.ascontiguousarray(numbers, numbers.dtype.newbyteorder("<"))
        dims = b"".join(_integer(1, length) for length in numbers.shape)
        self._numbers.append(dims + _integer(2, _TENSOR_TYPES[numbers.dtype]) + _text(8, name) + _data(9, numbers.tobytes()))
        return name

    def add_node(self, operation: str, inputs: Sequence[str], *, name: str | None = None, **attributes: object) -> str:
        """Applies an operation; attributes are float, int, or lists of int. Gives the name of its output."""
        name = name or self._new_name()
        fields = [_text(1, one) for one in inputs] + [_text(2, name), _text(4, operation)]
        fields += [_data(5, _attribute(key, value)) for key, value in attributes.items()]
        self._nodes.append(b"".join(fields))
        return name

    def to_bytes(self) -> bytes:
        """The model as an .onnx file holds it."""
        parts = [(1, self._nodes), (5, self._numbers), (11, self._inputs), (12, self._outputs)]
        graph = [_text(2, "network")] + [_data(field, one) for field, several in parts for one in several]
        versions = _integer(1, _IR_VERSION), _data(8, _integer(2, _OPERATIONS_VERSION))
        return b"".join([versions[0], _data(7, b"".join(graph)), versions[1]])

    def _new_name(self) -> str:
        self._n_made += 1
        return f"t{self._n_made}"


def _value_info(name: str, tensor_type: int, shape: Sequence[int | str]) -> bytes:
    axes = [_text(2, length) if isinstance(length, str) else _integer(1, length) for length in shape]
    dims = b"".join(_data(1, axis) for axis in axes)
    return _text(1, name) + _data(2, _data(1, _integer(1, tensor_type) + _data(2, dims)))


def _attribute(name: str, value: object) -> bytes:
    if isinstance(value, float):
        number = _varint(2 << 3 | _FIXED32) + struct.pack("<f", value)
        return _text(1, name) + number + _integer(20, _OF_FLOAT)
    if isinstance(value, int):
        return _text(1, name) + _integer(3, value) + _integer(20, _OF_INT)
    return _text(1, name) + b"".join(_integer(8, number) for number in value) + _integer(20, _OF_INTS)


def _varint(number: int) -> bytes:
    digits = bytearray()
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    digits.append(number)
    return bytes(digits)


def _integer(field: int, number: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(number)


def _data(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | _BYTES) + _varint(len(data)) + data


def _text(field: int, text: str) -> bytes:
    return _data(field, text.encode())
