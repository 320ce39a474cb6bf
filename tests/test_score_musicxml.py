"""MusicXML and its like as small inline scores, each rule with the times worked out by hand."""

import io
import tracemalloc
import zipfile
from fractions import Fraction

import pytest

from pnet_tf import limits, score_musicxml
from pnet_tf.score_musicxml import score_from_mxl, score_from_text, score_from_xml
from pnet_tf.score_notes import ScoreError

F = Fraction
ATTRIBUTES = "<divisions>2</divisions><time><beats>2</beats><beat-type>4</beat-type></time>"
FORWARD = '<barline location="left"><repeat direction="forward"/></barline>'
BACKWARD = '<barline location="right"><repeat direction="backward"/></barline>'


def _note(name: str, length: float = 1, more: str = "", before: str = "") -> str:
    """One note: `C5`, `F#4` or `-` for a rest; length in quarters; tie, chord and grace tags as they come."""
    alter = "<alter>1</alter>" if "#" in name else ""
    pitch = f"<pitch><step>{name[0]}</step>{alter}<octave>{name[-1]}</octave></pitch>" if name != "-" else "<rest/>"
    duration = "" if "grace" in before else f"<duration>{int(2 * length)}</duration>"
    return f"<note>{before}{pitch}{duration}{more}</note>"


def _tempo(per_minute: float) -> str:
    metronome = f"<metronome><beat-unit>quarter</beat-unit><per-minute>{per_minute}</per-minute></metronome>"
    return f"<direction><direction-type>{metronome}</direction-type></direction>"


def _ending(number: int, kind: str) -> str:
    side = "left" if kind == "start" else "right"
    repeat = '<repeat direction="backward"/>' if (number, kind) == (1, "stop") else ""
    return f'<barline location="{side}"><ending number="{number}" type="{kind}"/>{repeat}</barline>'


def _xml(*parts: list[str], names: tuple[str, ...] = ("Violin", "Cello"), attributes: str = "") -> bytes:
    """A score of parts, each a list of bars."""
    listing = "".join(
        f'<score-part id="P{index}"><part-name>{name}</part-name></score-part>'
        for index, (_, name) in enumerate(zip(parts, names, strict=False))
    )
    music = ""
    for index, bars in enumerate(parts):
        music += f'<part id="P{index}">'
        for number, bar in enumerate(bars, 1):
            head = f"<attributes>{ATTRIBUTES}{attributes}</attributes>" if number == 1 else ""
            music += f'<measure number="{number}">{head}{bar}</measure>'
        music += "</part>"
    return f'<score-partwise version="4.0"><part-list>{listing}</part-list>{music}</score-partwise>'.encode()


def _read(data: bytes, part: str | None = None):
    return score_from_xml(data, name="piece", where="piece.musicxml", part=part)


def _spans(data: bytes, part: str | None = None) -> list[tuple[Fraction, Fraction, int]]:
    return [(note.start_sec, note.end_sec, note.pitch) for note in _read(data, part).notes]


def _starts(data: bytes, part: str | None = None) -> list[tuple[Fraction, int]]:
    return [(note.start_sec, note.pitch) for note in _read(data, part).notes]


def test_notes_rests_and_bars_at_120_where_no_tempo_stands():
    score = _read(_xml([_note("A4") + _note("-"), _note("B4", 2)]))
    assert [(n.start_sec, n.end_sec, n.pitch) for n in score.notes] == [(0, F(1, 2), 69), (1, 2, 71)]
    assert (score.name, score.part, score.bars_sec, score.ignored) == ("piece", "Violin", (0, 1), {})


def test_only_a_file_that_takes_long_says_so(monkeypatch, caplog):
    caplog.set_level("INFO", logger="absl")
    _read(_xml([_note("C4", 2)]))
    assert caplog.messages == []
    monkeypatch.setattr(score_musicxml, "_LARGE_BYTES", 10)
    data = _xml([_note("C4", 2)])
    _read(data)
    assert caplog.messages == [f"piece.musicxml: {len(data) / 1e6:.1f} MB, which take some seconds a megabyte to read"]


def test_a_tempo_in_the_first_part_holds_for_the_second():
    violin = [_tempo(60) + _note("A4", 2), _note("A4") + _tempo(90) + _note("A4")]
    assert _starts(_xml(violin, [_note("C3", 2), _note("C3") + _note("D3")]), "cello") == [(0, 48), (2, 48), (3, 50)]
    spans = _spans(_xml(violin, [_note("C3", 2), _note("C3") + _note("D3")]), "cello")
    assert spans[-1] == (3, 3 + F(2, 3), 50)


@pytest.mark.parametrize(
    ("tempo", "end_sec"),
    [
        ('<sound tempo="30"/>', 2),
        ('<direction><direction-type><words>Adagio</words></direction-type><sound tempo="30"/></direction>', 2),
        (_tempo(60).replace("</direction>", '<sound tempo="30"/></direction>'), 2),
        (_tempo(60).replace("quarter", "half"), F(1, 2)),
        (_tempo(60).replace("</beat-unit>", "</beat-unit><beat-unit-dot/>"), F(2, 3)),
        (_tempo(66.7), F(600, 667)),
    ],
)
def test_every_way_to_write_a_tempo(tempo, end_sec):
    assert _spans(_xml([tempo + _note("A4")])) == [(0, end_sec, 69)]


def test_a_tempo_without_a_number_is_counted():
    data = _xml([_tempo(60).replace(">60<", ">lively<") + _note("A4")])
    assert _spans(data) == [(0, F(1, 2), 69)]
    assert _read(data).ignored == {"tempo marks without a number": 1}


def test_repeats_are_played_and_their_bars_listed():
    score = _read(_xml([_note("A4", 2), FORWARD + _note("B4", 2) + BACKWARD, _note("C5", 2)]))
    assert [(n.start_sec, n.pitch) for n in score.notes] == [(0, 69), (1, 71), (2, 71), (3, 72)]
    assert score.bars_sec == (0, 1, 2, 3)


def test_first_and_second_endings():
    bars = [_note("A4", 2), _ending(1, "start") + _note("B4", 2) + _ending(1, "stop")]
    bars += [_ending(2, "start") + _note("C5", 2) + _ending(2, "stop")]
    assert [pitch for _, pitch in _starts(_xml(bars))] == [69, 71, 69, 72]


def test_a_short_bar_lasts_as_long_as_what_it_holds():
    bars = [FORWARD + _note("A4", 2), _note("B4") + BACKWARD, _note("C5", 2)]
    assert _starts(_xml(bars)) == [(0, 69), (1, 71), (F(3, 2), 69), (F(5, 2), 71), (3, 72)]


def test_a_da_capo_in_the_first_part_holds_for_the_second():
    capo = "<direction><direction-type><words>D.C.</words></direction-type></direction>"
    violin = [_note("A4", 2), _note("B4", 2) + capo]
    assert [pitch for _, pitch in _starts(_xml(violin, [_note("C3", 2), _note("D3", 2)]), "2")] == [48, 50, 48, 50]
    fine = capo.replace("D.C.", "Fine")
    assert [pitch for _, pitch in _starts(_xml([violin[0] + fine, violin[1].replace("D.C.", "D.C. al Fine")]))] == [
        69,
        71,
        69,
    ]


def test_repeats_with_equal_bar_numbers_are_not_mixed_up():
    data = _xml([_note("A4", 2) + BACKWARD, _note("B4", 2)]).replace(b'number="2"', b'number="1"')
    assert [pitch for _, pitch in _starts(data)] == [69, 69, 71]


def test_repeats_that_do_not_add_up_are_played_once_and_counted():
    data = _xml([FORWARD + _note("A4", 2), FORWARD + _note("B4", 2), _note("C5", 2)])
    assert [pitch for _, pitch in _starts(data)] == [69, 71, 72]
    assert _read(data).ignored == {"repeats that do not add up (played once)": 1}


def test_ties_are_joined_across_the_barline_and_re_attacks_kept():
    bars = [_note("A4") + _note("B4", more='<tie type="start"/>'), _note("B4", more='<tie type="stop"/>') + _note("B4")]
    assert _spans(_xml(bars)) == [(0, F(1, 2), 69), (F(1, 2), F(3, 2), 71), (F(3, 2), 2, 71)]


def test_one_note_of_a_chord_is_tied_alone():
    bars = [
        _note("C4", 2, '<tie type="start"/>') + _note("E4", 2, before="<chord/>"),
        _note("C4", 2, '<tie type="stop"/>') + _note("E4", 2, before="<chord/>"),
    ]
    assert _spans(_xml(bars)) == [(0, 1, 64), (0, 2, 60), (1, 2, 64)]


def test_grace_notes_come_before_the_beat():
    bars = [_tempo(60) + _note("A4") + _note("C5", before="<grace/>") + _note("D5", before="<grace/>") + _note("B4")]
    assert _spans(_xml(bars)) == [
        (0, F(94, 100), 69),
        (F(94, 100), F(97, 100), 72),
        (F(97, 100), 1, 74),
        (1, 2, 71),
    ]


def test_voices_sound_together():
    second = "<backup><duration>4</duration></backup>" + _note("C4", 2, "<voice>2</voice>")
    assert _spans(_xml([_note("A4", more="<voice>1</voice>") + _note("B4", more="<voice>1</voice>") + second])) == [
        (0, F(1, 2), 69),
        (0, 1, 60),
        (F(1, 2), 1, 71),
    ]


def test_triplets_are_exact():
    bars = ["<attributes><divisions>3</divisions></attributes>" + "".join(_note("A4", 1) for _ in range(3))]
    assert [start for start, _ in _starts(_xml(bars))] == [0, F(1, 3), F(2, 3)]


@pytest.mark.parametrize(
    ("attributes", "pitch"),
    [
        ("<transpose><diatonic>-1</diatonic><chromatic>-2</chromatic></transpose>", 70),
        ("<transpose><chromatic>0</chromatic><octave-change>-1</octave-change></transpose>", 60),
        ("<clef><sign>G</sign><line>2</line><clef-octave-change>-1</clef-octave-change></clef>", 72),
    ],
)
def test_pitch_is_as_heard(attributes, pitch):
    assert _starts(_xml([_note("C5")], attributes=attributes)) == [(0, pitch)]


def test_an_octave_line_is_not_played_twice():
    kinds = ["down", "stop"]
    begin, end = (
        f'<direction><direction-type><octave-shift type="{kind}" size="8"/></direction-type></direction>'
        for kind in kinds
    )
    assert _starts(_xml([begin + _note("A5") + end + _note("B4")])) == [(0, 81), (F(1, 2), 71)]


def test_percussion_is_counted_and_no_part():
    drum = "<note><unpitched/><duration>2</duration></note>"
    clef = "<attributes><clef><sign>percussion</sign></clef></attributes>"
    data = _xml([_note("A4") + drum], [clef + _note("C4") + _note("C4")], names=("Violin", "Drums"))
    assert _spans(data) == [(0, F(1, 2), 69)]
    assert _read(data).ignored == {"percussion notes": 3}
    with pytest.raises(ScoreError, match="no pitched notes"):
        _read(_xml([drum]))


def test_chord_symbols_and_cue_notes_do_not_sound():
    harmony = "<harmony><root><root-step>C</root-step></root><kind>major</kind></harmony>"
    cue = _note("C5", before="<cue/>") + _note("E5", before="<cue/><chord/>") + _note("G5", before="<grace/><cue/>")
    data = _xml([harmony + cue + _note("A4")])
    assert _spans(data) == [(F(1, 2), 1, 69)]
    assert _read(data).ignored == {"cue notes": 3}


def test_what_the_notes_do_not_show_is_counted():
    marks = "<ornaments><trill-mark/></ornaments><articulations><staccato/></articulations><fermata/>"
    notations = f'<notations>{marks}<slur type="start" number="1"/></notations>'
    dynamics = "<direction><direction-type><dynamics><f/></dynamics></direction-type></direction>"
    last = _note("B4", more='<notations><ornaments><mordent/></ornaments><slur type="stop" number="1"/></notations>')
    assert _read(_xml([dynamics + _note("A4", more=notations) + last])).ignored == {
        "dynamics": 1,
        "slurs": 1,
        "articulations": 1,
        "trills": 1,
        "fermatas": 1,
        "ornaments": 1,
    }


def test_parts_are_chosen_and_listed():
    data = _xml([_note("A4")], [_note("C3")])
    assert _starts(data, "CELLO") == [(0, 48)]
    assert _read(data, "1").ignored == {"other parts": 1}
    with pytest.raises(ScoreError, match="2 parts hold notes.*--part=NAME.*1 'Violin', 2 'Cello'"):
        _read(data)
    with pytest.raises(ScoreError, match="2 parts are called 'Violin'.*1 'Violin', 2 'Violin'"):
        _read(_xml([_note("A4")], [_note("C4")], names=("Violin", "Violin")), "Violin")


WHOLE = _xml([_note("A4")])


@pytest.mark.parametrize("size", range(0, len(WHOLE), 23))
def test_truncated_xml_is_one_line(size):
    with pytest.raises(ScoreError, match="^piece.musicxml: damaged or truncated XML"):
        _read(WHOLE[:size])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<score-timewise/>", "kind <score-timewise>, expected MusicXML"),
        (b"<html/>", "kind <html>"),
        (b"<score-partwise/>", "no pitched notes"),
        (_xml([_note("-", 2)]), "no pitched notes"),
        (_xml([_note("A4")]).replace(b">A<", b">H<"), "cannot read this score"),
        (_xml([_note("A4")]).replace(b"<duration>2", b"<duration>x"), "cannot read this score"),
        (b'<!DOCTYPE a [<!ENTITY e "x">]><score-partwise>&e;</score-partwise>', "declares an entity"),
    ],
)
def test_what_is_no_score_is_one_line(data, message):
    with pytest.raises(ScoreError, match=f"^piece.musicxml: .*{message}") as caught:
        _read(data)
    assert "\n" not in str(caught.value)


CONTAINER = '<container><rootfiles><rootfile full-path="music.xml"/></rootfiles></container>'


def _mxl(files: dict[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _read_mxl(data: bytes):
    return score_from_mxl(data, name="piece", where="piece.mxl")


def test_compressed_musicxml_is_read():
    data = _mxl({"META-INF/container.xml": CONTAINER, "music.xml": _xml([_note("A4")])})
    assert _read_mxl(data).notes == _read(_xml([_note("A4")])).notes


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"other.txt": "x"}, "without META-INF/container.xml"),
        ({"META-INF/container.xml": CONTAINER}, "without music.xml"),
        ({"META-INF/container.xml": "<container/>"}, "no score named"),
        ({"META-INF/container.xml": CONTAINER, "music.xml": b"<a"}, "damaged or truncated XML"),
        ({"META-INF/container.xml": CONTAINER, "music.xml": b" " * 2000}, "music.xml unpacks to more than"),
    ],
)
def test_archives_that_hold_no_score(files, message, monkeypatch):
    monkeypatch.setattr(limits, "_FILE_BYTES", 1000)
    with pytest.raises(ScoreError, match=f"^piece.mxl: .*{message}"):
        _read_mxl(_mxl(files))


def test_an_archive_that_lies_about_its_size_is_refused():
    n_bytes = 20_000_001
    data = _mxl({"META-INF/container.xml": CONTAINER, "music.xml": b" " * n_bytes})
    assert data.count(n_bytes.to_bytes(4, "little")) == 2
    data = data.replace(n_bytes.to_bytes(4, "little"), (500).to_bytes(4, "little"))
    tracemalloc.start()
    with pytest.raises(ScoreError, match="^piece.mxl: "):
        _read_mxl(data)
    assert tracemalloc.get_traced_memory()[1] < n_bytes / 4
    tracemalloc.stop()


@pytest.mark.parametrize("part", range(1, 10))
def test_truncated_archives_are_one_line(part):
    data = _mxl({"META-INF/container.xml": CONTAINER, "music.xml": _xml([_note("A4")])})
    with pytest.raises(ScoreError, match="^piece.mxl: damaged compressed MusicXML"):
        _read_mxl(data[: len(data) * part // 10])


@pytest.mark.parametrize(
    ("text_format", "text", "expected"),
    [
        ("humdrum", "**kern\n*MM60\n*M2/4\n=1\n4c\n4d\n=2\n[2e\n=3\n2e]\n==\n*-\n", [(0, 60), (1, 62), (2, 64)]),
        (
            "abc",
            "X:1\nT:t\nM:2/4\nL:1/4\nQ:1/4=60\nK:G\nG A | B c |: f2 | d2 :|\n",
            [(0, 67), (1, 69), (2, 71), (3, 72), (4, 78), (6, 74), (8, 78), (10, 74)],
        ),
        ("tinynotation", "tinynotation: 2/4 c4 d e2", [(0, 60), (F(1, 2), 62), (1, 64)]),
    ],
)
def test_other_text_formats(text_format, text, expected):
    score = score_from_text(text.encode(), text_format, name="tune", where="tune.txt")
    assert [(note.start_sec, note.pitch) for note in score.notes] == expected


MEI = """<?xml version="1.0" encoding="UTF-8"?><mei xmlns="http://www.music-encoding.org/ns/mei" meiversion="3.0.0">
<music><body><mdiv><score><scoreDef meter.count="2" meter.unit="4"><staffGrp><staffDef n="1" lines="5" clef.shape="G"
clef.line="2"/></staffGrp></scoreDef><section><measure n="1"><staff n="1"><layer n="1"><note pname="a" oct="4" dur="4"/>
<note pname="b" oct="4" dur="4"/></layer></staff></measure></section></score></mdiv></body></music></mei>"""


def test_mei_is_read():
    assert _starts(MEI.encode()) == [(0, 69), (F(1, 2), 71)]


@pytest.mark.parametrize("text_format", sorted(set(score_musicxml.TEXT_FORMATS.values())))
@pytest.mark.parametrize("data", [b"rubbish", b"\x00\x01\x02", b"\xff" * 20])
def test_rubbish_in_a_text_format_is_one_line(text_format, data):
    with pytest.raises(ScoreError, match="^tune.txt: ") as caught:
        score_from_text(data, text_format, name="tune", where="tune.txt")
    assert "\n" not in str(caught.value)


def test_several_tunes_in_one_file_need_splitting():
    tune = "X:{0}\nT:t\nM:2/4\nL:1/4\nK:C\nC D | E F |\n\n"
    with pytest.raises(ScoreError, match="holds 2 pieces"):
        score_from_text((tune.format(1) + tune.format(2)).encode(), "abc", name="tune", where="tune.abc")
