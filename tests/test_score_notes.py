"""Notes and scores: order, limits, and how one part of several is chosen."""

from fractions import Fraction

import pytest
from absl import logging

from pnet_tf import limits, score_notes
from pnet_tf.score_notes import Note, PartError, PartName, Score, ScoreError, choose_part, score_from_notes, warn_ignored


def _note(start: int, end: int, pitch: int = 60) -> Note:
    return Note(Fraction(start), Fraction(end), pitch)


def test_notes_are_sorted_and_counted():
    notes = [_note(2, 3), _note(0, 5, 70), _note(0, 5, 62)]
    score = score_from_notes("piece", notes, ignored={"trills": 2, "slurs": 0})
    assert score.notes == (_note(0, 5, 62), _note(0, 5, 70), _note(2, 3))
    assert (score.n_notes, score.end_sec) == (3, 5)
    assert score.ignored == {"trills": 2}


def test_equal_scores_are_equal_and_hash_alike():
    one, two = (score_from_notes("piece", [_note(0, 1)], ignored={"trills": 1}) for _ in range(2))
    assert one == two
    assert len({one, two}) == 1


def test_bars_after_the_last_note_are_left_out():
    assert score_from_notes("piece", [_note(0, 4)], bars_sec=map(Fraction, (2, 0, 4, 6))).bars_sec == (0, 2)


def test_a_note_of_no_length_is_kept():
    assert score_from_notes("piece", [_note(1, 1)]).notes == (_note(1, 1),)


def test_end_of_an_empty_score_is_zero():
    assert Score("piece", ()).end_sec == 0


@pytest.mark.parametrize(
    ("notes", "message"),
    [
        ([], "piece: no pitched notes"),
        ([_note(2, 1)], "impossible note"),
        ([_note(-1, 1)], "impossible note"),
        ([_note(0, 1, 128)], "impossible note"),
        ([_note(0, 4 * 3600 + 1)], "ends after 4.0 hours"),
    ],
)
def test_what_no_score_can_be(notes, message):
    with pytest.raises(ScoreError, match=message):
        score_from_notes("piece", notes)


def test_four_hours_are_allowed_and_too_many_notes_are_not():
    assert score_from_notes("piece", [_note(0, 4 * 3600)]).end_sec == 4 * 3600
    with limits.raised_to(limits.Limits(notes=2)), pytest.raises(ScoreError, match="more than 2 notes.*raise --max_notes"):
        score_from_notes("piece", [_note(0, 1)] * 3)


def test_of_ten_thousand_parts_some_are_listed():
    parts = [PartName(f"track {n}" * 100) for n in range(10_000)]
    with pytest.raises(ScoreError, match="10000 parts hold notes, .* and 9980 more$"):
        choose_part(parts, None, "piece")
    assert choose_part(parts, "9999", "piece") == 9998


PARTS = [PartName("Violin"), PartName("Solo", ("cello",)), PartName("violin"), PartName("2")]


@pytest.mark.parametrize(("wanted", "index"), [("solo", 1), (" CELLO ", 1), ("1", 0), ("3", 2), ("2", 3), ("4", 3)])
def test_parts_are_found_by_name_then_by_number(wanted, index):
    assert choose_part(PARTS, wanted, "piece") == index


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (None, "4 parts hold notes, choose one with --part=NAME .*: 1 'Violin', 2 'Solo', 3 'violin', 4 '2'"),
        ("violin", "2 parts are called 'violin', choose by number"),
        ("oboe", "no part 'oboe'.*1 'Violin'"),
        ("5", "no part '5'"),
        ("0", "no part '0'"),
        ("", "no part ''"),
    ],
)
def test_a_choice_that_is_not_clear_lists_the_parts(wanted, message):
    with pytest.raises(ScoreError, match=message):
        choose_part(PARTS, wanted, "piece")


@pytest.mark.parametrize("wanted", [None, "Tuba"])
def test_who_has_to_choose_gets_the_names_too(wanted):
    with pytest.raises(PartError) as caught:
        choose_part(PARTS, wanted, "piece")
    assert caught.value.parts == tuple(part.name for part in PARTS)


def test_the_only_part_needs_no_choice_and_none_is_an_error():
    assert choose_part([PartName("Violin")], None, "piece") == 0
    with pytest.raises(ScoreError, match="no pitched notes"):
        choose_part([], None, "piece")


def test_one_warning_names_all_that_is_ignored(monkeypatch):
    lines = []
    monkeypatch.setattr(logging, "warning", lambda text, *args: lines.append(text % args))
    warn_ignored(Score("piece", (), ignored={"trills": 2, "velocities": 9}))
    warn_ignored(Score("piece", ()))
    assert lines == ["piece: not used: 2 trills, 9 velocities"]


def test_general_midi_names_stand_at_their_programs():
    names = score_notes.PROGRAM_NAMES
    assert len(names) == len(set(names)) == 128
    assert (names[0], names[40], names[42], names[73]) == ("acoustic grand piano", "violin", "cello", "flute")
