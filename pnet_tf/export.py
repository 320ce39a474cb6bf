"""Trained weights to a SavedModel (inference alone, explicit signatures, the spec inside) or to a voice folder."""

import contextlib
import dataclasses
import errno
import functools
import json
import logging
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
from absl import logging as absl_logging

from pnet_tf import checkpoint, dataset, griffin_lim, hiss_gate, serving_warm_up, stft, voice_folder
from pnet_tf import spec as spec_room
from pnet_tf.errors import InputError
from pnet_tf.peak_levels import peak_levels
from pnet_tf.remote import AnyPath
from pnet_tf.shard_set import ShardSet, open_shard_set
from pnet_tf.spec import FeatureSpec, require_same
from pnet_tf.trained import Trained, open_trained
from pnet_tf.voice_folder import VOICE_NAME
from pnet_tf.voice_level import loudness_of_voice

_REMARKS = re.compile(r"Function `.*` contains input name|Sharding callback duration|Writing fingerprint")
_ITERATIONS_TO_MEASURE = 4
# Where TensorFlow keeps what belongs to a SavedModel and is not loaded with it.
_EXTRA_NAME = "assets.extra"
# What the gate of a voice takes, in its order.
_LEVELS = ("noise_floor", "ceiling", "peaks")


@dataclasses.dataclass(frozen=True)
class Sounding:
    """How an export is to sound, where its weights leave a choice.

    Attributes:
      sounds_like: as for `Trained.for_use`.
      levels: whether it keeps the recordings' noise floor and ceiling, and a rise of peaks; without them it sounds as the network
        draws.
      match_peaks: shard set that it was trained on: what it draws loudest rises to what that has (`peak_levels`).
    """

    sounds_like: Sequence[str] = ()
    levels: bool = True
    match_peaks: AnyPath | None = None


class ExportedVoice(tf.Module):
    """What a SavedModel holds: the weights, and the functions behind its signatures."""

    def __init__(self, model: keras.Model, spec: FeatureSpec, assets: pathlib.Path, facts: Mapping[str, Any]) -> None:
        super().__init__(name="voice")
        self._spec = spec
        self._levels = hiss_gate.levels(*(facts.get(name) for name in _LEVELS))
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
        return {"log_power": log_power, **self.inversion(hiss_gate.gate(log_power, gain, **self._levels), iterations, seed)}

    def signatures(self, *, for_servers: bool = False) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """The signatures by name; lengths and batch are free. `sound` is for servers alone: loading it takes 0.3 s."""
        rolls = {
            name: tf.TensorSpec([None, None, self._spec.n_pitches], tf.float32, name=name)
            for name in ("pianoroll", "onset_offset")
        }
        settings = {name: tf.TensorSpec([], tf.int32, name=name) for name in ("iterations", "seed")}
        log_power = tf.TensorSpec([None, None, self._spec.n_bins], tf.float32, name="log_power")
        spectrogram = tf.function(self.spectrogram, autograph=False).get_concrete_function(**rolls)
        audio = tf.function(self.audio, autograph=False).get_concrete_function(**rolls, **settings)
        signatures = {
            "spectrogram": spectrogram,
            "audio": audio,
            "inversion": tf.function(self.inversion, autograph=False).get_concrete_function(log_power, **settings),
            "serving_default": spectrogram,
        }
        if for_servers:
            signatures["sound"] = _with_fixed_settings(audio).get_concrete_function(**rolls)
        return signatures


def _with_fixed_settings(
    audio: tf.types.experimental.ConcreteFunction,
) -> tf.types.experimental.PolymorphicFunction:
    """`audio` without its scalars: a server that batches requests wants a batch of every input."""

    def sound(pianoroll: tf.Tensor, onset_offset: tf.Tensor) -> dict[str, tf.Tensor]:
        """Rolls, float32 [batch, frames, n_pitches], to `waveform` alone, float32 [batch, (frames - 1) * hop_samples]."""
        fixed = {"iterations": tf.constant(griffin_lim.ITERATIONS), "seed": tf.constant(0)}
        return {"waveform": audio(pianoroll=pianoroll, onset_offset=onset_offset, **fixed)["waveform"]}

    return tf.function(sound, autograph=False)


def export_savedmodel(source: str | pathlib.Path, out: pathlib.Path, sounding: Sounding = Sounding()) -> pathlib.Path:
    """Writes trained weights as a SavedModel that loads without this package.

    Args:
      source: a run folder whose training has had a validation, a voice folder, or the name of a shipped voice.
      out: the SavedModel; must not exist, or be an empty folder.
      sounding: how it is to sound.

    Returns:
      `out`.

    Raises:
      InputError: the source cannot be read, or `out` is taken.
    """
    _write_savedmodel(out, *_open_for(source, out, sounding))
    return out


def export_served(source: str | pathlib.Path, out: pathlib.Path, sounding: Sounding = Sounding()) -> pathlib.Path:
    """Writes trained weights as TensorFlow Serving wants them: with the signature `sound`, and requests to warm up with.

    Args:
      source: as for `export_savedmodel`.
      out: the folder of all versions; one with the next number is made in it, 1 at first.
      sounding: how it is to sound.

    Returns:
      The folder of the new version.

    Raises:
      InputError: the source cannot be read, or no version can be made in `out`.
    """
    version = out / str(max(voice_folder.versions(out), default=0) + 1)
    _write_savedmodel(version, *_open_for(source, version, sounding), for_servers=True)
    return version


def _write_savedmodel(out: pathlib.Path, trained: Trained, model: keras.Model, *, for_servers: bool = False) -> None:
    with _appearing_whole(out) as (partial, scratch):
        voice = _voice_in(scratch, model, trained)
        facts = dict(trained.facts) | {"loudness_lufs": _loudness(voice, trained)}
        (scratch / VOICE_NAME).write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        with _tensorflow_quiet():
            tf.saved_model.save(voice, str(partial), signatures=voice.signatures(for_servers=for_servers))
        _copy(trained.papers, partial / _EXTRA_NAME)
        if for_servers:
            (partial / _EXTRA_NAME).mkdir(exist_ok=True)
            warm_up = partial / _EXTRA_NAME / serving_warm_up.FILE_NAME
            serving_warm_up.write_warm_up(warm_up, trained.spec, model=trained.facts["instrument"])


def export_voice(source: str | pathlib.Path, out: pathlib.Path, sounding: Sounding = Sounding()) -> pathlib.Path:
    """Writes trained weights as a voice folder, in float16; arguments, result and errors as `export_savedmodel`."""
    trained, model = _open_for(source, out, sounding)
    with _appearing_whole(out) as (partial, scratch):
        partial.mkdir()
        voice_folder.write_weights(partial, checkpoint.weights_of(model))
        voice_folder.load_weights(partial, model)  # what is measured is what will sound
        facts = dict(trained.facts) | {"loudness_lufs": _loudness(_voice_in(scratch, model, trained), trained)}
        voice_folder.write_facts(partial, trained.spec, trained.config, facts)
        _copy(trained.papers, partial)
    return out


def _copy(papers: Sequence[pathlib.Path], folder: pathlib.Path) -> None:
    """Copies files into a folder, which is made where there are any."""
    for path in papers:
        folder.mkdir(exist_ok=True)
        shutil.copyfile(path, folder / path.name)


def _open_for(source: str | pathlib.Path, out: pathlib.Path, sounding: Sounding) -> tuple[Trained, keras.Model]:
    """What is exported, and its network; raises InputError where it cannot be read, or where `out` is taken."""
    trained = open_trained(source)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: exists already and is not empty; give another --out, or remove it")
    if not sounding.levels:
        # Nor how loud it is, which was measured with them.
        facts = {name: fact for name, fact in trained.facts.items() if name not in (*_LEVELS, "loudness_lufs")}
        trained = dataclasses.replace(trained, facts=facts)
    if not sounding.levels or sounding.match_peaks is not None:
        # A card's figures are not of what is made here.
        trained = dataclasses.replace(trained, has_card=False)
    trained, model = trained.for_use(sounding.sounds_like)
    if sounding.match_peaks is not None:
        trained = _with_peaks(trained, model, open_shard_set(sounding.match_peaks), sounding.sounds_like)
    return trained, model


def _with_peaks(trained: Trained, model: keras.Model, shards: ShardSet, sounds_like: Sequence[str]) -> Trained:
    """With the curve that brings what the network draws loudest to the recordings; how loud it is, is measured anew."""
    require_same(trained.spec, shards.spec, our_place=str(trained.folder), their_place=str(shards.folder))
    if shards.manifest.instrument != trained.facts["instrument"]:
        raise InputError(f"{shards.folder}: holds {shards.manifest.instrument}, and this is {trained.facts['instrument']}")
    plan = dataset.plan_windows(shards, "train", window_frames=trained.facts["window_frames"])
    with dataset.shards_named(shards):
        peaks = peak_levels(model, shards, plan, sounds_like)
    if peaks is None:
        absl_logging.warning("%s: draws too little of its own to match its peaks; they stay as they are drawn", trained.folder)
    facts = {name: fact for name, fact in trained.facts.items() if name != "loudness_lufs"}
    return dataclasses.replace(trained, facts={**facts, "peaks": peaks})


@contextlib.contextmanager
def _appearing_whole(out: pathlib.Path) -> Iterator[tuple[pathlib.Path, pathlib.Path]]:
    """A folder to be made in the block, which is `out` at its end, and one that is gone then; after an error both are.

    Raises:
      InputError: the folder of `out` cannot be made, or `out` was taken meanwhile.
    """
    out = out.absolute()  # "." has no name
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        beside = tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent)
    except (FileExistsError, FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{out}: cannot make its folder ({error.strerror}); give another --out") from error
    with beside as together:
        # The folders are named apart: SavedModel copies each asset by its file name.
        scratch, partial = pathlib.Path(together, "facts"), pathlib.Path(together, "whole")
        scratch.mkdir()
        yield partial, scratch
        try:
            if out.is_dir():
                out.rmdir()
            os.replace(partial, out)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            raise InputError(f"{out}: something else is there by now; give another --out") from error


def _voice_in(scratch: pathlib.Path, model: keras.Model, trained: Trained) -> ExportedVoice:
    """A voice whose assets lie in `scratch`; what the voice is, is still to be written there."""
    (scratch / spec_room.FILE_NAME).write_text(trained.spec.to_json(), encoding="utf-8")
    (scratch / VOICE_NAME).touch()
    return ExportedVoice(model, trained.spec, scratch, trained.facts)


def _loudness(voice: ExportedVoice, trained: Trained) -> float | None:
    """Mean loudness of what the voice plays, LUFS to a hundredth; of a voice folder it is known."""
    if "loudness_lufs" in trained.facts:
        return trained.facts["loudness_lufs"]
    audio = functools.partial(voice.audio, iterations=tf.constant(_ITERATIONS_TO_MEASURE), seed=tf.constant(0))
    facts = {name: trained.facts[name] for name in ("pitch_frames", "window_frames")}
    lufs = loudness_of_voice(audio, trained.spec, **facts)
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
