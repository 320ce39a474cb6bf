"""Messages of TensorFlow Serving: the bytes of its own package, and everything read back as it was written.

LOG and RESPONSE were made by tensorflow-serving-api 2.17.1 beside TensorFlow 2.17.1, in an environment of its own:

    request = predict_pb2.PredictRequest(output_filter=["waveform"])
    request.model_spec.name, request.model_spec.signature_name = "violin", "audio"
    request.inputs["pianoroll"].CopyFrom(tf.make_tensor_proto(np.float32([[[0, 1], [1, 0.5]]])))
    request.inputs["seed"].CopyFrom(tf.make_tensor_proto(7, tf.int32))
    log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
    response = predict_pb2.PredictResponse()
    response.model_spec.name = "violin"
    response.outputs["waveform"].CopyFrom(tf.make_tensor_proto(np.float32([[0.25, -0.5, 1]])))
    response.outputs["log_power"].MergeFrom(tensor_pb2.TensorProto(
        dtype=1, tensor_shape=tf.TensorShape([1, 2]).as_proto(), float_val=[3, 4]))

and `SerializeToString(deterministic=True)` of log and response.
"""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tensorflow.core.framework import tensor_pb2

from pnet_tf import serving_messages

LOG = bytes.fromhex(
    "325f0a5d0a0f0a0676696f6c696e1a05617564696f122f0a097069616e6f726f6c6c12220801120c12020801120208021202080222100000"
    "00000000803f0000803f0000003f120f0a04736565641207080312003a01071a0877617665666f726d"
)
RESPONSE = bytes.fromhex(
    "0a230a096c6f675f706f77657212160801120812020801120208022a0800004040000080400a260a0877617665666f726d121a0801120812"
    "02080112020803220c0000803e000000bf0000803f12080a0676696f6c696e"
)
ROLL = np.array([[[0, 1], [1, 0.5]]], np.float32)


def test_a_record_has_the_bytes_of_the_serving_package():
    inputs = {"pianoroll": ROLL, "seed": np.array(7, np.int32)}
    request = serving_messages.predict_request("audio", inputs, model="violin", outputs=("waveform",))
    assert serving_messages.warm_up_record(request) == LOG


def test_what_the_serving_package_wrote_is_read():
    signature, inputs = serving_messages.request_of_record(LOG)
    assert signature == "audio" and inputs.keys() == {"pianoroll", "seed"}
    np.testing.assert_array_equal(inputs["pianoroll"], ROLL)
    assert inputs["seed"].shape == () and inputs["seed"] == 7 and inputs["seed"].dtype == np.int32
    outputs = serving_messages.outputs_of_response(RESPONSE)
    np.testing.assert_array_equal(outputs["waveform"], np.float32([[0.25, -0.5, 1]]))
    np.testing.assert_array_equal(outputs["log_power"], np.float32([[3, 4]]))


@given(st.one_of(
    arrays.arrays(np.float32, arrays.array_shapes(min_dims=0, min_side=0, max_side=6), elements=st.sampled_from([0, 1, -1])),
    arrays.arrays(np.int32, arrays.array_shapes(min_dims=0, max_side=4), elements=st.integers(-9, 9)),
))  # fmt: skip
def test_a_tensor_is_read_back_as_it_was_by_this_and_by_tensorflow(array):
    tensor = serving_messages._tensor(array)
    np.testing.assert_array_equal(serving_messages._array(tensor), array)
    if array.size:  # of an empty one TensorFlow asks for bytes
        theirs = tf.make_ndarray(tensor_pb2.TensorProto.FromString(tensor.SerializeToString()))
        np.testing.assert_array_equal(theirs, array)
        assert theirs.dtype == array.dtype


def test_a_roll_that_ends_in_silence_is_small():
    roll = np.zeros((1, 1000, 128), np.float32)
    roll[0, :10] = 1
    assert len(serving_messages._tensor(roll).SerializeToString()) < 11 * 128 * 4


def test_other_types_are_refused():
    with pytest.raises(ValueError, match="float64: only float32 and int32 are sent"):
        serving_messages.predict_request("sound", {"pianoroll": np.zeros(3)})


@pytest.mark.parametrize(
    "tensor",
    [
        {"dtype": 7},
        {"dtype": 1, "tensor_shape": {"dim": [{"size": 2}]}, "float_val": [1, 2, 3]},
        {"dtype": 1, "tensor_shape": {"dim": [{"size": 2}]}},
        {"dtype": 1, "tensor_shape": {"dim": [{"size": 2}]}, "tensor_content": b"1234"},
    ],
)
def test_a_tensor_that_is_not_what_it_says_is_refused(tensor):
    response = serving_messages._message("PredictResponse")()
    response.outputs["waveform"].CopyFrom(serving_messages._message("Tensor")(**tensor))
    with pytest.raises(ValueError):
        serving_messages.outputs_of_response(response.SerializeToString())


def test_bytes_that_are_no_message_are_refused():
    with pytest.raises(ValueError, match="no PredictionLog of TensorFlow Serving"):
        serving_messages.request_of_record(b"\xff\xff\xff")
