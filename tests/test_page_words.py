"""The page speaks to musicians: no paths, no flags, nothing of a stranger's file as HTML."""

import pathlib
import re
import types
from fractions import Fraction

import pytest

from pnet_tf import page_words
from pnet_tf.errors import InputError
from pnet_tf.score import Note, read_score, score_from_notes

PATH = pathlib.Path("/somewhere/else/score.xml")


def fit_of(**fields):
    return types.SimpleNamespace(**{"outside": {}, "unheard": {}, "n_lost": 0, "semitones": 0, **fields})


def test_notes_beyond_the_instrument_are_named_with_its_limits():
    assert page_words.fit_sentences(fit_of(outside={52: 1, 53: 2, 104: 3}), "violin", easier=12) == [
        "Too low for a violin: E3 (1 note), F3 (2 notes). Its lowest note is G3.",
        "Too high for a violin: G♯7 (3 notes). It reaches up to G7.",
        "It fits better an octave higher than written.",
    ]


def test_what_a_voice_never_heard_is_told_apart_and_what_fits_needs_no_word():
    assert page_words.fit_sentences(fit_of(unheard={90: 1}), "violin", easier=None) == [
        "New to this violin, which never heard them when it learnt, and likely weak: F♯6 (1 note)."
    ]
    assert page_words.fit_sentences(fit_of(), "violin", easier=3) == []
    assert "2 notes lie beyond" in page_words.fit_sentences(fit_of(n_lost=2), "violin", easier=None)[0]


def test_of_many_pitches_those_with_the_most_notes_are_named():
    said = page_words.fit_sentences(fit_of(outside={pitch: pitch for pitch in range(20, 40)}), "violin", easier=None)[0]
    assert "D♯2 (39 notes)" in said and "G♯0" not in said
    assert "and 306 notes on 12 others" in said


@pytest.mark.parametrize(
    ("semitones", "words"),
    [
        (0, "as written"),
        (12, "an octave higher than written"),
        (-25, "2 octaves and a semitone lower than written"),
        (3, "3 semitones higher than written"),
    ],
)
def test_transpositions_in_words(semitones, words):
    assert page_words.interval(semitones) == words


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            f"{PATH}: not a readable score (begins with b'\\x89PNG'), expected MIDI (MThd); export it again",
            "“holiday.png” is not a score that can be read here. Give MIDI (.mid), MusicXML (.musicxml, .xml, .mxl), kern, ABC "
            "or MEI.",
        ),
        (f"{PATH}: the file is empty, expected a score", "“holiday.png” is empty."),
        (
            f"{PATH}: no pitched notes found, expected at least one",
            "“holiday.png” holds no notes with a pitch; there is nothing for an instrument to play.",
        ),
        (
            f"{PATH}: a zip file without ../../etc/passwd, expected compressed MusicXML",
            "“holiday.png” is a zip file that holds no score. Export it again as MusicXML.",
        ),
        (
            f"{PATH}: the XML declares an entity ('a'), which no score needs; export it again without",
            "“holiday.png” holds what no score needs, and is not read for safety. Export it again from your notation program, or "
            "give MIDI or MusicXML.",
        ),
        (
            f"{PATH}: line 1: no column x; expected MusicNet's header, with at least start_time",
            "“holiday.png” is a table that holds no notes of a score. Give MIDI (.mid), MusicXML (.musicxml, .xml, .mxl), kern, "
            "ABC or MEI.",
        ),
        (
            f"{PATH}: XML of kind <html>, expected MusicXML <score-partwise> (or MEI); export it as MusicXML",
            "“holiday.png” is an XML file, but not a score. Give MusicXML.",
        ),
        (
            f"{PATH}: music21 cannot read this score (X: tPrev: None); export it again",
            "“holiday.png” cannot be read; it may be damaged. Export it again from your notation program, or give MIDI or "
            "MusicXML.",
        ),
    ],
)
def test_a_refusal_has_no_path_and_no_flag(message, said):
    assert page_words.refusal(message, PATH, "holiday.png") == said


def test_what_no_reader_knows_is_said_by_what_the_file_is_called():
    said = page_words.refusal(f"{PATH}: music21 cannot read this score (ABCHandlerException: x); export it again", PATH, "x.abc")
    assert said == (
        "“x.abc” cannot be read as ABC; it may be damaged, or not be ABC at all. Export it again from your notation program, or "
        "give MIDI or MusicXML."
    )


FILES = {
    "x.abc": b"hello",
    "x.csv": b"a,b\n1,2\n",
    "x.xml": b"<html><body>hi</body></html>",
    "y.xml": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "b">]><score-partwise>&a;</score-partwise>',
    "x.mid": b"MThd\0\0\0\6\0\1\0\1",
    "z.mid": b"MThd\0\0\0\6\0\2\0\1\0\x60MTrk\0\0\0\4\0\xff\x2f\0",
    "x.musicxml": b'<?xml version="1.0"?><score-partwise><part',
    "x.mei": b"\0\1",
    "x.wav": b"RIFF\0\0\0\0WAVE",
}


@pytest.mark.parametrize("name", FILES)
def test_no_refusal_speaks_of_the_reader(name, tmp_path):
    (tmp_path / name).write_bytes(FILES[name])
    with pytest.raises(InputError) as caught:
        read_score(tmp_path / name)
    said = page_words.refusal(str(caught.value), tmp_path / name, name)
    assert said.startswith(f"“{name}” ") and said.endswith(".") and said.count("xport it again") <= 1
    assert not re.search(r"music21|MusicNet|Exception|entity|None|line \d|[<>{}\[\]]|--|\.\./", said), said


def test_a_file_name_is_a_name_and_no_path():
    assert page_words.display_name("../../etc/a\x00b\n.mid") == "a b .mid"
    assert page_words.display_name(r"C:\music\a.mid") == "a.mid"
    assert len(page_words.display_name("x" * 500)) == 80


def test_a_notice_is_escaped():
    said = page_words.notice_html("<b>t</b>", ["<script>alert(1)</script>", ""], kind="error")
    assert "<script" not in said and "<b>" not in said
    assert "&lt;script&gt;" in said and 'role="alert"' in said and said.count("<li>") == 1
    assert page_words.notice_html("", [], kind="good") == ""


def test_parts_are_numbered_and_the_one_named_after_a_voice_comes_first():
    parts = ("Piano", "Solo Violin", "Violoncello")
    assert page_words.guess_part(parts, ["cello", "violin"]) == 2
    assert page_words.guess_part(("Tuba", "Horn"), ["cello"]) == 1
    assert page_words.part_label(parts, 2) == "2. Solo Violin"
    assert page_words.part_label(["Oboe 1/2", "Violin\\Flute\x00"], 1) == "1. Oboe 1/2"
    assert page_words.part_label(["Oboe 1/2", "Violin\\Flute\x00"], 2) == "2. Violin\\Flute"
    assert page_words.parts_sentence(parts, 3) == "The score has 3 parts; one plays at a time. Now playing: Violoncello."
    assert page_words.parts_sentence((), 1) == ""


def test_a_score_in_a_line():
    notes = [Note(Fraction(0), Fraction(1), 55), Note(Fraction(1), Fraction(65), 76)]
    score = score_from_notes("x", notes, ignored={"slurs": 2, "notes of other parts": 5})
    assert page_words.summary(score) == "2 notes from G3 to E5, 1:05"
    assert page_words.ignored_sentence(score) == "In the score, but not performed: slurs (2)."
    assert page_words.summary(score_from_notes("x", notes[:1])) == "1 note, G3, 0:01"


def test_a_clock_rounds_halves_up_as_the_player_does():
    assert [page_words.clock(seconds) for seconds in (0.49, 0.5, 11.5, 12.5, 59.5, 65)] == [
        "0:00", "0:01", "0:12", "0:13", "1:00", "1:05",
    ]  # fmt: skip


def test_limits_say_what_they_are():
    said = "It would last 23:10; this page plays up to 10 minutes."
    assert page_words.too_long(695, 10, tempo=1).endswith("up to 10 minutes. Choose a tempo of 1.2 or more, or cut the score.")
    assert page_words.too_long(1390, 10, tempo=0.5) == f"{said} Choose a tempo of 1.2 or more, or cut the score."
    assert page_words.too_long(1390, 10, tempo=1) == f"{said} Cut the score."
    assert "up to 1 minute. " in page_words.too_long(1390, 1, tempo=1)
    assert "larger than 5 MB" in page_words.too_large("a.mid", 5.0)
    assert "more than 20000 notes" in page_words.too_many_notes(20000)
    assert [page_words.place_sentence(n) for n in (1, 3)] == ["Next to play.", "Waiting: 2 before you."]
