"""The requests by which TensorFlow Serving warms a model up before it answers: one of each signature, on 48 frames."""

import pathlib

import numpy as np
import tensorflow as tf

from pnet_tf.serving_messages import predict_request, warm_up_record
from pnet_tf.spec import FeatureSpec

# Where TensorFlow Serving looks for them: in the SavedModel's `assets.extra`.
FILE_NAME = "tf_serving_warmup_requests"
_FRAMES, _NOTE_FRAMES, _PITCH = 48, 8, 69
_ITERATIONS = 2


def write_warm_up(path: pathlib.Path, spec: FeatureSpec, *, model: str) -> None:
    """Writes the file: a TFRecord of PredictionLogs.

    Args:
      path: the file, in a folder that is there.
      spec: gives the number of pitches and bins.
      model: the name that the requests bear; a server does not look at it.

    Raises:
      OSError: it cannot be written.
    """
    records = [warm_up_record(predict_request(name, inputs, model=model)) for name, inputs in warm_up_inputs(spec).items()]
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)


def warm_up_inputs(spec: FeatureSpec) -> dict[str, dict[str, np.ndarray]]:
    """By signature, its inputs by name: float32 [1, frames, n_pitches] or [1, frames, n_bins], int32 []."""
    pianoroll, onset_offset = np.zeros((2, 1, _FRAMES, spec.n_pitches), np.float32)
    pianoroll[0, :_NOTE_FRAMES, _PITCH] = 1
    onset_offset[0, 0, _PITCH], onset_offset[0, _NOTE_FRAMES, _PITCH] = 1, -1
    rolls = {"pianoroll": pianoroll, "onset_offset": onset_offset}
    settings = {"iterations": np.array(_ITERATIONS, np.int32), "seed": np.array(0, np.int32)}
    log_power = np.zeros((1, _FRAMES, spec.n_bins), np.float32)
    log_power[0, :_NOTE_FRAMES] = 1
    return {
        "serving_default": rolls,
        "spectrogram": rolls,
        "audio": {**rolls, **settings},
        "sound": rolls,
        "inversion": {"log_power": log_power, **settings},
    }
