"""Stands in for TensorFlow Serving in tests: a SavedModel in plain TensorFlow behind its REST and gRPC predict methods.

Written from its documentation of the formats; where it is strict (names, shapes, scalars in rows), so is this.
"""

import concurrent.futures
import contextlib
import http.server
import json
import re
import threading

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from pnet_tf import serving_messages


class Refused(Exception):
    """What a server answers with instead of a prediction."""


class Model:
    """The signatures of a SavedModel, by name."""

    def __init__(self, folder):
        self._loaded = tf.saved_model.load(str(folder))

    def inputs(self, signature):
        if signature not in self._loaded.signatures:
            raise Refused(f"Serving signature name: {signature!r} not found in signature def")
        return self._loaded.signatures[signature].structured_input_signature[1]

    def predict(self, signature, given):
        """float32 or int32 [...] by name to the outputs, float32 [...] by name."""
        wanted = self.inputs(signature)
        if given.keys() != wanted.keys():
            raise Refused(f"input keys {sorted(given)} do not match {sorted(wanted)}")
        for name, spec in wanted.items():
            if not spec.shape.is_compatible_with(given[name].shape):
                raise Refused(f"{name} has shape {list(given[name].shape)}, expected {spec.shape}")
        answer = self._loaded.signatures[signature](**{name: tf.constant(value) for name, value in given.items()})
        return {name: value.numpy() for name, value in answer.items()}


# --- REST


def predict_rest(model, body):
    """The JSON that answers a JSON: `outputs` for `inputs`, `predictions` for `instances`; one output goes without its name."""
    signature = body.get("signature_name", "serving_default")
    specs = model.inputs(signature)
    if "inputs" in body:
        outputs = model.predict(signature, {name: _array(value, specs, name) for name, value in body["inputs"].items()})
        named = {name: value.tolist() for name, value in outputs.items()}
        return {"outputs": named if len(named) > 1 else next(iter(named.values()))}
    rows = body["instances"]
    columns = {name: _array([row[name] for row in rows], specs, name) for name in rows[0]}
    outputs = model.predict(signature, columns)
    if any(len(value) != len(rows) for value in outputs.values()):
        raise Refused("an output has another batch than the request")
    lists = [{name: value[index].tolist() for name, value in outputs.items()} for index in range(len(rows))]
    return {"predictions": lists if len(outputs) > 1 else [next(iter(row.values())) for row in lists]}


def _array(value, specs, name):
    if name not in specs:
        raise Refused(f"no input {name}")
    return np.array(value, specs[name].dtype.as_numpy_dtype)


@contextlib.contextmanager
def serving_rest(answer):
    """A server on the loopback; `answer` takes a path and a body, and gives a status and bytes. Yields its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            status, data = answer(self.path, self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                self.wfile.write(data)

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def rest_of(model, name):
    """What `serving_rest` answers with for a model under a name."""

    def answer(path, data):
        if not re.fullmatch(rf"/v1/models/{name}(/versions/\d+)?:predict", path):
            return 404, json.dumps({"error": f"Servable not found for request: {path}"}).encode()
        try:
            return 200, json.dumps(predict_rest(model, json.loads(data))).encode()
        except Refused as error:
            return 400, json.dumps({"error": str(error)}).encode()

    return answer


# --- gRPC


@contextlib.contextmanager
def serving_grpc(model, name):
    """A server on the loopback; yields its address. Tensors are read and written by TensorFlow's own code."""

    def predict(data, context):
        request = serving_messages._parsed("PredictRequest", data)
        if request.model_spec.name != name:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: Latest({request.model_spec.name})")
        tensors = {key: tensor_pb2.TensorProto.FromString(value.SerializeToString()) for key, value in request.inputs.items()}
        try:
            outputs = model.predict(request.model_spec.signature_name, {k: tf.make_ndarray(t) for k, t in tensors.items()})
        except Refused as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        response = serving_messages._message("PredictResponse")()
        for key in request.output_filter or outputs:
            # A server writes values, not bytes, unless it is told to.
            shape = tf.TensorShape(outputs[key].shape).as_proto()
            field = tensor_pb2.TensorProto(dtype=1, tensor_shape=shape, float_val=outputs[key].reshape(-1))
            response.outputs[key].ParseFromString(field.SerializeToString())
        return response.SerializeToString()

    server = grpc.server(concurrent.futures.ThreadPoolExecutor(1), options=[("grpc.max_receive_message_length", -1)])
    service, method = serving_messages.PREDICT_METHOD.strip("/").split("/")
    handlers = {method: grpc.unary_unary_rpc_method_handler(predict)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
