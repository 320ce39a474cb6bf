"""Written bars to played notes: tempo, repeats, ties and grace notes, in exact fractions and without any library."""

import bisect
import collections
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from pnet_tf.score_notes import N_PITCHES, Note

MAX_GRACE_SEC = Fraction(60, 1000)
# Tempos whose fractions share nothing make denominators grow without end; from here on times are whole nanoseconds.
_MAX_DENOMINATOR_BITS = 64
_NANOSECONDS = 10**9


@dataclasses.dataclass(frozen=True, slots=True)
class WrittenNote:
    """A note on paper.

    Attributes:
      offset: in quarters from the start of the score.
      length: in quarters; 0 for a grace note.
      pitch: sounding MIDI pitch.
      tie: None, "start", "continue" or "stop".
      grace: None, or a number that grace notes struck together share.
    """

    offset: Fraction
    length: Fraction
    pitch: int
    tie: str | None = None
    grace: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class WrittenBar:
    """A bar on paper: `begin` and `length` in quarters, notes in order, grace notes before the note they lead to."""

    begin: Fraction
    length: Fraction
    notes: Sequence[WrittenNote]


def times_from_tempos(tempos: Mapping[Fraction, Fraction]) -> Callable[[Fraction], Fraction]:
    """A function from written offsets in quarters to seconds, were the score played from front to back.

    Args:
      tempos: quarters a minute from each offset on; offset 0 is among them.
    """
    offsets = sorted(tempos)
    sec_per_quarter = [60 / tempos[offset] for offset in offsets]
    seconds = [Fraction(0)]
    for index in range(1, len(offsets)):
        seconds.append(_bounded(seconds[-1] + (offsets[index] - offsets[index - 1]) * sec_per_quarter[index - 1]))

    def seconds_at(offset: Fraction) -> Fraction:
        """Seconds of an offset in quarters."""
        index = bisect.bisect_right(offsets, offset) - 1
        return _bounded(seconds[index] + (offset - offsets[index]) * sec_per_quarter[index])

    return seconds_at


def _bounded(seconds: Fraction) -> Fraction:
    if seconds.denominator.bit_length() <= _MAX_DENOMINATOR_BITS:
        return seconds
    return Fraction(round(seconds * _NANOSECONDS), _NANOSECONDS)


def bars_and_notes(
    bars: Sequence[WrittenBar],
    order: Sequence[int],
    seconds_at: Callable[[Fraction], Fraction],
    ignored: collections.Counter[str],
) -> tuple[list[Fraction], list[Note]]:
    """Plays written bars.

    A bar that comes back is played at the tempo it has on paper.

    Args:
      bars: as written.
      order: indices of bars as played.
      seconds_at: from `times_from_tempos`.
      ignored: counts by reason, added to.

    Returns:
      Starts of the played bars and the notes, in seconds.
    """
    bars = _with_ends_of_ties(bars)
    now = Fraction(0)
    bars_sec: list[Fraction] = []
    played: list[tuple[Note, str | None]] = []
    graces: dict[Fraction, dict[int, list[int]]] = {}
    for index in order:
        bar = bars[index]
        shift = now - seconds_at(bar.begin)
        bars_sec.append(now)
        for note in bar.notes:
            start_sec = seconds_at(note.offset) + shift
            if not 0 <= note.pitch < N_PITCHES:
                ignored["notes outside MIDI's pitches"] += 1
            elif note.grace is not None:
                graces.setdefault(start_sec, {}).setdefault(note.grace, []).append(note.pitch)
            else:
                end_sec = seconds_at(note.offset + note.length) + shift
                played.append((Note(start_sec, end_sec, note.pitch), note.tie))
        now = _bounded(now + seconds_at(bar.begin + bar.length) - seconds_at(bar.begin))
    return bars_sec, _with_graces(_tied(played), graces)


def _with_ends_of_ties(bars: Sequence[WrittenBar]) -> list[WrittenBar]:
    """Ties of which a file writes only the beginning get their end, where the same pitch follows on paper.

    On paper and not as played: at the jump of a repeat the same pitch may follow by chance.
    """
    notes = [note for bar in bars for note in bar.notes if note.grace is None]
    ended = {(note.offset, note.pitch) for note in notes if note.tie in ("stop", "continue")}
    begun = {(note.offset + note.length, note.pitch) for note in notes if note.tie in ("start", "continue")} - ended
    completed = {None: "stop", "start": "continue"}

    def complete(note: WrittenNote) -> WrittenNote:
        """The note, tied back if an unended tie leads to it."""
        if note.grace is None and (note.offset, note.pitch) in begun:
            return dataclasses.replace(note, tie=completed[note.tie])
        return note

    return [dataclasses.replace(bar, notes=[complete(note) for note in bar.notes]) for bar in bars]


def _tied(played: Sequence[tuple[Note, str | None]]) -> list[Note]:
    """Joins ties: a note tied on is lengthened by one tied back that starts where it ends, at the same pitch."""
    joined: list[Note] = []
    open_ties: dict[tuple[Fraction, int], list[int]] = {}
    for note, tie in sorted(played, key=lambda item: item[0]):
        waiting = open_ties.get((note.start_sec, note.pitch))
        if tie in ("stop", "continue") and waiting:
            index = waiting.pop()
            joined[index] = dataclasses.replace(joined[index], end_sec=note.end_sec)
        else:
            index = len(joined)
            joined.append(note)
        if tie in ("start", "continue"):
            open_ties.setdefault((note.end_sec, note.pitch), []).append(index)
    return joined


def _with_graces(notes: Sequence[Note], graces: Mapping[Fraction, Mapping[int, Sequence[int]]]) -> list[Note]:
    """Adds grace notes in the last moments before their beat, taken from the notes that end on it.

    All that lead to one beat share at most `MAX_GRACE_SEC`, and leave the notes before them at least half their length.
    At the start of the score, where there is no before, they take the time from the notes that start on the beat.
    """
    shortened = list(notes)
    ending: dict[Fraction, list[int]] = collections.defaultdict(list)
    for index, note in enumerate(notes):
        ending[note.end_sec].append(index)
    added: list[Note] = []
    for beat_sec in sorted(graces):
        groups = list(graces[beat_sec].values())
        before = [index for index in ending[beat_sec] if notes[index].start_sec < beat_sec]
        after = [] if beat_sec else [index for index, note in enumerate(notes) if 0 == note.start_sec < note.end_sec]
        lengths = [notes[index].end_sec - notes[index].start_sec for index in before + after]
        room_sec = min([MAX_GRACE_SEC, *([beat_sec] if beat_sec else []), *(length / 2 for length in lengths)])
        begin_sec = max(beat_sec - room_sec, Fraction(0))
        for index in before:
            shortened[index] = dataclasses.replace(shortened[index], end_sec=begin_sec)
        for index in after:
            shortened[index] = dataclasses.replace(shortened[index], start_sec=room_sec)
        step_sec = room_sec / len(groups)
        for number, pitches in enumerate(groups):
            start_sec = begin_sec + number * step_sec
            added += [Note(start_sec, start_sec + step_sec, pitch) for pitch in pitches]
    return shortened + added
