"""MIDI files: times against hand-computed ones and against pretty_midi and music21, and every kind of damage."""

import io
import itertools
from fractions import Fraction

import hypothesis
import pretty_midi
import pytest
from hypothesis import strategies as st
from music21 import midi as m21midi

from pnet_tf.score_midi import score_from_midi
from pnet_tf.score_notes import Note, ScoreError

END = (0, b"\xff\x2f\x00")


def _number(value: int) -> bytes:
    """A variable-length number."""
    rest = [value & 0x7F]
    while value := value >> 7:
        rest.append(value & 0x7F | 0x80)
    return bytes(reversed(rest))


def _track(*events: tuple[int, bytes], end: tuple[int, bytes] | None = END) -> bytes:
    data = b"".join(_number(delta) + message for delta, message in (*events, *([end] if end else [])))
    return b"MTrk" + len(data).to_bytes(4, "big") + data


def _file(*tracks: bytes, file_format: int = 1, division: int = 480) -> bytes:
    numbers = (file_format, len(tracks), division)
    return b"MThd\0\0\0\6" + b"".join(number.to_bytes(2, "big") for number in numbers) + b"".join(tracks)


def _on(delta: int, pitch: int, *, channel: int = 0, velocity: int = 80) -> tuple[int, bytes]:
    return delta, bytes([0x90 | channel, pitch, velocity])


def _off(delta: int, pitch: int, *, channel: int = 0) -> tuple[int, bytes]:
    return delta, bytes([0x80 | channel, pitch, 0])


def _tempo(delta: int, usec: int) -> tuple[int, bytes]:
    return delta, b"\xff\x51\x03" + usec.to_bytes(3, "big")


def _text(kind: int, text: bytes) -> tuple[int, bytes]:
    return 0, bytes([0xFF, kind]) + _number(len(text)) + text


def _read(data: bytes, part: str | None = None):
    return score_from_midi(data, name="piece", where="piece.mid", part=part)


def _spans(data: bytes, part: str | None = None) -> list[tuple[Fraction, Fraction, int]]:
    return [(note.start_sec, note.end_sec, note.pitch) for note in _read(data, part).notes]


SECOND = 960  # ticks at the default tempo


def test_tempo_changes_inside_and_between_notes_are_exact():
    tempos = _track(_tempo(0, 600_001), _tempo(480, 333_333), _tempo(240, 1_000_000))
    notes = _track(_on(0, 60), _off(600, 60), _on(7, 61), _off(113, 61), _on(10, 62), _off(470, 62))
    after = Fraction(600_001, 10**6) + Fraction(333_333, 2 * 10**6)
    assert _spans(_file(tempos, notes)) == [
        (0, Fraction(600_001, 10**6) + Fraction(333_333, 4 * 10**6), 60),
        (Fraction(600_001, 10**6) + Fraction(127 * 333_333, 480 * 10**6), after, 61),
        (after + Fraction(10, 480), after + 1, 62),
    ]


def test_without_a_tempo_a_quarter_lasts_half_a_second_and_of_two_at_one_tick_the_later_holds():
    assert _spans(_file(_track(_on(480, 60), _off(480, 60)))) == [(Fraction(1, 2), 1, 60)]
    assert _spans(_file(_track(_tempo(0, 1), _tempo(0, 10**6), _on(480, 60), _off(480, 60)))) == [(1, 2, 60)]


def test_a_tempo_in_a_later_track_holds_for_all():
    assert _spans(_file(_track(_on(480, 60), _off(480, 60)), _track(_tempo(0, 10**6)))) == [(1, 2, 60)]


@pytest.mark.parametrize(("frames", "rate"), [(24, 24), (25, 25), (29, Fraction(30000, 1001)), (30, 30)])
def test_smpte_ticks_are_seconds_whatever_the_tempo(frames, rate):
    data = _file(_track(_tempo(0, 10**6), _on(40, 60), _off(7, 60)), division=(256 - frames) << 8 | 40)
    assert _spans(data) == [(1 / Fraction(rate), Fraction(47, 40) / rate, 60)]


def test_velocity_zero_is_an_off_and_running_status_is_read():
    running = [(0, bytes([0x90, 60, 80])), (SECOND, bytes([60, 0])), (0, bytes([62, 70])), (SECOND, bytes([62, 0]))]
    assert _spans(_file(_track(*running))) == [(0, 1, 60), (1, 2, 62)]


def test_meta_keeps_running_status_and_sysex_ends_it():
    meta = [_on(0, 60), _text(1, b"words"), (SECOND, bytes([60, 0]))]
    assert _spans(_file(_track(*meta))) == [(0, 1, 60)]
    with pytest.raises(ScoreError, match="damaged MIDI data"):
        _read(_file(_track(_on(0, 60), (0, b"\xf0\x02\x01\xf7"), (SECOND, bytes([60, 0])))))


def test_a_re_attack_without_an_off_ends_the_note_and_begins_another():
    assert _spans(_file(_track(_on(0, 60), _on(SECOND, 60), _off(SECOND, 60)))) == [(0, 1, 60), (1, 2, 60)]


def test_an_off_that_comes_after_the_next_on_belongs_to_the_note_before():
    events = [_on(0, 60), _on(960, 60), _off(96, 60), _on(864, 60), _off(96, 60), _off(864, 60)]
    assert _spans(_file(_track(*events))) == [(0, 1, 60), (1, 2, 60), (2, 3, 60)]


def test_repeated_notes_that_touch_stay_two():
    assert _spans(_file(_track(_on(0, 60), _off(960, 60), _on(0, 60), _off(960, 60)))) == [(0, 1, 60), (1, 2, 60)]


def test_a_note_without_an_end_lasts_to_the_end_of_its_track():
    data = _file(_track(_on(0, 60), end=(2 * SECOND, END[1])), _track(_tempo(9 * SECOND, 10**6)))
    assert _spans(data) == [(0, 2, 60)]
    assert _read(data).ignored == {"notes without an end (held to the end of their track)": 1}


def test_all_notes_off_ends_them_and_a_stray_off_does_nothing():
    silence = (SECOND, bytes([0xB0, 123, 0]))
    assert _spans(_file(_track(_off(0, 60), _on(0, 60), silence, _off(SECOND, 60)))) == [(0, 1, 60)]


def test_a_track_without_an_end_event_is_read():
    assert _spans(_file(_track(_on(0, 60), _off(SECOND, 60), end=None))) == [(0, 1, 60)]


def test_percussion_and_what_the_model_cannot_use_are_counted():
    events = [
        _on(0, 36, channel=9),
        _on(0, 36, channel=9, velocity=0),
        _on(0, 60),
        (0, b"\xe0\x00\x50"),
        (0, b"\xe0\x00\x40"),
    ]
    events += [(0, b"\xb0\x40\x7f"), (0, b"\xd0\x10"), _off(SECOND, 60), _on(0, 61, velocity=81), _off(SECOND, 61)]
    score = _read(_file(_track(*events)))
    assert score.n_notes == 2
    assert score.ignored == {
        "percussion notes": 1,
        "pitch bends": 1,
        "pedal movements": 1,
        "aftertouch events": 1,
        "velocities": 2,
    }


def test_percussion_alone_is_no_score():
    with pytest.raises(ScoreError, match="piece.mid: no pitched notes"):
        _read(_file(_track(_on(0, 36, channel=9), _off(9, 36, channel=9))))


def _duet() -> bytes:
    one = _track(_text(3, b"Melody"), (0, b"\xc0\x28"), _on(0, 70), _off(SECOND, 70))
    two = _track((0, b"\xc1\x2a"), _on(0, 40, channel=1), _off(SECOND, 40, channel=1))
    return _file(_track(_text(3, b"Piece"), _tempo(0, 500_000)), one, two)


@pytest.mark.parametrize(("part", "pitch"), [("melody", 70), ("violin", 70), ("Cello", 40), ("1", 70), ("2", 40)])
def test_parts_are_tracks_by_name_program_or_number(part, pitch):
    score = _read(_duet(), part)
    assert [note.pitch for note in score.notes] == [pitch]
    assert score.part == ("Melody" if pitch == 70 else "cello")
    assert score.ignored == {"notes of other parts": 1}


def test_several_parts_need_a_choice():
    with pytest.raises(ScoreError, match="2 parts hold notes.*1 'Melody', 2 'cello'"):
        _read(_duet())


def test_channels_of_a_format_0_file_are_parts():
    events = [_text(3, "Stück".encode("latin-1")), (0, b"\xc0\x28"), (0, b"\xc1\x49"), _on(0, 70)]
    events += [_on(0, 80, channel=1), _off(SECOND, 70), _off(SECOND, 80, channel=1)]
    data = _file(_track(*events), file_format=0)
    assert _spans(data, "violin") == [(0, 1, 70)]
    assert _spans(data, "flute") == [(0, 2, 80)]
    with pytest.raises(ScoreError, match=r"1 'Stück \(violin\)', 2 'Stück \(flute\)'"):
        _read(data)


def test_bars_follow_time_signatures_and_tempo():
    conductor = _track((0, b"\xff\x58\x04\x03\x02\x18\x08"), _tempo(1440, 10**6), (0, b"\xff\x58\x04\x06\x03\x18\x08"))
    score = _read(_file(conductor, _track(_on(0, 60), _off(1440 + 2881, 60))))
    assert score.bars_sec == (0, Fraction(3, 2), Fraction(9, 2), Fraction(15, 2))
    assert _read(_file(_track(_on(0, 60), _off(SECOND, 60)))).bars_sec == ()


WHOLE = _file(_track(_tempo(0, 500_000)), _track(_text(3, b"Solo"), *[_on(10, 60), _off(10, 60)] * 20))


@pytest.mark.parametrize("length", range(4, len(WHOLE)))
def test_a_file_cut_short_anywhere_is_refused(length):
    with pytest.raises(ScoreError, match="^piece.mid: "):
        _read(WHOLE[:length])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (_file(_track(_on(0, 60)), file_format=2), "format 2"),
        (_file(_track(_on(0, 60)), division=0), "0 ticks a quarter"),
        (_file(_track(_on(0, 60)), division=0xE900), "SMPTE division of 23 frames"),
        (_file(_track(_tempo(0, 0), _on(0, 60), _off(1, 60))), "tempo at tick 0"),
        (_file(_track((0, b"\xff\x51\x02\x01\x01"), _on(0, 60), _off(1, 60))), "tempo at tick 0"),
        (_file(_track((0, bytes([60, 80])))), "damaged"),
        (_file(_track((0, bytes([0x90, 60, 0x90])))), "damaged"),
        (_file(_track((0, b"\xf4"))), "damaged"),
        (_file(b"MTrk\0\0\0\6\xff\xff\xff\xff\xff\x7f"), "damaged"),
        (_file(_track((0, b"\xff\x03\x7fshort"), end=None)), "damaged"),
        (_file(_track(_on(0, 60), (2**28 - 1, b"\x80\x3c\x00"))), "ends after"),
        (_file(), "no pitched notes"),
    ],
)
def test_damage_is_named(data, message):
    with pytest.raises(ScoreError, match=f"^piece.*{message}"):
        _read(data)


def test_unknown_chunks_are_skipped():
    data = _file(_track(_on(0, 60), _off(SECOND, 60)))
    assert _spans(data[:14] + b"XFIH\0\0\0\3abc" + data[14:]) == [(0, 1, 60)]


_SONGS = st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 2000), st.integers(0, 127)), min_size=1, max_size=30)
_TEMPOS = st.lists(st.tuples(st.integers(0, 5000), st.integers(10_000, 3_000_000)), max_size=8)


def _song(song, tempos, division: int) -> bytes:
    tick, events = 0, []
    for gap, length, pitch in song:
        tick += gap
        events += [(tick, 1, bytes([0x90, pitch, 64])), (tick + length, 0, bytes([0x80, pitch, 0]))]
        tick += length
    events.sort()
    deltas = [events[0][0], *(after[0] - before[0] for before, after in itertools.pairwise(events))]
    conductor = _track(*(_tempo(delta, usec) for delta, usec in tempos))
    melody = _track(*((delta, event[2]) for delta, event in zip(deltas, events, strict=True)))
    return _file(conductor, melody, division=division)


@hypothesis.given(_SONGS, _TEMPOS, st.sampled_from([24, 96, 480, 960, 10080]))
@hypothesis.settings(deadline=None, max_examples=60)
def test_pretty_midi_reads_the_same_notes(song, tempos, division):
    data = _song(song, tempos, division)
    other = pretty_midi.PrettyMIDI(io.BytesIO(data)).instruments[0].notes
    expected = sorted((note.start, note.end, note.pitch) for note in other)
    ours = [(float(start), float(end), pitch) for start, end, pitch in _spans(data)]
    assert [pitch for *_, pitch in ours] == [pitch for *_, pitch in expected]
    assert [time for note in ours for time in note[:2]] == pytest.approx([t for note in expected for t in note[:2]])


@hypothesis.given(_SONGS)
@hypothesis.settings(deadline=None, max_examples=30)
def test_music21_reads_the_same_ticks(song):
    data = _song(song, [], 480)
    file = m21midi.MidiFile()
    file.readstr(data)
    tick, expected = 0, []
    for event in file.tracks[1].events:
        if event.isDeltaTime():
            tick += event.time
        elif event.isNoteOn():
            expected.append((Fraction(tick, SECOND), event.pitch))
    assert sorted((note.start_sec, note.pitch) for note in _read(data).notes) == sorted(expected)


@hypothesis.given(st.binary(max_size=60), st.integers(0, len(WHOLE) - 1))
@hypothesis.settings(deadline=None, max_examples=150)
def test_any_damage_is_a_score_error_or_a_score(noise, position):
    data = b"MThd" + WHOLE[4:position] + noise + WHOLE[position + len(noise) :]
    try:
        assert all(isinstance(note, Note) for note in _read(data).notes)
    except ScoreError as error:
        assert str(error).startswith("piece") and "\n" not in str(error)
