"""The warm-up requests of an exported model: one for each signature, and each is answered."""

import numpy as np
import pytest
import tensorflow as tf

from pnet_tf import serving_messages, serving_warm_up
from pnet_tf.spec import FeatureSpec

SPEC = FeatureSpec()


def requests_in(path):
    assert path.stat().st_size < 100_000
    return [serving_messages.request_of_record(record.numpy()) for record in tf.data.TFRecordDataset(str(path))]


@pytest.mark.slow
def test_each_signature_has_one_and_each_gives_sound_or_a_spectrogram(tiny_served):
    requests = requests_in(tiny_served / "1" / "assets.extra" / "tf_serving_warmup_requests")
    signatures = tf.saved_model.load(str(tiny_served / "1")).signatures
    assert sorted(name for name, _ in requests) == sorted(signatures)
    for name, inputs in requests:
        answers = signatures[name](**{key: tf.constant(value) for key, value in inputs.items()})
        assert answers
        for key, answer in answers.items():
            answer = answer.numpy()
            assert len(answer) == 1 and np.isfinite(answer).all() and np.abs(answer).max() > 1e-6, (name, key)


def test_what_is_written_is_what_is_read(tmp_path):
    serving_warm_up.write_warm_up(tmp_path / "requests", SPEC, model="violin")
    wanted = serving_warm_up.warm_up_inputs(SPEC)
    requests = requests_in(tmp_path / "requests")
    assert [name for name, _ in requests] == list(wanted)
    for name, inputs in requests:
        assert inputs.keys() == wanted[name].keys()
        for key, value in inputs.items():
            np.testing.assert_array_equal(value, wanted[name][key])


def test_two_exports_have_the_same_requests(tmp_path):
    for name in ("a", "b"):
        serving_warm_up.write_warm_up(tmp_path / name, SPEC, model="violin")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
