"""An opened voice, whatever draws it: what a score is performed with."""

import dataclasses
from collections.abc import Callable
from typing import Any

from pnet_tf.spec import FeatureSpec

RUNTIMES = ("tensorflow", "onnx")
RUNTIME_CHOICES = ("auto", *RUNTIMES)


@dataclasses.dataclass(frozen=True)
class Voice:
    """An opened voice.

    Attributes:
      draw: the network; from `pianoroll` and `onset_offset`, float32 [batch, frames, n_pitches], both given by name, to log
        power, float32 [batch, frames, bins], an array or a tensor that `numpy.asarray` takes.
      spec: its feature spec.
      instrument: what it sounds like.
      pitch_frames: frames in which it heard each MIDI pitch in training, [n_pitches].
      window_frames: length of the windows it was trained on.
      loudness_lufs: mean loudness of what it plays, measured at export; None where that was not known.
      noise_floor: log power of its recordings' noise, [bins]; None where that was not known.
      ceiling: log power that its recordings hardly ever exceeded, [bins]; None where that was not known.
      peaks: log power that it draws, and what is added to it there, so that its loudest is as loud as its recordings' loudest,
        [2, points]; None for nothing.
      runtime: what draws it and turns it into sound, one of `RUNTIMES`.
    """

    draw: Callable[..., Any]
    spec: FeatureSpec
    instrument: str
    pitch_frames: tuple[int, ...]
    window_frames: int
    loudness_lufs: float | None = None
    noise_floor: tuple[float, ...] | None = None
    ceiling: tuple[float, ...] | None = None
    peaks: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    runtime: str = "tensorflow"

    @property
    def heard(self) -> frozenset[int]:
        """The pitches heard in training."""
        return frozenset(pitch for pitch, n_frames in enumerate(self.pitch_frames) if n_frames)
