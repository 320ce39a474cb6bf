"""How long a score or recording may be, and of how many notes, before it is taken for a mistake; flags raise it."""

import contextlib
import contextvars
import dataclasses
from collections.abc import Iterator

from absl import flags as absl_flags

from pnet_tf.errors import UsageError

_SEC_PER_HOUR = 3600
_FILE_BYTES = 64 * 2**20
_MOST_HOURS = 10_000
_MOST_NOTES = 10**9
_MOST_READING_SEC = 10**6


@dataclasses.dataclass(frozen=True)
class Limits:
    """What is refused beyond.

    Attributes:
      hours: length of a score, to the end of its last note.
      notes: of a score.
      audio_hours: length of a recording.
      reading_sec: CPU time that a library may take for a small score; larger ones may take more in proportion.
    """

    hours: float = 4.0
    notes: int = 1_000_000
    audio_hours: float = 2.0
    reading_sec: float = 5.0

    @property
    def score_sec(self) -> float:
        """Length of a score in seconds."""
        return self.hours * _SEC_PER_HOUR

    @property
    def audio_sec(self) -> float:
        """Length of a recording in seconds."""
        return self.audio_hours * _SEC_PER_HOUR

    @property
    def file_bytes(self) -> int:
        """Size of the file of a score, and of what is packed in it: 64 MiB for a million notes, and never less."""
        return int(_FILE_BYTES * max(1.0, self.notes / DEFAULT.notes))


DEFAULT = Limits()
_current: contextvars.ContextVar[Limits] = contextvars.ContextVar("limits", default=DEFAULT)


def current() -> Limits:
    """The limits in force: those of `raised_to` around the caller, or the defaults."""
    return _current.get()


@contextlib.contextmanager
def raised_to(limits: Limits) -> Iterator[None]:
    """Puts limits in force for what is read inside, by this process."""
    token = _current.set(limits)
    try:
        yield
    finally:
        _current.reset(token)


def define_flags(flags: absl_flags.FlagValues, *, audio: bool) -> None:
    """Defines the flags that raise limits.

    Args:
      flags: of the command.
      audio: whether it reads recordings too.
    """
    absl_flags.DEFINE_float("max_hours", DEFAULT.hours, "The longest score that is read.", flag_values=flags)
    absl_flags.DEFINE_integer(
        "max_notes",
        DEFAULT.notes,
        "The most notes of a score.",
        lower_bound=1,
        upper_bound=_MOST_NOTES,
        flag_values=flags,
    )
    absl_flags.DEFINE_float(
        "max_reading_sec",
        DEFAULT.reading_sec,
        "Seconds of computing after which a small score in MusicXML, kern, ABC or MEI is given up; large ones may take more.",
        flag_values=flags,
    )
    if audio:
        absl_flags.DEFINE_float(
            "max_audio_hours", DEFAULT.audio_hours, "The longest recording that is read.", flag_values=flags
        )


def of_flags(flags: absl_flags.FlagValues) -> Limits:
    """The limits that flags ask for.

    Raises:
      UsageError: one is no length.
    """
    ranges = {"max_hours": ("hours", _MOST_HOURS), "max_audio_hours": ("hours", _MOST_HOURS)}
    ranges["max_reading_sec"] = ("seconds", _MOST_READING_SEC)
    for name, (unit, most) in ranges.items():
        if name in flags and not 0 < flags[name].value <= most:  # false for nan
            raise UsageError(f"--{name}={flags[name].value}: expected {unit}, above 0 and at most {most}")
    audio_hours = flags["max_audio_hours"].value if "max_audio_hours" in flags else DEFAULT.audio_hours
    return Limits(flags["max_hours"].value, flags["max_notes"].value, audio_hours, flags["max_reading_sec"].value)
