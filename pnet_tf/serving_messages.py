"""The messages of TensorFlow Serving's prediction API, as far as they are needed here, without TensorFlow or its serving package.

`tensorflow-serving-api` pins TensorFlow and protobuf; what it holds of use here is which fields there are and their numbers. They
are written down below, and compared with its bytes by a test (`tests/test_serving_messages.py` says how those were made).
"""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PREDICT_METHOD = "/tensorflow.serving.PredictionService/Predict"
_PACKAGE = "pnet_tf.serving"
_FIELD = descriptor_pb2.FieldDescriptorProto
_TYPES = {"string": _FIELD.TYPE_STRING, "bytes": _FIELD.TYPE_BYTES, "int64": _FIELD.TYPE_INT64, "int32": _FIELD.TYPE_INT32}
_TYPES |= {"float": _FIELD.TYPE_FLOAT}
# Message: field: number and type; a star before a type repeats it, `map` leads from a string to what follows.
_MESSAGES = {
    "ModelSpec": {"name": (1, "string"), "signature_name": (3, "string")},
    "PredictRequest": {
        "model_spec": (1, "ModelSpec"), "inputs": (2, "map Tensor"), "output_filter": (3, "*string"),
    },
    "PredictResponse": {"outputs": (1, "map Tensor"), "model_spec": (2, "ModelSpec")},
    "PredictLog": {"request": (1, "PredictRequest")},
    "PredictionLog": {"predict_log": (6, "PredictLog")},
    "Dimension": {"size": (1, "int64")},
    "Shape": {"dim": (2, "*Dimension")},
    "Tensor": {
        "dtype": (1, "int32"), "tensor_shape": (2, "Shape"), "tensor_content": (4, "bytes"), "float_val": (5, "*float"),
        "int_val": (7, "*int32"),
    },
}
# TensorFlow's numbers of the two types that the signatures have, and where their values stand.
_DTYPES = {1: (np.dtype("<f4"), "float_val"), 3: (np.dtype("<i4"), "int_val")}


def predict_request(signature: str, inputs: Mapping[str, np.ndarray], *, model: str = "", outputs: tuple[str, ...] = ()) -> Any:
    """A PredictRequest.

    Args:
      signature: of the model.
      inputs: float32 or int32 [...] by name.
      model: the name under which it is served.
      outputs: those that are wanted; all where none is named.

    Raises:
      ValueError: an array of another type.
    """
    spec = {"name": model, "signature_name": signature}
    tensors = {name: _tensor(array) for name, array in inputs.items()}
    request = _message("PredictRequest")(model_spec=spec, output_filter=outputs)
    for name, tensor in tensors.items():
        request.inputs[name].CopyFrom(tensor)
    return request


def warm_up_record(request: Any) -> bytes:
    """A PredictionLog of a PredictRequest: one record of a file of warm-up requests; the same bytes for the same request."""
    log = _message("PredictionLog")(predict_log={"request": request})
    return log.SerializeToString(deterministic=True)


def request_of_record(record: bytes) -> tuple[str, dict[str, np.ndarray]]:
    """The signature and the inputs, float32 or int32 [...] by name, of what `warm_up_record` made.

    Raises:
      ValueError: it is no such record.
    """
    request = _parsed("PredictionLog", record).predict_log.request
    return request.model_spec.signature_name, {name: _array(tensor) for name, tensor in request.inputs.items()}


def outputs_of_response(response: bytes) -> dict[str, np.ndarray]:
    """The outputs of a PredictResponse: float32 or int32 [...] by name.

    Raises:
      ValueError: it is none, or holds tensors of other types.
    """
    return {name: _array(tensor) for name, tensor in _parsed("PredictResponse", response).outputs.items()}


# --- tensors


def _tensor(array: np.ndarray) -> Any:
    """A TensorProto; of values that are all alike at the end the first alone, which is what TensorFlow reads it as."""
    number = next((number for number, (dtype, _) in _DTYPES.items() if dtype == array.dtype), None)
    if number is None:
        raise ValueError(f"{array.dtype}: only float32 and int32 are sent")
    tensor = _message("Tensor")(dtype=number, tensor_shape={"dim": [{"size": n} for n in array.shape]})
    flat = np.ascontiguousarray(array).reshape(-1)
    changes = np.flatnonzero(flat != flat[-1:])
    n_kept = int(changes[-1]) + 2 if changes.size else min(flat.size, 1)
    if n_kept <= flat.size // 2 or flat.size == 1:
        getattr(tensor, _DTYPES[number][1]).extend(flat[:n_kept].tolist())
    else:
        tensor.tensor_content = flat.astype(_DTYPES[number][0]).tobytes()
    return tensor


def _array(tensor: Any) -> np.ndarray:
    """float32 or int32 [...]; raises ValueError for what is none, or does not have the size of its shape."""
    if tensor.dtype not in _DTYPES:
        raise ValueError(f"a tensor of TensorFlow's type {tensor.dtype}, expected float32 or int32")
    dtype, field = _DTYPES[tensor.dtype]
    shape = [dimension.size for dimension in tensor.tensor_shape.dim]
    if tensor.tensor_content:
        return np.frombuffer(tensor.tensor_content, dtype).reshape(shape)
    values = np.array(getattr(tensor, field), dtype)
    size = int(np.prod(shape, dtype=np.int64))
    if values.size > size or (size and not values.size):
        raise ValueError(f"a tensor of shape {shape} with {values.size} values")
    return np.concatenate([values, np.repeat(values[-1:], size - values.size)]).reshape(shape)


# --- their descriptors


def _parsed(name: str, data: bytes) -> Any:
    from google.protobuf.message import DecodeError

    try:
        return _message(name).FromString(data)
    except DecodeError as error:
        raise ValueError(f"no {name} of TensorFlow Serving") from error


@functools.cache
def _message(name: str) -> type:
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{_PACKAGE}.{name}"))


@functools.cache
def _pool() -> descriptor_pool.DescriptorPool:
    """A pool of our own, so that nothing meets the messages of an installed tensorflow-serving-api."""
    file = descriptor_pb2.FileDescriptorProto(name="pnet_tf/serving.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            _add_field(message, field, number, kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


def _add_field(message: Any, name: str, number: int, kind: str) -> None:
    if kind.startswith("map "):
        entry = message.nested_type.add(name=f"{name.title()}Entry")
        entry.options.map_entry = True
        _add_field(entry, "key", 1, "string")
        _add_field(entry, "value", 2, kind.removeprefix("map "))
        kind = f"*{message.name}.{entry.name}"
    field = message.field.add(name=name, number=number)
    field.label = _FIELD.LABEL_REPEATED if kind.startswith("*") else _FIELD.LABEL_OPTIONAL
    kind = kind.removeprefix("*")
    if kind in _TYPES:
        field.type = _TYPES[kind]
    else:
        field.type, field.type_name = _FIELD.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
