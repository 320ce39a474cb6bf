"""Label files: times exact to the sample, the instrument chosen, each wrong line named."""

from fractions import Fraction

import pytest

from pnet_tf.score_labels import choose_instrument, instrument_name, label_instruments, read_labels, score_from_labels
from pnet_tf.score_notes import Note, ScoreError
from pnet_tf.spec import FeatureSpec

HEADER = "start_time,end_time,instrument,note,start_beat,end_beat,note_value\n"
TWO = HEADER + "80657,98161,41,78,0.0,1.0,Quarter\n1,2,43,40,0.0,1.0,Quarter\n98161,98161,41,59,1.0,1.0,Quarter\n"
RATE_HZ = FeatureSpec().sample_rate_hz


def test_times_are_exact_to_the_sample():
    score = score_from_labels(TWO, name="1001", instrument=41)
    assert score.notes == (
        Note(Fraction(80657, RATE_HZ), Fraction(98161, RATE_HZ), 78),
        Note(Fraction(98161, RATE_HZ), Fraction(98161, RATE_HZ), 59),
    )
    assert (score.name, score.part) == ("1001", "violin")
    assert score.ignored == {"notes of other instruments": 1}


def test_the_rate_of_the_labels_is_a_parameter():
    assert score_from_labels(TWO, name="x", sample_rate_hz=1000, instrument=43).notes == (
        Note(Fraction(1, 1000), Fraction(2, 1000), 40),
    )


def test_without_an_instrument_all_notes_are_taken():
    score = score_from_labels(TWO, name="x")
    assert (score.n_notes, score.part, score.ignored) == (3, "", {})


def test_a_file_is_read_with_a_byte_order_mark_and_other_columns(tmp_path):
    path = tmp_path / "2191.csv"
    path.write_bytes(b"\xef\xbb\xbfnote,instrument,end_time,start_time\r\n60,74,20,10\r\n\r\n")
    score = read_labels(path)
    assert score.notes == (Note(Fraction(10, RATE_HZ), Fraction(20, RATE_HZ), 60),)
    assert (score.name, score.part) == ("2191", "flute")


def test_instruments_are_counted_and_chosen():
    assert label_instruments(TWO, where="x") == {41: 2, 43: 1}
    assert [choose_instrument(TWO, part, where="x") for part in ("Violin", "cello", "43", "2")] == [41, 43, 43, 43]
    with pytest.raises(ScoreError, match="1 'violin', 2 'cello'"):
        choose_instrument(TWO, None, where="x")
    assert [instrument_name(program) for program in (41, 43, 74)] == ["violin", "cello", "flute"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: no column start_time, end_time, instrument, note"),
        ("start,end_time,instrument,note\n", "line 1: no column start_time;"),
        (HEADER, "no pitched notes"),
        (HEADER + "1,2,41,60\n1.5,2,41,60\n", "line 3: expected whole numbers.*'1.5'"),
        (HEADER + "1,2,41\n", "line 2: expected whole numbers"),
        (HEADER + "5,4,41,60\n", "line 2: the note runs from sample 5 to 4"),
        (HEADER + "-1,4,41,60\n", "line 2: the note runs from sample -1 to 4"),
        (HEADER + "1,2,41,128\n", "line 2: note is 128"),
        (HEADER + "1,2,0,60\n", "line 2: instrument is 0"),
        (HEADER + "1,2,129,60\n", "line 2: instrument is 129"),
        (HEADER + '1,2,41,"' + "6" * 200_000 + '"\n', "not readable as csv"),
        (HEADER.encode() + b"\xff\xfe", "expected csv in UTF-8"),
    ],
)
def test_a_wrong_line_is_named(text, message):
    with pytest.raises(ScoreError, match=f"^labels.csv: .*{message}"):
        score_from_labels(text, name="labels", where="labels.csv")


def test_an_instrument_that_does_not_play_is_named_beside_those_that_do():
    with pytest.raises(ScoreError, match=r"instrument 74, the file holds 41 \(violin\), 43 \(cello\)"):
        score_from_labels(TWO, name="x", instrument=74)


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(ScoreError, match="cannot read the label file"):
        read_labels(tmp_path / "none.csv")
