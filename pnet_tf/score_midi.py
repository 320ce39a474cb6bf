"""Standard MIDI files to a `Score`: times exact to the tick, nothing quantised, damage refused.

The events are read here and not by `music21.midi.MidiFile`, which takes a truncated track for a whole one, skips what
it does not understand without a word, and refuses the usual SMPTE divisions.
"""

import bisect
import collections
import dataclasses
from collections.abc import Iterator, Sequence
from fractions import Fraction

from pnet_tf.score_notes import (
    PROGRAM_NAMES,
    Note,
    PartName,
    Score,
    ScoreError,
    choose_part,
    require_few_notes,
    score_from_notes,
)

PERCUSSION_CHANNEL = 9  # "channel 10", counted from 0
_DEFAULT_TEMPO_USEC = 500_000
_MAX_BARS = 100_000
# Data bytes after each channel status, by its upper four bits.
_DATA_BYTES = {0x80: 2, 0x90: 2, 0xA0: 2, 0xB0: 2, 0xC0: 1, 0xD0: 1, 0xE0: 2}
_NOTE_OFF, _NOTE_ON, _KEY_PRESSURE, _CONTROL, _PROGRAM, _PRESSURE, _BEND = _DATA_BYTES
_META, _SYSEX, _ESCAPE = 0xFF, 0xF0, 0xF7
_TRACK_NAME, _END_OF_TRACK, _SET_TEMPO, _TIME_SIGNATURE = 0x03, 0x2F, 0x51, 0x58
_PEDALS = range(64, 68)
_SILENCERS = (120, 123)  # all sound off, all notes off
_BEND_CENTRE = (0, 64)


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """One event of a track.

    Attributes:
      tick: from the start of the track.
      status: 0x80 to 0xEF with the channel in its lower four bits, 0xFF for a meta event.
      data: the data bytes of a channel event; the text or number of a meta event.
      meta: type of a meta event, else -1.
    """

    tick: int
    status: int
    data: bytes
    meta: int = -1


@dataclasses.dataclass(frozen=True)
class TempoMap:
    """Ticks to seconds, exact: at `ticks[i]` it is `seconds[i]`, from there each tick takes `sec_per_tick[i]`."""

    ticks: tuple[int, ...]
    seconds: tuple[Fraction, ...]
    sec_per_tick: tuple[Fraction, ...]

    def seconds_at(self, tick: int | Fraction) -> Fraction:
        """The time of a tick, in seconds."""
        index = bisect.bisect_right(self.ticks, tick) - 1
        return self.seconds[index] + (tick - self.ticks[index]) * self.sec_per_tick[index]


class _PartNotes:
    """Pairs the note-ons and note-offs of one channel of one track.

    A key struck again while it sounds ends there and begins anew. Files differ in what a note-off then means: where a
    key has as many offs as ons, the first off belongs to the first note; where it has fewer, the first off is the end.
    """

    def __init__(self, balanced: frozenset[int]) -> None:
        self.spans: list[tuple[int, int, int]] = []
        self.velocities: set[int] = set()
        self.program: int | None = None
        self._balanced = balanced
        self._sounding: dict[int, int] = {}
        self._pending: collections.Counter[int] = collections.Counter()

    def strike(self, tick: int, pitch: int, velocity: int) -> None:
        """A note-on."""
        if pitch in self._sounding:
            self.spans.append((self._sounding[pitch], tick, pitch))
        self._sounding[pitch] = tick
        self._pending[pitch] += 1
        self.velocities.add(velocity)

    def release(self, tick: int, pitch: int) -> None:
        """A note-off; one for a key that does not sound does nothing."""
        if pitch not in self._sounding:
            return
        self._pending[pitch] -= 1
        if self._pending[pitch] <= 0 or pitch not in self._balanced:
            self.spans.append((self._sounding.pop(pitch), tick, pitch))
            del self._pending[pitch]

    def release_all(self, tick: int) -> int:
        """Ends whatever sounds; how many notes that were."""
        self.spans += [(start, tick, pitch) for pitch, start in self._sounding.items()]
        n_ended = len(self._sounding)
        self._sounding.clear()
        self._pending.clear()
        return n_ended


def score_from_midi(data: bytes, *, name: str, where: str, part: str | None = None) -> Score:
    """The notes of one part of a MIDI file; a part is one channel of one track.

    Args:
      data: the file's bytes.
      name: of the score.
      where: the file it came from, for messages.
      part: name of the track or of its General MIDI program, or a number from 1; None takes the only part.

    Raises:
      ScoreError: the file is damaged, of format 2, has no notes, or the choice of part is not clear.
    """
    ticks_per, tracks = read_events(data, where)
    tempo_map = tempo_map_from_events(ticks_per, [event for track in tracks for event in track], where)
    ignored: collections.Counter[str] = collections.Counter()
    parts: list[tuple[PartName, _PartNotes]] = []
    for track in tracks:
        channels = _channels_of_track(track, ignored, where)
        text = next((_text(event.data) for event in track if event.meta == _TRACK_NAME), "")
        parts += [(_part_name(text, notes, alone=len(channels) == 1), notes) for notes in channels.values()]
    index = choose_part([part_name for part_name, _ in parts], part, where)
    chosen_name, chosen = parts[index]
    others = sum(len(notes.spans) for _, notes in parts) - len(chosen.spans)
    ignored["notes of other parts"] = others
    ignored["velocities"] = len(chosen.spans) if len(chosen.velocities) > 1 else 0
    seconds = {tick: tempo_map.seconds_at(tick) for span in chosen.spans for tick in span[:2]}
    notes = [Note(seconds[start], seconds[end], pitch) for start, end, pitch in sorted(chosen.spans)]
    last_tick = max(end for _, end, _ in chosen.spans)
    bars = _bar_ticks(ticks_per, tracks, last_tick)
    return score_from_notes(
        name, notes, where=where, part=chosen_name.name, bars_sec=map(tempo_map.seconds_at, bars), ignored=ignored
    )


def _part_name(track_name: str, notes: _PartNotes, *, alone: bool) -> PartName:
    """The track's name, with the program's where channels share the track; the program's where the track has none."""
    program = PROGRAM_NAMES[notes.program] if notes.program is not None else ""
    aliases = tuple(name for name in (track_name, program) if name)
    if track_name and program and not alone:
        return PartName(f"{track_name} ({program})", aliases)
    return PartName(aliases[0] if aliases else "unnamed", aliases)


def _channels_of_track(track: Sequence[Event], ignored: collections.Counter[str], where: str) -> dict[int, _PartNotes]:
    """The channels of a track that hold pitched notes, in order of channel; counts what is left out."""
    channels = {channel: _PartNotes(_balanced_keys(track, channel)) for channel in sorted(_pitched_channels(track))}
    n_notes = 0
    for event in track:
        kind, channel = event.status & 0xF0, event.status & 0x0F
        if event.meta >= 0:
            continue
        strikes = kind == _NOTE_ON and event.data[1] > 0
        if channel == PERCUSSION_CHANNEL:
            ignored["percussion notes"] += strikes
        elif channel in channels:
            n_notes += strikes
            require_few_notes(n_notes, where)
            _play(event, channels[channel], ignored)
    end = track[-1].tick if track else 0
    for notes in channels.values():
        ignored["notes without an end (held to the end of their track)"] += notes.release_all(end)
    return channels


def _play(event: Event, notes: _PartNotes, ignored: collections.Counter[str]) -> None:
    """Gives one channel event to the part that it belongs to."""
    kind, data = event.status & 0xF0, event.data
    if kind == _NOTE_ON and data[1] > 0:
        notes.strike(event.tick, data[0], data[1])
    elif kind in (_NOTE_ON, _NOTE_OFF):
        notes.release(event.tick, data[0])
    elif kind == _PROGRAM:
        # The program of the first note names the part; later changes are the same player's.
        if notes.program is None or not notes.velocities:
            notes.program = data[0]
    elif kind == _CONTROL and data[0] in _SILENCERS:
        notes.release_all(event.tick)
    elif kind == _CONTROL and data[0] in _PEDALS:
        ignored["pedal movements"] += 1
    elif kind == _BEND:
        ignored["pitch bends"] += tuple(data) != _BEND_CENTRE
    elif kind in (_KEY_PRESSURE, _PRESSURE):
        ignored["aftertouch events"] += 1


def _pitched_channels(track: Sequence[Event]) -> set[int]:
    strikes = (event for event in track if event.status & 0xF0 == _NOTE_ON and event.meta < 0 and event.data[1])
    return {event.status & 0x0F for event in strikes} - {PERCUSSION_CHANNEL}


def _balanced_keys(track: Sequence[Event], channel: int) -> frozenset[int]:
    """Keys of a channel that have as many note-offs as note-ons."""
    balance: collections.Counter[int] = collections.Counter()
    for event in track:
        if event.meta < 0 and event.status in (_NOTE_ON | channel, _NOTE_OFF | channel):
            balance[event.data[0]] += 1 if event.status & 0xF0 == _NOTE_ON and event.data[1] else -1
    return frozenset(pitch for pitch, difference in balance.items() if difference == 0)


def tempo_map_from_events(ticks_per: tuple[str, Fraction], events: Sequence[Event], where: str) -> TempoMap:
    """The tempo map of a whole file.

    Args:
      ticks_per: `("quarter", n)` or, for SMPTE divisions, `("second", n)`, where tempos mean nothing.
      events: of all tracks.
      where: for messages.

    Raises:
      ScoreError: a tempo of 0 microseconds a quarter, or a tempo event of a wrong length.
    """
    unit, rate = ticks_per
    if unit == "second":
        return TempoMap((0,), (Fraction(0),), (1 / rate,))
    # Where two tempos meet in one tick the later one in the file holds.
    tempos = {0: _DEFAULT_TEMPO_USEC}
    for event in sorted((event for event in events if event.meta == _SET_TEMPO), key=lambda event: event.tick):
        tempos[event.tick] = int.from_bytes(event.data, "big")
        if len(event.data) != 3 or tempos[event.tick] == 0:
            raise ScoreError(f"{where}: the tempo at tick {event.tick} is not usable, expected 3 bytes above 0")
    ticks = tuple(tempos)
    sec_per_tick = tuple(Fraction(usec, 10**6) / rate for usec in tempos.values())
    seconds = [Fraction(0)]
    for index in range(1, len(ticks)):
        seconds.append(seconds[-1] + (ticks[index] - ticks[index - 1]) * sec_per_tick[index - 1])
    return TempoMap(ticks, tuple(seconds), sec_per_tick)


def _bar_ticks(ticks_per: tuple[str, Fraction], tracks: Sequence[Sequence[Event]], last_tick: int) -> list[Fraction]:
    """Where bars begin, from the time signatures; none where the file gives none."""
    unit, rate = ticks_per
    signatures = {
        event.tick: 4 * rate * event.data[0] / 2 ** event.data[1]
        for track in tracks
        for event in track
        if event.meta == _TIME_SIGNATURE and len(event.data) >= 2 and event.data[0] and event.data[1] < 8
    }
    if unit == "second" or not signatures:
        return []
    changes = sorted(signatures)
    bars: list[Fraction] = []
    for begin, end in zip(changes, [*changes[1:], last_tick], strict=True):
        n_bars = -((begin - end) // signatures[begin]) if end > begin else 0
        if len(bars) + n_bars > _MAX_BARS:
            return []
        bars += [begin + bar * signatures[begin] for bar in range(n_bars)]
    return bars


def read_events(data: bytes, where: str) -> tuple[tuple[str, Fraction], list[list[Event]]]:
    """The time unit and the events of each track; the last event of a track is its end.

    Returns:
      `("quarter", ticks)` or `("second", ticks)`, and the tracks.

    Raises:
      ScoreError: the file is no MIDI file, damaged, truncated, or of format 2.
    """
    if data[:4] != b"MThd" or len(data) < 14 or int.from_bytes(data[4:8], "big") < 6:
        raise ScoreError(f"{where}: not a MIDI file (no whole MThd header); export the score again")
    file_format, n_tracks, division = (int.from_bytes(data[at : at + 2], "big") for at in (8, 10, 12))
    if file_format not in (0, 1):
        raise ScoreError(f"{where}: MIDI format {file_format} is not readable; export it as format 0 or 1")
    ticks_per = _ticks_per(division, where)
    tracks: list[list[Event]] = []
    position = 8 + int.from_bytes(data[4:8], "big")
    while len(tracks) < n_tracks:
        kind, length = data[position : position + 4], int.from_bytes(data[position + 4 : position + 8], "big")
        position += 8
        if position + length > len(data) or len(kind) < 4:
            raise ScoreError(
                f"{where}: the MIDI file ends after {len(data)} bytes, in track {len(tracks) + 1} of {n_tracks}; "
                "export it again"
            )
        if kind == b"MTrk":  # the standard wants other chunks skipped
            tracks.append(list(_track_events(data[position : position + length], f"{where}: track {len(tracks) + 1}")))
        position += length
    return ticks_per, tracks


def _ticks_per(division: int, where: str) -> tuple[str, Fraction]:
    if division & 0x8000:
        frames, ticks = 256 - (division >> 8), division & 0xFF
        # 29 stands for drop frame, which runs at 30000/1001.
        rate = Fraction(30000, 1001) if frames == 29 else Fraction(frames)
        if frames not in (24, 25, 29, 30) or not ticks:
            raise ScoreError(
                f"{where}: SMPTE division of {frames} frames a second and {ticks} ticks a frame is not one of MIDI's"
            )
        return "second", rate * ticks
    if not division:
        raise ScoreError(f"{where}: 0 ticks a quarter note in the MIDI header, expected at least 1; export it again")
    return "quarter", Fraction(division)


def _track_events(data: bytes, where: str) -> Iterator[Event]:
    """The events that matter of one track, sysex left out, and its end as the last one."""
    position, tick, status = 0, 0, 0
    try:
        while position < len(data):
            delta, position = _number(data, position)
            tick += delta
            first = data[position]
            if first >= 0x80:
                position += 1
            if first == _META:
                meta, (length, position) = data[position], _number(data, position + 1)
                yield Event(tick, _META, _slice(data, position, length), meta)
                if meta == _END_OF_TRACK:
                    return
                position += length
            elif first in (_SYSEX, _ESCAPE):
                length, position = _number(data, position)
                _slice(data, position, length)
                position, status = position + length, 0  # sysex cancels running status
            else:
                status = first if first >= 0x80 else status
                values = _slice(data, position, _DATA_BYTES[status & 0xF0])
                if max(values) >= 0x80:
                    raise ValueError("a status byte where data belongs")
                yield Event(tick, status, values)
                position += len(values)
    except (IndexError, KeyError, ValueError) as error:
        raise ScoreError(
            f"{where}: damaged MIDI data at byte {position} of {len(data)}; export the file again"
        ) from error
    yield Event(tick, _META, b"", _END_OF_TRACK)


def _slice(data: bytes, position: int, length: int) -> bytes:
    if position + length > len(data):
        raise IndexError("the event runs past the end of the track")
    return data[position : position + length]


def _number(data: bytes, position: int) -> tuple[int, int]:
    """A variable-length number of at most four bytes, and where it ends."""
    value = 0
    for index in range(position, position + 4):
        value = value << 7 | data[index] & 0x7F
        if data[index] < 0x80:
            return value, index + 1
    raise ValueError("a number of more than four bytes")


def _text(data: bytes) -> str:
    """Text of a meta event; programs write UTF-8 or Latin-1, and neither may fail."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return " ".join(text.split())
