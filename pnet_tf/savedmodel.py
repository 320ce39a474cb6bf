"""Opening a voice, a SavedModel or a voice folder: its spec, what it heard in training, and how it draws."""

import dataclasses
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from pnet_tf import spec as spec_room
from pnet_tf import voice_folder
from pnet_tf.errors import InputError
from pnet_tf.spec import FeatureSpec
from pnet_tf.voice_folder import VOICE_NAME, WEIGHTS_NAME

_GRAPH_NAME = "saved_model.pb"
# A SavedModel is a program, and some of TensorFlow's operations read and write files, print, or run Python.
_REACHES_OUT = re.compile("File|PyFunc|Dataset|Iterator|Print|Send|Recv|Summary|Reader|Save|Restore|Checkpoint|Table|Queue|Rpc")
# Those that each SavedModel has to load its weights, and to save them anew, which nothing of ours asks for.
_OF_LOADING, _OF_SAVING = {"RestoreV2"}, {"SaveV2", "MergeV2Checkpoints", "ShardedFilename"}
_SAVES = "traced_save"


@dataclasses.dataclass(frozen=True)
class Voice:
    """An opened voice.

    Attributes:
      draw: the network; from `pianoroll` and `onset_offset`, float32 [batch, frames, n_pitches], both given by name, to log
        power, float32 [batch, frames, bins].
      spec: its feature spec.
      instrument: what it sounds like.
      pitch_frames: frames in which it heard each MIDI pitch in training, [n_pitches].
      window_frames: length of the windows it was trained on.
      loudness_lufs: mean loudness of what it plays, measured at export; None where that was not known.
      noise_floor: log power of its recordings' noise, [bins]; None where that was not known.
      ceiling: log power that its recordings hardly ever exceeded, [bins]; None where that was not known.
    """

    draw: Callable[..., tf.Tensor]
    spec: FeatureSpec
    instrument: str
    pitch_frames: tuple[int, ...]
    window_frames: int
    loudness_lufs: float | None = None
    noise_floor: tuple[float, ...] | None = None
    ceiling: tuple[float, ...] | None = None

    @property
    def heard(self) -> frozenset[int]:
        """The pitches heard in training."""
        return frozenset(pitch for pitch, n_frames in enumerate(self.pitch_frames) if n_frames)


def open_voice(folder: pathlib.Path) -> Voice:
    """Opens what `tools/export_savedmodel.py` wrote, in either format.

    Args:
      folder: a SavedModel or a voice folder.

    Raises:
      InputError: it is neither, it is not one of ours, or it is damaged.
    """
    folder = pathlib.Path(folder)
    if (folder / _GRAPH_NAME).exists():
        return _open_savedmodel(folder)
    if voice_folder.is_voice_folder(folder):
        return _open_folder(folder)
    raise InputError(
        f"{folder}: not a SavedModel (no saved_model.pb), nor a voice folder (no {WEIGHTS_NAME}); make one with "
        "tools/export_savedmodel.py"
    )


def _open_folder(folder: pathlib.Path) -> Voice:
    spec, config, facts = voice_folder.open_folder(folder)
    model = voice_folder.model_of_folder(folder, spec, config)
    rolls = [tf.TensorSpec([None, None, spec.n_pitches], tf.float32, name=name) for name in ("pianoroll", "onset_offset")]

    @tf.function(input_signature=rolls, autograph=False)
    def draw(pianoroll: tf.Tensor, onset_offset: tf.Tensor) -> tf.Tensor:
        """As `Voice.draw`: float32 [batch, frames, n_pitches], twice, to float32 [batch, frames, bins]."""
        return model({"pianoroll": pianoroll, "onset_offset": onset_offset}, training=False)

    return Voice(draw=draw, spec=spec, **facts)


def _open_savedmodel(folder: pathlib.Path) -> Voice:
    assets = folder / "assets"
    spec = FeatureSpec.read(assets) if (assets / spec_room.FILE_NAME).exists() else None
    if spec is None:
        raise InputError(f"{folder}: holds no {spec_room.FILE_NAME}; it was not made with tools/export_savedmodel.py")
    _require_only_numbers(folder)
    try:
        model = tf.saved_model.load(str(folder))
    except (OSError, ValueError, IndexError, tf.errors.OpError) as error:
        raise InputError(f"{folder}: damaged SavedModel ({error}); export it again") from error
    if "spectrogram" not in model.signatures:
        raise InputError(f"{folder}: has no signature spectrogram; export it again")
    drawn = model.signatures["spectrogram"].structured_outputs["log_power"].shape[-1]
    if drawn != spec.n_bins:
        raise InputError(f"{assets / spec_room.FILE_NAME}: has {spec.n_bins} bins, the model draws {drawn}; export it again")
    facts = voice_folder.read_facts(assets / VOICE_NAME, spec)

    def draw(*, pianoroll: tf.Tensor, onset_offset: tf.Tensor) -> tf.Tensor:
        """As `Voice.draw`: float32 [batch, frames, n_pitches], twice, to float32 [batch, frames, bins]."""
        return model.signatures["spectrogram"](pianoroll=pianoroll, onset_offset=onset_offset)["log_power"]

    return Voice(draw=draw, spec=spec, **facts)


def _require_only_numbers(folder: pathlib.Path) -> None:
    """Refuses a graph with operations that reach out of it, before TensorFlow loads it.

    Raises:
      InputError: it has one, or cannot be read.
    """
    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString((folder / _GRAPH_NAME).read_bytes())
    except (OSError, DecodeError) as error:
        raise InputError(f"{folder}: damaged SavedModel ({error}); export it again") from error
    for meta_graph in saved.meta_graphs:
        for function in meta_graph.graph_def.library.function:
            if wrong := next(_reaching_out(function), None):
                raise InputError(
                    f"{folder}: holds the operation {wrong}, which draws no sound: a SavedModel is a program, get one from "
                    "somebody you trust, or a voice folder, which is none"
                )


def _reaching_out(function: Any) -> Iterator[str]:
    """The operations of a function that touch files or the like, and calls of the one that saves."""
    own = _OF_LOADING | (_OF_SAVING if _SAVES in function.signature.name else set())
    for node in function.node_def:
        if _REACHES_OUT.search(node.op) and node.op not in own:
            yield node.op
        called = {value.func.name for value in node.attr.values()}
        called |= {item.name for value in node.attr.values() for item in value.list.func}
        yield from sorted(name for name in called if _SAVES in name)
