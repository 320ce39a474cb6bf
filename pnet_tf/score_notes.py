"""`Note` and `Score`: what every reader of scores gives, the limits it keeps, and how one part of several is chosen."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from absl import logging

from pnet_tf import limits
from pnet_tf.errors import InputError

_LISTED_PARTS = 20
N_PITCHES = 128

# The sound set of General MIDI level 1, by program number.
PROGRAM_NAMES = tuple(
    name.strip()
    for name in """
    acoustic grand piano, bright acoustic piano, electric grand piano, honky-tonk piano, electric piano 1,
    electric piano 2, harpsichord, clavinet, celesta, glockenspiel, music box, vibraphone, marimba, xylophone,
    tubular bells, dulcimer, drawbar organ, percussive organ, rock organ, church organ, reed organ, accordion,
    harmonica, tango accordion, nylon guitar, steel guitar, jazz guitar, clean guitar, muted guitar,
    overdriven guitar, distortion guitar, guitar harmonics, acoustic bass, fingered bass, picked bass, fretless bass,
    slap bass 1, slap bass 2, synth bass 1, synth bass 2, violin, viola, cello, contrabass, tremolo strings,
    pizzicato strings, harp, timpani, string ensemble 1, string ensemble 2, synth strings 1, synth strings 2,
    choir aahs, voice oohs, synth voice, orchestra hit, trumpet, trombone, tuba, muted trumpet, french horn,
    brass section, synth brass 1, synth brass 2, soprano sax, alto sax, tenor sax, baritone sax, oboe, english horn,
    bassoon, clarinet, piccolo, flute, recorder, pan flute, blown bottle, shakuhachi, whistle, ocarina,
    square lead, sawtooth lead, calliope lead, chiff lead, charang lead, voice lead, fifths lead, bass lead,
    new age pad, warm pad, polysynth pad, choir pad, bowed pad, metallic pad, halo pad, sweep pad,
    rain effect, soundtrack effect, crystal effect, atmosphere effect, brightness effect, goblins effect,
    echoes effect, sci-fi effect, sitar, banjo, shamisen, koto, kalimba, bagpipe, fiddle, shanai, tinkle bell, agogo,
    steel drums, woodblock, taiko drum, melodic tom, synth drum, reverse cymbal, fret noise, breath noise, seashore,
    bird tweet, telephone ring, helicopter, applause, gunshot""".split(",")
)


class ScoreError(InputError):
    """A score cannot be read or used; the message is one line: which, what was expected, what to do."""


class PartError(ScoreError):
    """Several parts hold notes, and none was chosen, or none that there is; `parts` holds their names in order."""

    def __init__(self, message: str, parts: Sequence[str] = ()) -> None:
        """Keeps both."""
        super().__init__(message)
        self.parts = tuple(parts)


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Note:
    """One sounding note.

    Attributes:
      start_sec: onset in seconds from the start of the score, exact to the tick or sample.
      end_sec: release in seconds, never before `start_sec`.
      pitch: sounding MIDI pitch, 0 to 127.
    """

    start_sec: Fraction
    end_sec: Fraction
    pitch: int


@dataclasses.dataclass(frozen=True)
class Score:
    """The notes of one part.

    Attributes:
      name: the file's name without its suffix.
      notes: sorted by start, end and pitch.
      part: name of the part, empty where the source names none.
      bars_sec: starts of the bars in seconds, as played; empty where they are not known.
      ignored: what the source holds and the notes do not show, counted by reason.
    """

    name: str
    notes: tuple[Note, ...]
    part: str = ""
    bars_sec: tuple[Fraction, ...] = ()
    ignored: Mapping[str, int] = dataclasses.field(default_factory=dict, hash=False)

    @property
    def end_sec(self) -> Fraction:
        """When the last note ends, in seconds; 0 without notes."""
        return max((note.end_sec for note in self.notes), default=Fraction(0))

    @property
    def n_notes(self) -> int:
        """How many notes there are."""
        return len(self.notes)


@dataclasses.dataclass(frozen=True)
class PartName:
    """How a part can be asked for: the name shown, and other names it answers to."""

    name: str
    aliases: tuple[str, ...] = ()

    def answers_to(self, wanted: str) -> bool:
        """Whether `wanted` is one of the names, whatever its case and surrounding space."""
        return wanted.strip().casefold() in {text.strip().casefold() for text in (self.name, *self.aliases)}


def score_from_notes(
    name: str,
    notes: Iterable[Note],
    *,
    where: str | None = None,
    part: str = "",
    bars_sec: Iterable[Fraction] = (),
    ignored: Mapping[str, int] | None = None,
) -> Score:
    """A `Score` of checked, sorted notes.

    Args:
      name: what to call it.
      notes: in any order; times in seconds.
      where: the file they came from, for messages; None for the name.
      part: name of the part.
      bars_sec: starts of bars in seconds; those at or after the last note's end are left out.
      ignored: counts by reason; zeros are left out.

    Raises:
      ScoreError: there are no notes, too many, a note is impossible, or the last one ends too late.
    """
    ordered, where = tuple(sorted(notes)), name if where is None else where
    if not ordered:
        raise ScoreError(f"{where}: no pitched notes found, expected at least one")
    require_few_notes(len(ordered), where)
    for note in ordered:
        if not (0 <= note.start_sec <= note.end_sec and 0 <= note.pitch < N_PITCHES):
            raise ScoreError(
                f"{where}: impossible note (pitch {note.pitch}, {float(note.start_sec)} s to {float(note.end_sec)} s)"
            )
    kept = {reason: count for reason, count in (ignored or {}).items() if count}
    score = Score(name, ordered, part, (), kept)
    end_sec = score.end_sec
    if end_sec > limits.current().score_sec:
        raise ScoreError(
            f"{where}: ends after {_hours(end_sec)} hours, the limit is {limits.current().hours:g} (cut it in pieces, or raise "
            "--max_hours)"
        )
    return dataclasses.replace(score, bars_sec=tuple(bar for bar in sorted(bars_sec) if bar < end_sec))


def _hours(seconds: Fraction) -> str:
    """Hours of a time that may be too large for a float."""
    return f"{float(seconds) / 3600:.1f}" if seconds < 10**9 else "more than 100000"


def require_few_notes(n_notes: int, name: str) -> None:
    """Refuses a score of more notes than the limit.

    Raises:
      ScoreError: there are more.
    """
    if n_notes > (most := limits.current().notes):
        raise ScoreError(f"{name}: more than {most} notes, the limit for one score (cut it in pieces, or raise --max_notes)")


def choose_part(parts: Sequence[PartName], wanted: str | None, name: str) -> int:
    """Index of the part asked for, or of the only one.

    A name comes before a number, so a part that is called "2" is found by its name.

    Args:
      parts: those that hold pitched notes.
      wanted: a name in any case, or a number counted from 1; None takes the only part.
      name: of the score, for messages.

    Raises:
      ScoreError: there is none, several and no choice, or none or several that answer to `wanted`.
    """
    if not parts:
        raise ScoreError(f"{name}: no pitched notes found, expected at least one")
    names = [part.name for part in parts]
    listing = ", ".join(f"{number} {part.name[:60]!r}" for number, part in enumerate(parts[:_LISTED_PARTS], 1))
    if len(parts) > _LISTED_PARTS:
        listing += f" and {len(parts) - _LISTED_PARTS} more"
    if wanted is None:
        if len(parts) == 1:
            return 0
        raise PartError(f"{name}: {len(parts)} parts hold notes, choose one with --part=NAME or its number: {listing}", names)
    found = [index for index, part in enumerate(parts) if part.answers_to(wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        raise PartError(f"{name}: {len(found)} parts are called {wanted!r}, choose by number with --part=N: {listing}", names)
    if wanted.strip().isdecimal() and 1 <= int(wanted) <= len(parts):
        return int(wanted) - 1
    raise PartError(f"{name}: no part {wanted!r}, expected --part=NAME or a number, one of: {listing}", names)


def warn_ignored(score: Score) -> None:
    """Logs once what the source holds and the notes do not show; nothing where that is nothing."""
    if score.ignored:
        reasons = ", ".join(f"{count} {reason}" for reason, count in score.ignored.items())
        logging.warning("%s: not used: %s", score.name, reasons)
