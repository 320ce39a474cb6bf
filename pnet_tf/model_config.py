"""What the network is, beside the feature spec: the plan of its layers, and the few numbers that a voice may choose.

For every runtime: it imports none.
"""

import dataclasses
import json

from pnet_tf.errors import InputError

NEGATIVE_SLOPE = 0.01
EPSILON = 1e-5
KERNEL_FRAMES = 3
# What follows a convolution: the paper's instance norm, or nothing.
NORMS = ("instance", "none")
FILE_NAME = "model_config.json"
N_PITCHES = 128
PRESETS = ("paper",)
_MOST_BLOCKS = 64
_MOST_RECORDINGS, _MOST_NAME_CHARACTERS, _MOST_SHOWN_CHARACTERS = 100_000, 255, 40


@dataclasses.dataclass(frozen=True)
class Plan:
    """Channels at width 1.0, level by level; level `n` runs at `1 / 2**n` of the frame rate."""

    encoder: tuple[int, ...] = (256, 512, 1024, 2048, 4096)
    condition: tuple[int, ...] = (256, 512, 1024)
    # From the bottom up: channels out, frames of the transposed kernel, level of the condition's output or None.
    decoder: tuple[tuple[int, int, int | None], ...] = ((2048, 6, 3), (1024, 4, 2), (1024, 3, None), (1024, 2, None))


PAPER = Plan()
FRAME_MULTIPLE = 2 ** (len(PAPER.encoder) - 1)


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """What the network is, beside the feature spec.

    Attributes:
      preset: the plan of its layers; `paper` is Wang & Yang's.
      width: factor on every number of hidden channels; 1.0 is the paper's.
      bands: number of bands of each multi-band residual block, in order.
      norm: what follows a convolution: `instance`, the paper's, which takes the level of each channel away over a window,
        or `none`, which keeps it and sees no further than the convolutions, and the spectra of notes, do.
      max_channels: no layer before the bins has more; None for the plan's own. The paper's bottom has 4096 at width 1.0.
      note_spectra: lowest and highest MIDI pitch that has spectra of its own, to which the plan's layers add, as
        `note_spectra.NoteSpectra` says; None for the plan alone.
      recordings: names of the training recordings whose own colour the spectra learn beside what all share. A voice has none: it
        is exported as one of them, or as their mean.
    """

    preset: str = "paper"
    width: float = 1.0
    bands: tuple[int, ...] = (2, 4, 8, 16)
    norm: str = "instance"
    max_channels: int | None = None
    note_spectra: tuple[int, int] | None = None
    recordings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "bands", tuple(self.bands))
        object.__setattr__(self, "width", float(self.width))
        object.__setattr__(self, "recordings", tuple(self.recordings))
        if self.note_spectra is not None:
            object.__setattr__(self, "note_spectra", tuple(self.note_spectra))
        if self.preset not in PRESETS:
            raise InputError(f"model config: preset is {self.preset!r}, this version knows {', '.join(PRESETS)}")
        if self.norm not in NORMS:
            raise InputError(f"model config: norm is {self.norm!r}, this version knows {', '.join(NORMS)}")
        if not 0 < self.width <= 4:
            raise InputError(f"model config: width is {self.width}, expected a number above 0 and at most 4")
        if self.max_channels is not None and (type(self.max_channels) is not int or self.max_channels < 1):
            raise InputError(f"model config: max_channels is {self.max_channels!r}, expected a whole number above 0 or none")
        self._require_plausible_spectra()
        hidden = self.channels(PAPER.decoder[-1][0])
        if len(self.bands) > _MOST_BLOCKS:
            raise InputError(f"model config: {len(self.bands)} blocks of bands, expected at most {_MOST_BLOCKS}")
        wrong = [n for n in self.bands if type(n) is not int or n < 1 or hidden % n]
        if wrong:
            raise InputError(
                f"model config: {hidden} hidden channels (width {self.width}) cannot be split into {wrong} equal bands; "
                "use a width, max_channels or bands that divide"
            )

    def _require_plausible_spectra(self) -> None:
        pitches, names = self.note_spectra, self.recordings
        if pitches is not None and (
            [type(pitch) for pitch in pitches] != [int, int] or not 0 <= pitches[0] <= pitches[1] < N_PITCHES
        ):
            shown = repr(pitches)[:_MOST_SHOWN_CHARACTERS]
            raise InputError(f"model config: note_spectra is {shown}, expected the lowest and the highest of MIDI's pitches")
        if names and pitches is None:
            raise InputError("model config: recordings have their own colour only where there are note_spectra")
        are_names = all(isinstance(name, str) and 0 < len(name) <= _MOST_NAME_CHARACTERS for name in names)
        if not are_names or len(set(names)) < len(names) or len(names) > _MOST_RECORDINGS:
            raise InputError("model config: recordings are no list of different names")

    def require_pitches(self, n_pitches: int, *, where: str) -> None:
        """Raises InputError, which names the file, where a pitch has a spectrum that no roll of so many pitches holds."""
        if self.note_spectra is not None and self.note_spectra[1] >= n_pitches:
            raise InputError(f"{where}: note_spectra is {self.note_spectra}, and a roll has {n_pitches} pitches; get it again")

    @property
    def n_spectra(self) -> int:
        """Pitches that have spectra of their own."""
        return 0 if self.note_spectra is None else self.note_spectra[1] - self.note_spectra[0] + 1

    def channels(self, at_full_width: int) -> int:
        """Hidden channels of a layer that has `at_full_width` of them at width 1.0."""
        n_channels = max(1, round(at_full_width * self.width))
        return n_channels if self.max_channels is None else min(n_channels, self.max_channels)

    def to_json(self) -> str:
        """Canonical JSON, with a newline at the end."""
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, *, where: str) -> "ModelConfig":
        """The config that `to_json` wrote.

        Args:
          text: JSON.
          where: the file it came from, for messages.

        Raises:
          InputError: no JSON object with these fields, or a value out of range.
        """
        try:
            fields = json.loads(text)
            return cls(**{**fields, "bands": tuple(fields["bands"])})
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            raise InputError(f"{where}: not a model config ({error})") from error
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
