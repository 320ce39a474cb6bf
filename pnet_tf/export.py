"""Run folder to SavedModel: inference alone, explicit signatures, and the spec inside."""

import contextlib
import functools
import json
import logging
import os
import pathlib
import re
import tempfile
from collections.abc import Iterator

import keras
import tensorflow as tf

from pnet_tf import checkpoint, griffin_lim, hiss_gate, stft, unet
from pnet_tf import spec as spec_room
from pnet_tf.errors import InputError
from pnet_tf.run_folder import Run, open_run
from pnet_tf.savedmodel import VOICE_NAME
from pnet_tf.spec import FeatureSpec
from pnet_tf.voice_level import loudness_of_voice

_REMARKS = re.compile(r"Function `.*` contains input name|Sharding callback duration|Writing fingerprint")
_ITERATIONS_TO_MEASURE = 4


class ExportedVoice(tf.Module):
    """What a SavedModel holds: the weights, and the functions behind its signatures."""

    def __init__(self, model: keras.Model, spec: FeatureSpec, assets: pathlib.Path) -> None:
        super().__init__(name="voice")
        self._spec = spec
        # Behind a function, or TensorFlow would follow the model too and write every weight twice.
        self._draw = lambda rolls: model(rolls, training=False)
        self.variables_of_model = [variable.value for variable in model.weights]
        self.spec_asset = tf.saved_model.Asset(str(assets / spec_room.FILE_NAME))
        self.voice_asset = tf.saved_model.Asset(str(assets / VOICE_NAME))

    def spectrogram(self, pianoroll: tf.Tensor, onset_offset: tf.Tensor) -> dict[str, tf.Tensor]:
        """Rolls, float32 [batch, frames, n_pitches], to `log_power`, float32 [batch, frames, bins]."""
        rolls = {"pianoroll": pianoroll, "onset_offset": onset_offset}
        return {"log_power": self._draw(rolls)}

    def inversion(self, log_power: tf.Tensor, iterations: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Log power, float32 [batch, frames, bins], to `waveform`, float32 [batch, (frames - 1) * hop_samples].

        The seed is there for a random phase start; the one that is taken is not random.
        """
        magnitude = stft.magnitude_from_log_power(log_power, self._spec)
        return {"waveform": griffin_lim.griffin_lim(magnitude, self._spec, iterations=iterations, seed=seed)}

    def audio(
        self, pianoroll: tf.Tensor, onset_offset: tf.Tensor, iterations: tf.Tensor, seed: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Rolls, float32 [batch, frames, n_pitches], to `log_power` as drawn and, without hiss, `waveform`; both as above."""
        log_power = self.spectrogram(pianoroll, onset_offset)["log_power"]
        gain = hiss_gate.rest_gain(tf.reduce_any(pianoroll > 0, axis=2), self._spec)
        return {"log_power": log_power, **self.inversion(hiss_gate.gate(log_power, gain), iterations, seed)}

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """The signatures by name; lengths and batch are free."""
        rolls = {
            name: tf.TensorSpec([None, None, self._spec.n_pitches], tf.float32, name=name)
            for name in ("pianoroll", "onset_offset")
        }
        settings = {name: tf.TensorSpec([], tf.int32, name=name) for name in ("iterations", "seed")}
        log_power = tf.TensorSpec([None, None, self._spec.n_bins], tf.float32, name="log_power")
        spectrogram = tf.function(self.spectrogram, autograph=False).get_concrete_function(**rolls)
        return {
            "spectrogram": spectrogram,
            "audio": tf.function(self.audio, autograph=False).get_concrete_function(**rolls, **settings),
            "inversion": tf.function(self.inversion, autograph=False).get_concrete_function(log_power, **settings),
            "serving_default": spectrogram,
        }


def export_savedmodel(run_dir: pathlib.Path, out: pathlib.Path) -> pathlib.Path:
    """Writes the best weights of a run as a SavedModel that loads without this package.

    Args:
      run_dir: a run folder whose training has had a validation.
      out: the SavedModel; must not exist, or be an empty folder.

    Returns:
      `out`.

    Raises:
      InputError: the run cannot be read, or `out` is taken.
    """
    run = open_run(run_dir)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: exists already and is not empty; give another --out, or remove it")
    model = model_of_run(run)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{out}: cannot make its folder ({error.strerror}); give another --out") from error
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        # The folders are named apart: SavedModel copies each asset by its file name.
        assets, partial = pathlib.Path(scratch, "facts"), pathlib.Path(scratch, "model")
        assets.mkdir()
        (assets / spec_room.FILE_NAME).write_text(run.spec.to_json(), encoding="utf-8")
        (assets / VOICE_NAME).touch()
        voice = ExportedVoice(model, run.spec, assets)
        facts = dict(run.voice) | {"loudness_lufs": _loudness(voice, run)}
        (assets / VOICE_NAME).write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        with _tensorflow_quiet():
            tf.saved_model.save(voice, str(partial), signatures=voice.signatures())
        if out.is_dir():
            out.rmdir()
        os.replace(partial, out)
    return out


def _loudness(voice: ExportedVoice, run: Run) -> float | None:
    """Mean loudness of what the voice plays, LUFS to a hundredth."""
    audio = functools.partial(voice.audio, iterations=tf.constant(_ITERATIONS_TO_MEASURE), seed=tf.constant(0))
    facts = {name: run.voice[name] for name in ("pitch_frames", "window_frames")}
    lufs = loudness_of_voice(audio, run.spec, **facts)
    return None if lufs is None else round(lufs, 2)


@contextlib.contextmanager
def _tensorflow_quiet() -> Iterator[None]:
    """Keeps three remarks that TensorFlow makes on every saving from the user; whatever else it says comes through."""

    def worth_saying(record: logging.LogRecord) -> bool:
        """Whether the record is none of those remarks."""
        return not _REMARKS.match(record.getMessage())

    logger = logging.getLogger("absl")
    logger.addFilter(worth_saying)
    try:
        yield
    finally:
        logger.removeFilter(worth_saying)


def model_of_run(run: Run) -> keras.Model:
    """The network of a run with its best weights.

    Raises:
      InputError: there are none, or they belong to another network.
    """
    model = unet.build_performance_net(run.spec, run.config)
    checkpoint.load_weights(run.best_weights, model)
    return model
