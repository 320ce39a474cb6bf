"""Opening an exported voice: the SavedModel, its spec and what it heard in training."""

import dataclasses
import json
import pathlib

import tensorflow as tf

from pnet_tf import spec as spec_room
from pnet_tf.errors import InputError
from pnet_tf.spec import FeatureSpec

VOICE_NAME = "voice.json"


@dataclasses.dataclass(frozen=True)
class Voice:
    """An opened SavedModel.

    Attributes:
      model: the loaded SavedModel, with `signatures`.
      spec: its feature spec.
      instrument: what it sounds like.
      pitch_frames: frames in which it heard each MIDI pitch in training, [n_pitches].
      window_frames: length of the windows it was trained on.
      loudness_lufs: mean loudness of what it plays, measured at export; None where that was not known.
    """

    model: object
    spec: FeatureSpec
    instrument: str
    pitch_frames: tuple[int, ...]
    window_frames: int
    loudness_lufs: float | None = None

    @property
    def heard(self) -> frozenset[int]:
        """The pitches heard in training."""
        return frozenset(pitch for pitch, n_frames in enumerate(self.pitch_frames) if n_frames)


def open_voice(folder: pathlib.Path) -> Voice:
    """Opens a SavedModel that `tools/export_savedmodel.py` wrote.

    Args:
      folder: the SavedModel.

    Raises:
      InputError: there is none, it is not one of ours, or it is damaged.
    """
    folder = pathlib.Path(folder)
    if not (folder / "saved_model.pb").exists():
        raise InputError(f"{folder}: not a SavedModel (no saved_model.pb); make one with tools/export_savedmodel.py")
    assets = folder / "assets"
    spec = FeatureSpec.read(assets) if (assets / spec_room.FILE_NAME).exists() else None
    if spec is None:
        raise InputError(f"{folder}: holds no {spec_room.FILE_NAME}; it was not made with tools/export_savedmodel.py")
    try:
        fields = json.loads((assets / VOICE_NAME).read_bytes())
        facts = {
            "instrument": str(fields["instrument"]),
            "pitch_frames": tuple(int(n) for n in fields["pitch_frames"]),
            "window_frames": int(fields["window_frames"]),
            "loudness_lufs": None if fields.get("loudness_lufs") is None else float(fields["loudness_lufs"]),
        }
        wild = not -200 < (facts["loudness_lufs"] or 0) < 200
        if facts["window_frames"] < 1 or len(facts["pitch_frames"]) != spec.n_pitches or wild:
            raise ValueError("numbers out of range")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{assets / VOICE_NAME}: cannot read what the voice is ({error!r}); export it again") from error
    try:
        model = tf.saved_model.load(str(folder))
    except (OSError, ValueError, IndexError, tf.errors.OpError) as error:
        raise InputError(f"{folder}: damaged SavedModel ({error}); export it again") from error
    if "spectrogram" not in model.signatures:
        raise InputError(f"{folder}: has no signature spectrogram; export it again")
    drawn = model.signatures["spectrogram"].structured_outputs["log_power"].shape[-1]
    if drawn != spec.n_bins:
        raise InputError(f"{assets / spec_room.FILE_NAME}: has {spec.n_bins} bins, the model draws {drawn}; export it again")
    return Voice(model=model, spec=spec, **facts)
