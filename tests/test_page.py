"""What the events of the page give back, without Gradio: it is handed to them, and browser tests have the real one."""

import pathlib
import types

import pytest

from pnet_tf import page
from pnet_tf.errors import InputError
from pnet_tf.page_desk import Bounds, Choice, Wishes
from pnet_tf.page_reading import ReadScore


class FakeGradio:
    """Updates as dictionaries."""

    def update(self, **fields):
        return fields

    def skip(self):
        return "skipped"


class FakeDesk:
    """Knows two files: a good one with two parts, and any other, which is bad."""

    bounds = Bounds()

    def __init__(self):
        self.forgotten = []

    def choose(self, path, name, who):
        if path.name != "good.mid":
            raise InputError(f"“{name}” is no <score>.")
        return Choice(pathlib.Path("copy"), name, ReadScore(None, ("<i>Oboe</i>", "Violin"), 2))

    def choose_part(self, choice, number, who):
        return Choice(choice.path, choice.name, ReadScore(None, choice.found.parts, number))

    def voice_for(self, choice):
        return "violin"

    def forget(self, path):
        self.forgotten.append(path)

    def show(self, choice, wishes):
        piece = {"summary": f"2 notes by {wishes.voice}"}
        return {"piece": piece, "problems": ["Too <low>."], "remarks": ["A remark."], "playable": True}

    def begin(self, choice, wishes, who):
        if wishes.tempo < 1:
            raise InputError("It is too long.")
        return types.SimpleNamespace(token="T", name="good-violin")


# What the controls hold: voice, tempo, semitones, whether they fit, quality.
WISHES = ("cello", 1, 0, False, "good")


def take(desk, name, before=None):
    return page._take(FakeGradio(), desk, pathlib.Path("up") / name, name, before, WISHES)


def test_a_score_brings_its_parts_its_voice_and_a_notice():
    choice, part, voice, notice, perform, piece = take(FakeDesk(), "good.mid")
    assert (part["visible"], part["value"]) == (True, 2)
    assert part["choices"] == [("1. <i>Oboe</i>", 1), ("2. Violin", 2)]
    assert (voice, piece["summary"], perform) == ("violin", "2 notes by violin", {"interactive": True})
    assert "good.mid: 2 notes by violin." in notice and "Too &lt;low&gt;." in notice and "pnet-warning" in notice
    assert choice.name == "good.mid"


def test_a_bad_file_takes_the_last_score_away_and_is_escaped():
    desk = FakeDesk()
    choice, part, voice, notice, perform, piece = take(desk, "bad.mid", take(desk, "good.mid")[0])
    assert (choice, piece, perform, voice) == (None, None, {"interactive": False}, "skipped")
    assert "is no &lt;score&gt;." in notice and "pnet-error" in notice
    assert desk.forgotten == [pathlib.Path("copy")]


def test_taking_the_file_away_leaves_nothing_to_perform():
    found = page._take(FakeGradio(), FakeDesk(), None, "", None, WISHES)
    assert found[0] is None and found[3:] == ["", {"interactive": False}, None]


def test_another_part_is_read():
    desk = FakeDesk()
    choice = take(desk, "good.mid")[0]
    assert page._take_part(FakeGradio(), desk, 1, choice, WISHES)[0].found.number == 1
    assert page._take_part(FakeGradio(), desk, None, None, WISHES)[0] is None


def test_a_performance_is_begun_or_refused_in_words():
    desk, choice = FakeDesk(), take(FakeDesk(), "good.mid")[0]
    gr = FakeGradio()
    begun, notice = page._begin(gr, desk, choice, WISHES)
    assert (begun["url"], begun["name"], notice) == ("/performances/T", "good-violin", "skipped")
    assert begun["piece"]["summary"] == "2 notes by cello"
    refused, notice = page._begin(gr, desk, choice, ("cello", 0.5, 0, False, "good"))
    assert refused is None and "It is too long." in notice
    assert "choose an example" in page._begin(gr, desk, None, WISHES)[1]


@pytest.mark.parametrize(
    ("semitones", "fits", "wished"), [(0, False, 0), (-12, False, -12), (24.0, False, 24), (None, True, None)]
)
def test_what_the_controls_say(semitones, fits, wished):
    assert page._wishes("flute", 2, semitones, fits, "best") == Wishes("flute", wished, 2.0, 100)


@pytest.mark.parametrize("tempo", [None, "x", 0, 99, -3, float("nan"), [1]])
def test_a_tempo_that_is_none_is_told_and_nothing_is_performed_in_its_place(tempo):
    gr, desk, wished = FakeGradio(), FakeDesk(), ("cello", tempo, 0, False, "good")
    choice = take(desk, "good.mid")[0]
    notice, perform, piece = page._shown(gr, desk, choice, wished, typing=True)
    assert "The tempo has to be a number from 0.5 to 2." in notice
    assert (perform, piece) == ({"interactive": False}, "skipped")
    refused, notice = page._begin(gr, desk, choice, wished)
    assert refused is None and "The tempo has to be" in notice
    # Another score is taken all the same, and the last one's notes go.
    taken = page._take(gr, desk, pathlib.Path("up/good.mid"), "good.mid", choice, wished)
    assert taken[0].name == "good.mid" and taken[-1] is None and "The tempo has to be" in taken[3]


@pytest.mark.parametrize("semitones", [None, 1.5, 25, "x"])
def test_a_transposition_between_the_keys_is_told(semitones):
    with pytest.raises(InputError, match="whole number from −24 to 24"):
        page._wishes("flute", 1, semitones, False, "good")


def test_a_file_that_is_too_large_takes_the_last_score_away():
    desk = FakeDesk()
    choice, part, _, notice, perform, piece = page._take_large(FakeGradio(), desk, "<b>.mid", take(desk, "good.mid")[0])
    assert (choice, piece, perform, part["visible"]) == (None, None, {"interactive": False}, False)
    assert "“&lt;b&gt;.mid” is larger than 5 MB" in notice and desk.forgotten == [pathlib.Path("copy")]


def test_names_are_listed():
    assert page._listed(("cello", "flute", "violin")) == "cello, flute or violin"
    assert page._listed(("cello",)) == "cello"
