"""The door: formats told by content, warnings once, transposing, tempo."""

import io
import math
import os
import pathlib
import subprocess
import sys
import zipfile
from fractions import Fraction

import pytest
from absl import logging

from pnet_tf import limits
from pnet_tf.score import Note, ScoreError, read_labels, read_score, scale_tempo, score_from_notes, transpose

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"
MIDI = bytes.fromhex("4d546864000000060000000101e0 4d54726b0000000d 00903c50 8740803c00 00ff2f00")
XML = (
    b'<score-partwise><part-list><score-part id="P1"><part-name>Flute</part-name></score-part></part-list>'
    b'<part id="P1"><measure number="1"><attributes><divisions>1</divisions></attributes>'
    b"<note><pitch><step>C</step><octave>4</octave></pitch><duration>2</duration></note></measure></part></score-partwise>"
)
LABELS = b"start_time,end_time,instrument,note,start_beat,end_beat,note_value\n0,44100,74,60,0,1,Half\n"


def _mxl() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("META-INF/container.xml", '<container><rootfile full-path="a.xml"/></container>')
        archive.writestr("a.xml", XML)
    return buffer.getvalue()


CONTENTS = {"mid": MIDI, "musicxml": XML, "bom": b"\xef\xbb\xbf" + XML, "mxl": _mxl(), "csv": LABELS}
CONTENTS["utf16"] = XML.decode().encode("utf-16")
ONE_SECOND = (Note(Fraction(0), Fraction(1), 60),)


@pytest.fixture
def warned(monkeypatch):
    lines = []
    monkeypatch.setattr(logging, "warning", lambda text, *args: lines.append(text % args))
    return lines


@pytest.mark.parametrize("suffix", [".mid", ".musicxml", ".csv", ".bin", ""])
@pytest.mark.parametrize("kind", sorted(CONTENTS))
def test_content_tells_the_format_whatever_the_suffix(kind, suffix, tmp_path):
    path = tmp_path / f"song.1{suffix}"
    path.write_bytes(CONTENTS[kind])
    score = read_score(path)
    assert score.notes == ONE_SECOND
    assert score.name == path.stem


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.mid", b"", "the file is empty"),
        ("a.mid", b" \n", "the file is empty"),
        ("a.mid", b"RIFF1234", "expected MIDI"),
        ("a.mxl", b"RIFF1234", "expected a whole zip file"),
        ("a.musicxml", b"hello", "expected XML"),
        ("a.xml", b"<a>", "damaged or truncated XML"),
        ("a.csv", b"a,b\n1,2\n", "line 1: no column start_time"),
        ("a.abc", b"rubbish", "music21 cannot read"),
        ("a.wav", b"RIFF1234", "expected one of .mid .midi .musicxml"),
        ("a.p", b"\x80\x04K\x01.", "expected one of .mid"),
        ("a.mid", MIDI[:-9], "ends after"),
        ("a.mxl", _mxl()[:-40], "not a readable score"),
    ],
)
def test_what_is_no_score_is_one_line_that_names_the_file(name, data, message, tmp_path):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ScoreError) as caught:
        read_score(str(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_missing_folders_or_too_large(tmp_path, monkeypatch):
    with pytest.raises(ScoreError, match=r"none\.mid: cannot read the score \(No such file"):
        read_score(tmp_path / "none.mid")
    with pytest.raises(ScoreError, match="cannot read the score"):
        read_score(tmp_path)
    (tmp_path / "a.mid").write_bytes(MIDI)
    monkeypatch.setattr(limits, "_FILE_BYTES", len(MIDI) - 1)
    with pytest.raises(ScoreError, match="larger than"):
        read_score(tmp_path / "a.mid")


def test_label_files_have_parts_by_instrument(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(LABELS + b"0,44100,41,70,0,1,Half\n")
    assert read_score(path, part="violin").notes[0].pitch == 70
    with pytest.raises(ScoreError, match="1 'violin', 2 'flute'"):
        read_score(path)


def test_what_is_ignored_is_warned_of_once(tmp_path, warned):
    path = tmp_path / "a.xml"
    path.write_bytes(
        XML.replace(
            b"<note>", b"<direction><direction-type><dynamics><f/></dynamics></direction-type></direction><note>"
        )
    )
    read_score(path)
    assert warned == ["a: not used: 1 dynamics"]


def test_a_score_with_nothing_to_ignore_is_read_in_silence(tmp_path, warned):
    (tmp_path / "a.mid").write_bytes(MIDI)
    read_score(tmp_path / "a.mid")
    assert warned == []


def test_music21_leaves_no_pickle_behind(tmp_path, monkeypatch):
    from music21 import environment

    monkeypatch.setattr(environment.Environment, "getRootTempDir", lambda self: tmp_path)
    (tmp_path / "a.xml").write_bytes(XML)
    (tmp_path / "a.abc").write_text("X:1\nM:2/4\nL:1/4\nK:C\nC D | E F | G2 |\n")
    read_score(tmp_path / "a.xml")
    read_score(tmp_path / "a.abc")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.abc", "a.xml"]


def _score():
    notes = [Note(Fraction(0), Fraction(1, 3), 2), Note(Fraction(1, 3), Fraction(1), 120)]
    return score_from_notes("piece", notes, part="solo", bars_sec=[Fraction(0), Fraction(1, 2)], ignored={"trills": 1})


def test_transposing_moves_every_note_and_counts_what_falls_out():
    assert [note.pitch for note in transpose(_score(), 7).notes] == [9, 127]
    assert transpose(_score(), 0) == _score()
    down = transpose(_score(), -3)
    assert [note.pitch for note in down.notes] == [117]
    assert down.ignored == {"trills": 1, "notes transposed out of range": 1}
    assert transpose(transpose(_score(), 8), -8).ignored == {"trills": 1, "notes transposed out of range": 1}
    with pytest.raises(ScoreError, match="no pitched notes"):
        transpose(_score(), 200)


def test_tempo_two_is_twice_as_fast_and_a_float_means_its_decimal():
    fast = scale_tempo(_score(), 2.0)
    assert [(note.start_sec, note.end_sec) for note in fast.notes] == [
        (0, Fraction(1, 6)),
        (Fraction(1, 6), Fraction(1, 2)),
    ]
    assert fast.bars_sec == (0, Fraction(1, 4))
    assert (fast.part, fast.ignored) == ("solo", {"trills": 1})
    assert scale_tempo(_score(), 1.1).end_sec == Fraction(10, 11)
    assert scale_tempo(_score(), Fraction(2, 3)).end_sec == Fraction(3, 2)


@pytest.mark.parametrize("tempo", [0, 0.0, -1, math.inf, math.nan])
def test_a_tempo_must_be_above_zero(tempo):
    with pytest.raises(ScoreError, match="piece: tempo is .*expected a number above 0"):
        scale_tempo(_score(), tempo)


def test_importing_the_door_loads_nothing_heavy():
    code = "import sys, pnet_tf.score; print(sorted({'numpy', 'music21', 'tensorflow', 'keras'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("file", "part", "lowest", "highest"),
    [
        ("bach_cello_suite_1_prelude.musicxml", "Violoncello", 36, 67),
        ("greensleeves_violin.musicxml", "Violin", 55, 86),
        ("ode_to_joy_flute.mid", "Flute", 62, 93),
    ],
)
def test_examples_can_be_read(file, part, lowest, highest):
    score = read_score(EXAMPLES / file)
    assert score.part == part
    assert 20 <= score.end_sec <= 45
    assert all(lowest <= note.pitch <= highest for note in score.notes)
    assert score.bars_sec[0] == 0
    assert len(score.bars_sec) > 7


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "fifo.mid")
    for read in (read_score, read_labels):
        with pytest.raises(ScoreError, match=r"fifo\.mid: .*not a regular file"):
            read(tmp_path / "fifo.mid")


def test_a_limit_of_many_notes_costs_a_small_file_no_memory(tmp_path):
    (tmp_path / "a.mid").write_bytes(MIDI)
    with limits.raised_to(limits.Limits(notes=10**9)):
        assert read_score(tmp_path / "a.mid").n_notes
