"""What TensorBoard shows of a training."""

import functools
import os
import pathlib
import socket
import time
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from pnet_tf import stft, window_picture
from pnet_tf.griffin_lim import griffin_lim
from pnet_tf.spec import FeatureSpec

_ITERATIONS = 32


class Summaries:
    """Curves, texts, pictures and sounds of one run, for `tensorboard --logdir=runs`.

    Whatever is added is on the disk when the call returns.
    """

    def __init__(self, folder: pathlib.Path | None, *, going_on_from: int = 0) -> None:
        """Opens an event file.

        Args:
          folder: where; None shows nothing, as `silent` does.
          going_on_from: optimizer steps taken before; what a killed training showed of later ones is withdrawn.
        """
        self._is_silent = folder is None
        if folder is not None and any(folder.glob("events.out.tfevents.*")):
            _withdraw_after(folder, going_on_from)
        self._writer = tf.summary.create_noop_writer() if folder is None else tf.summary.create_file_writer(str(folder))
        self._heard_targets: set[str] = set()

    @classmethod
    def silent(cls) -> "Summaries":
        """Summaries that nobody sees, for the workers beside the chief: no file, and no time spent on pictures."""
        return cls(None)

    def curves(self, values: Mapping[str, float], *, step: int) -> None:
        """Adds a point to each named curve.

        Args:
          values: curve name (with a `/` for its group) to value.
          step: optimizer steps taken.
        """
        with self._writer.as_default(step):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        self._writer.flush()

    def text(self, name: str, markdown: str) -> None:
        """Shows a text at step 0."""
        with self._writer.as_default(0):
            tf.summary.text(name, markdown)
        self._writer.flush()

    def describe_run(self, *, flag_text: str, spec: FeatureSpec, config_json: str, versions: Mapping[str, str]) -> None:
        """Shows what a run is made from: `run/flags`, `run/feature_spec`, `run/network` and `run/versions`.

        Args:
          flag_text: the resolved flags, as a flag file.
          spec: of the data.
          config_json: of the network.
          versions: package to version.
        """
        self.text("run/flags", code_block(flag_text))
        self.text("run/feature_spec", code_block(spec.to_json()))
        self.text("run/network", code_block(config_json))
        self.text("run/versions", table(versions))

    def window(
        self,
        name: str,
        *,
        pianoroll: np.ndarray,
        onset_offset: np.ndarray,
        target: np.ndarray,
        prediction: np.ndarray,
        spec: FeatureSpec,
        start_sec: float,
        title: str,
        step: int,
    ) -> None:
        """Shows and plays one window: `windows/<name>`, `audio/<name>/prediction` and `audio/<name>/target`.

        Both sounds are inverted alike from log power, so that they differ by what the network says alone. The target's
        is written at the first call with its name only: it never changes.

        Args:
          name: of the window; the same at each step.
          pianoroll: float [frames, n_pitches], above 0 where a pitch sounds.
          onset_offset: float [frames, n_pitches], +1 at an onset, -1 at an offset.
          target: log power, float32 [frames, bins].
          prediction: log power as the network says it, float32 [frames, bins]; any values.
          spec: of the data.
          start_sec: where the window begins in its recording.
          title: the first line of the picture.
          step: optimizer steps taken.
        """
        if self._is_silent:
            return
        pixels = window_picture.draw_window(
            pianoroll=pianoroll,
            onset_offset=onset_offset,
            target=target,
            prediction=prediction,
            spec=spec,
            start_sec=start_sec,
            title=title,
        )
        with self._writer.as_default(step):
            tf.summary.image(f"windows/{name}", pixels[np.newaxis])
            self._sound(f"audio/{name}/prediction", prediction, spec)
            if name not in self._heard_targets:
                self._sound(f"audio/{name}/target", target, spec)
                self._heard_targets.add(name)
        self._writer.flush()

    def _sound(self, name: str, log_power: np.ndarray, spec: FeatureSpec) -> None:
        waveform = _inversion(spec)(tf.constant(log_power, tf.float32))
        tf.summary.audio(name, waveform[tf.newaxis, :, tf.newaxis], spec.sample_rate_hz, encoding="wav")

    def close(self) -> None:
        """Ends the event file."""
        self._writer.close()


def _withdraw_after(folder: pathlib.Path, step: int) -> None:
    """Tells TensorBoard, by an event file of its own, that a training goes on and its later points are to be forgotten.

    The file sorts behind those that are there and before the one that follows.
    """
    now = time.time()
    # Step 0 has texts and the loss to beat, which a training that begins again writes again.
    restart = tf.compat.v1.Event(
        wall_time=now, step=step + 1 if step else 0, session_log=tf.compat.v1.SessionLog(status=tf.compat.v1.SessionLog.START)
    )
    path = folder / f"events.out.tfevents.{int(now)}.{socket.gethostname()}.{os.getpid()}.0.restart"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(tf.compat.v1.Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
        # TensorBoard takes the first start that it sees for the beginning of the run.
        writer.write(restart.SerializeToString())
        writer.write(restart.SerializeToString())


@functools.cache
def _inversion(spec: FeatureSpec) -> tf.types.experimental.PolymorphicFunction:
    """A graph from log power, any float32 [frames, bins], to a waveform, float32 [(frames - 1) * hop_samples].

    The waveform is as loud as the log power says, or scaled down to a peak of 1. Each length of window is traced once.
    """

    @tf.function
    def invert(log_power: tf.Tensor) -> tf.Tensor:
        """Float32 [frames, bins] to [samples]; what is NaN is silent."""
        said = tf.where(tf.math.is_nan(log_power), 0.0, log_power)
        magnitude = stft.magnitude_from_log_power(said[tf.newaxis], spec)
        waveform = griffin_lim(magnitude, spec, iterations=_ITERATIONS)[0]
        return waveform / tf.maximum(tf.reduce_max(tf.abs(waveform)), 1.0)

    return invert


def table(values: Mapping[str, object]) -> str:
    """A mapping as a table in Markdown, in its own order."""
    rows = (f"| `{name}` | `{value}` |" for name, value in values.items())
    return "\n".join(["| name | value |", "|---|---|", *rows])


def code_block(text: str) -> str:
    """A text as Markdown that shows it letter by letter."""
    return "\n".join(f"    {line}" for line in text.splitlines())
