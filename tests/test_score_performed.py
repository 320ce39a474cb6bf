"""Played bars: hand-computed times through tempos, repeats, ties and grace notes."""

import collections
from fractions import Fraction

import pytest

from pnet_tf.score_notes import Note
from pnet_tf.score_performed import WrittenBar, WrittenNote, bars_and_notes, times_from_tempos

F = Fraction
ONE_A_SECOND = times_from_tempos({F(0): F(60)})


def _written(offset, length, pitch=60, tie=None, grace=None):
    return WrittenNote(F(offset), F(length), pitch, tie, grace)


def _play(bars, order=None, seconds_at=ONE_A_SECOND):
    """Bars as `(begin, length, notes)`; gives starts of bars, notes as tuples, counts."""
    ignored = collections.Counter()
    bars = [WrittenBar(F(begin), F(length), notes) for begin, length, notes in bars]
    bars_sec, notes = bars_and_notes(bars, order or range(len(bars)), seconds_at, ignored)
    return bars_sec, [(note.start_sec, note.end_sec, note.pitch) for note in sorted(notes)], dict(ignored)


def test_times_through_tempos_are_exact():
    seconds_at = times_from_tempos({F(0): F(90), F(3): F(70), F(4): F(120)})
    assert [seconds_at(F(offset)) for offset in (0, 1, 3, 4, 5)] == [0, F(2, 3), 2, 2 + F(6, 7), 2 + F(6, 7) + F(1, 2)]


def test_tempos_that_share_nothing_stay_within_a_nanosecond_each():
    tempos = {F(beat): F(60_000 + 7 * beat + 1, 1000) for beat in range(500)}
    exact = sum(60 / tempos[F(beat)] for beat in range(500))
    seconds = times_from_tempos(tempos)(F(500))
    assert seconds.denominator.bit_length() <= 64
    assert abs(seconds - exact) < 500 * F(1, 10**9)


def test_a_repeated_bar_keeps_the_tempo_it_has_on_paper():
    bars = [(0, 1, [_written(0, 1)]), (1, 1, [_written(1, 1, 62)])]
    bars_sec, notes, _ = _play(bars, [0, 1, 0, 1], times_from_tempos({F(0): F(60), F(1): F(120)}))
    assert bars_sec == [0, 1, F(3, 2), F(5, 2)]
    assert notes == [(0, 1, 60), (1, F(3, 2), 62), (F(3, 2), F(5, 2), 60), (F(5, 2), 3, 62)]


def test_ties_join_within_and_across_bars_and_re_attacks_stay():
    tied = [_written(0, 1, tie="start"), _written(1, 1, tie="continue")]
    _, notes, _ = _play([(0, 2, tied), (2, 2, [_written(2, 1, tie="stop"), _written(3, 1)])])
    assert notes == [(0, 3, 60), (3, 4, 60)]


def test_a_tie_joins_its_own_pitch_in_its_own_moment_only():
    bars = [(0, 3, [_written(0, 1, tie="start"), _written(1, 1, 62, "stop"), _written(2, 1, 60, "stop")])]
    assert _play(bars)[1] == [(0, 1, 60), (1, 2, 62), (2, 3, 60)]


def test_a_tie_without_a_written_end_leads_to_the_same_pitch_on_paper():
    bars = [(0, 3, [_written(0, 1, tie="start"), _written(1, 1, tie="start"), _written(2, 1), _written(2, 1, 64)])]
    assert _play([*bars, (3, 1, [_written(3, 1)])])[1] == [(0, 3, 60), (2, 3, 64), (3, 4, 60)]


def test_two_voices_tied_at_one_pitch_are_two_notes():
    bars = [(0, 2, [_written(0, 1, tie="start"), _written(0, 1, tie="start")])]
    bars += [(2, 2, [])]
    assert len(_play(bars)[1]) == 2


def test_a_tie_out_of_a_repeat_does_not_reach_the_bar_it_jumps_to():
    bars = [(0, 1, [_written(0, 1, 60)]), (1, 1, [_written(1, 1, 60, "start")]), (2, 1, [_written(2, 1, 60, "stop")])]
    assert _play(bars, [0, 1, 0, 1, 2])[1] == [(0, 1, 60), (1, 2, 60), (2, 3, 60), (3, 5, 60)]


def test_grace_notes_share_sixty_milliseconds_before_the_beat():
    graces = [_written(1, 0, 71, grace=1), _written(1, 0, 72, grace=2), _written(1, 0, 76, grace=2)]
    _, notes, _ = _play([(0, 2, [_written(0, 1), _written(0, 2, 48), *graces, _written(1, 1, 62)])])
    assert notes == [
        (0, F(94, 100), 60),
        (0, 2, 48),
        (F(94, 100), F(97, 100), 71),
        (F(97, 100), 1, 72),
        (F(97, 100), 1, 76),
        (1, 2, 62),
    ]


def test_a_short_note_before_grace_notes_keeps_half_its_length():
    bars = [(0, 2, [_written(0, F(1, 25)), _written(F(1, 25), 0, 71, grace=1), _written(F(1, 25), 1, 62)])]
    assert _play(bars)[1] == [(0, F(1, 50), 60), (F(1, 50), F(1, 25), 71), (F(1, 25), F(26, 25), 62)]


def test_grace_notes_after_a_rest_leave_other_notes_alone():
    _, notes, _ = _play([(0, 4, [_written(0, 1), _written(2, 0, 71, grace=1), _written(2, 1, 62)])])
    assert notes == [(0, 1, 60), (F(194, 100), 2, 71), (2, 3, 62)]


def test_grace_notes_at_the_very_start_take_the_time_of_the_first_note():
    _, notes, _ = _play([(0, 1, [_written(0, 0, 71, grace=1), _written(0, 1)])])
    assert notes == [(0, F(6, 100), 71), (F(6, 100), 1, 60)]


@pytest.mark.parametrize("pitch", [-1, 128])
def test_pitches_that_midi_lacks_are_dropped_and_counted(pitch):
    _, notes, ignored = _play([(0, 1, [_written(0, 1, pitch), _written(0, 1)])])
    assert (notes, ignored) == ([(0, 1, 60)], {"notes outside MIDI's pitches": 1})


def test_notes_of_no_length_are_kept():
    bars = [WrittenBar(F(0), F(1), [_written(0, 0)])]
    assert bars_and_notes(bars, [0], ONE_A_SECOND, collections.Counter())[1] == [Note(F(0), F(0), 60)]
