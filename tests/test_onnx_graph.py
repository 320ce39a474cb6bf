"""ONNX models written in memory: ONNX Runtime opens them and computes what was meant."""

import numpy as np
import onnxruntime
import pytest

from pnet_tf.onnx_graph import Graph, _varint


def run(graph, **inputs):
    session = onnxruntime.InferenceSession(graph.to_bytes(), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0]


@pytest.mark.parametrize(
    ("number", "expected"), [(0, b"\0"), (127, b"\x7f"), (128, b"\x80\x01"), (300, b"\xac\x02"), (2**31, b"\x80\x80\x80\x80\x08")]
)
def test_varints_are_protobufs(number, expected):
    """300 is the example of protobuf's own documentation."""
    assert _varint(number) == expected


def test_a_graph_computes_what_it_says():
    """Float, int and list attributes, constants that are no contiguous arrays, a free axis, an int64 input."""
    graph = Graph()
    x = graph.add_input("x", ["rows", 3])
    graph.add_index_input("n", 1)
    zero, axis = (graph.add_numbers(np.array([number], np.int64)) for number in (0, 1))
    factor = graph.add_numbers(np.arange(6, dtype=np.float32).reshape(2, 3).T)
    y = graph.add_node("LeakyRelu", [graph.add_node("MatMul", [x, factor])], alpha=0.5)
    y = graph.add_node("Slice", [graph.add_node("Concat", [y, y], axis=1), zero, "n", axis])
    graph.add_node("Transpose", [y], name="y", perm=[1, 0])
    graph.add_output("y", ["columns", "rows"])
    given = np.array([[1, -1, 0], [0, 2, -3], [1, 1, 1], [0, 0, 0]], np.float32)
    product = given @ np.arange(6).reshape(2, 3).T
    product = np.where(product > 0, product, 0.5 * product)
    np.testing.assert_array_equal(run(graph, x=given, n=np.array([3])), np.concatenate([product, product], axis=1)[:, :3].T)


def test_a_name_stands_for_one_tensor():
    graph = Graph()
    names = [graph.add_numbers(np.zeros(1, np.float32)) for _ in range(3)] + [graph.add_node("Neg", ["x"])]
    assert len(set(names)) == 4
