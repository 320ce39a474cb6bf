"""`FeatureSpec`: every number that training and use must share, its JSON form, its digest, and how two are compared."""

import dataclasses
import hashlib
import json
import math
from fractions import Fraction
from typing import Any

from pnet_tf.errors import InputError
from pnet_tf.files import read_small
from pnet_tf.remote import AnyPath, path_of

FILE_NAME = "feature_spec.json"
# Beyond these float32 has no room for a loud bin or a quiet one.
_LEAST_GAIN, _MOST_GAIN = 1e-6, 1e9
_ONLY = {
    "window": ("hann_periodic",),
    "frame_alignment": ("centred",),
    "pad_mode": ("zeros",),
    "target_scale": ("log1p_power",),
    "onset_encoding": ("onset_plus_offset_minus",),
}


class SpecMismatchError(InputError):
    """Two feature specs that have to agree do not; the message names the field, both values and both places."""


@dataclasses.dataclass(frozen=True)
class FeatureSpec:
    """How a waveform becomes a target and a score becomes a roll.

    Attributes:
      schema_version: raised whenever feature code changes what it computes from the same numbers.
      sample_rate_hz: rate of every waveform.
      n_fft: samples in an analysis frame, also the length of the window.
      hop_samples: samples from one frame to the next.
      window: `hann_periodic`.
      frame_alignment: `centred`, frame `t` is centred on sample `t * hop_samples`.
      pad_mode: `zeros`, what lies beyond the ends of a waveform.
      target_scale: `log1p_power`, the target is `log1p((target_gain * |STFT|) ** 2)`.
      target_gain: the factor before the logarithm; a higher one lets the loss hear quieter partials.
      level_rms: the level, as RMS over the frames in which notes sound, that each recording is brought to.
      n_pitches: MIDI pitches in a roll.
      onset_encoding: `onset_plus_offset_minus`, +1 at an onset and -1 at an offset.
    """

    schema_version: int = 1
    sample_rate_hz: int = 44100
    n_fft: int = 2048
    hop_samples: int = 256
    window: str = "hann_periodic"
    frame_alignment: str = "centred"
    pad_mode: str = "zeros"
    target_scale: str = "log1p_power"
    target_gain: float = 100.0
    level_rms: float = 0.05
    n_pitches: int = 128
    onset_encoding: str = "onset_plus_offset_minus"

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type is float and type(value) is int:
                object.__setattr__(self, field.name, value := float(value))
            if type(value) is not field.type:
                raise InputError(
                    f"feature spec: {field.name} is {value!r}, expected a value of type {field.type.__name__}"
                )
            if field.type is not str and not (math.isfinite(value) and value > 0):
                raise InputError(f"feature spec: {field.name} is {value!r}, expected a number above 0")
        for name, allowed in _ONLY.items():
            if getattr(self, name) not in allowed:
                raise InputError(
                    f"feature spec: {name} is {getattr(self, name)!r}, this version knows {', '.join(allowed)}"
                )
        if not _LEAST_GAIN <= self.target_gain <= _MOST_GAIN:
            raise InputError(
                f"feature spec: target_gain is {self.target_gain!r}, expected {_LEAST_GAIN:g} to {_MOST_GAIN:g}"
            )
        if self.n_fft % 2 or self.n_fft % self.hop_samples or self.n_fft < 2 * self.hop_samples:
            raise InputError(
                f"feature spec: n_fft {self.n_fft} must be even and a multiple of hop_samples {self.hop_samples}, "
                "at least twice it"
            )

    @property
    def n_bins(self) -> int:
        """Frequency bins of a frame; all of them are used."""
        return self.n_fft // 2 + 1

    @property
    def frame_rate_hz(self) -> Fraction:
        """Frames a second, exact: 172.265625 for the default, never 172."""
        return Fraction(self.sample_rate_hz, self.hop_samples)

    def n_frames(self, n_samples: int) -> int:
        """Frames of a waveform of `n_samples`: one for every hop that begins in it, and one more (as librosa counts)."""
        return 1 + n_samples // self.hop_samples

    def n_samples(self, n_frames: int) -> int:
        """Samples that the inverse of `n_frames` frames gives: `(n_frames - 1) * hop_samples`."""
        return max(n_frames - 1, 0) * self.hop_samples

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, one field a line, a newline at the end."""
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True) + "\n"

    def digest(self) -> str:
        """SHA-256 of the canonical JSON, in hexadecimal."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @classmethod
    def from_json(cls, text: str | bytes, *, where: str) -> "FeatureSpec":
        """The spec that `to_json` wrote.

        Args:
          text: JSON.
          where: the file or object it came from, for messages.

        Raises:
          InputError: the text is no JSON object, or a field is missing, unknown, of a wrong type or out of range.
        """
        try:
            fields: Any = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{where}: not a feature spec (no JSON: {error})") from error
        if not isinstance(fields, dict):
            raise InputError(f"{where}: not a feature spec (expected a JSON object)")
        known = {field.name for field in dataclasses.fields(cls)}
        if set(fields) != known:
            missing, unknown = sorted(known - set(fields)), sorted(set(fields) - known)
            raise InputError(f"{where}: not a feature spec of this version (missing {missing}, unknown {unknown})")
        try:
            return cls(**fields)
        except (InputError, OverflowError) as error:
            raise InputError(f"{where}: {error}") from error

    @classmethod
    def read(cls, folder: AnyPath) -> "FeatureSpec":
        """The spec stored in a shard set, run folder or SavedModel's folder.

        Raises:
          InputError: there is none, or it is not readable.
        """
        path = path_of(folder) / FILE_NAME
        try:
            text = read_small(path)
        except OSError as error:
            raise InputError(f"{path}: cannot read the feature spec ({error.strerror})") from error
        return cls.from_json(text, where=str(path))


def require_same(ours: FeatureSpec, theirs: FeatureSpec, *, our_place: str, their_place: str) -> None:
    """Checks that two specs are equal wherever two of them meet.

    Raises:
      SpecMismatchError: naming each field that differs, both values and both places.
    """
    differences = [
        f"{field.name} is {getattr(ours, field.name)!r} in {our_place} and {getattr(theirs, field.name)!r} in {their_place}"
        for field in dataclasses.fields(ours)
        if getattr(ours, field.name) != getattr(theirs, field.name)
    ]
    if differences:
        raise SpecMismatchError("feature specs differ: " + "; ".join(differences) + " (prepare the data again, or train anew)")
