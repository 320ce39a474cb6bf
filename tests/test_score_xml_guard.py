"""XML that must not reach a parser that builds trees."""

import pytest

from pnet_tf import limits
from pnet_tf.score_notes import ScoreError
from pnet_tf.score_xml_guard import MAX_REPEATS, check_xml

DOCTYPE = (
    '<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 4.0 Partwise//EN" "http://x.invalid/partwise.dtd">'
)
LAUGHS = '<!DOCTYPE score-partwise [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><score-partwise>&b;</score-partwise>'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_a_score_passes_in_any_encoding(encoding):
    name = encoding.removesuffix("-sig")
    text = f'<?xml version="1.0" encoding="{name}"?>{DOCTYPE}<score-partwise><part name="Flûte"/></score-partwise>'
    assert check_xml(text.encode(encoding), "x.xml") == "score-partwise"


def test_the_root_is_named_without_its_namespace():
    assert check_xml(b'<mei xmlns="http://www.music-encoding.org/ns/mei"/>', "x.mei") == "mei"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, "declares an entity \\('a'\\)"),
        ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///secret">]><a>&x;</a>', "declares an entity \\('x'\\)"),
        ('<!DOCTYPE a [<!ENTITY % x "y">]><a/>', "declares an entity \\('x'\\)"),
        ("<a>" * 101 + "</a>" * 101, "nested more than 100 deep"),
        (f'<a><repeat direction="backward" times="{MAX_REPEATS + 1}"/></a>', "a repeat of 33 times"),
        (f'<a><repeat direction="backward" times="{"9" * 5000}"/></a>', "a repeat of 99999999999999999999 times"),
        ("<a><b></a>", "damaged or truncated XML"),
        ("<a>", "damaged or truncated XML"),
        ("", "damaged or truncated XML"),
        ('<?xml version="1.0" encoding="klingon"?><a/>', "damaged or truncated XML"),
    ],
)
def test_what_could_grow_or_is_damaged_is_refused(text, message):
    with pytest.raises(ScoreError, match=f"^x.xml: .*{message}"):
        check_xml(text.encode(), "x.xml")


def test_too_many_notes_are_refused_before_they_are_parsed():
    with limits.raised_to(limits.Limits(notes=3)):
        check_xml(b"<a>" + b"<note/>" * 3 + b"</a>", "x.xml")
        with pytest.raises(ScoreError, match="more than 3 notes"):
            check_xml(b"<a>" + b"<note/>" * 4 + b"</a>", "x.xml")
