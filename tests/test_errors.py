"""Which exit code each mistake of a person ends in."""

import pickle

import pytest

from pnet_tf.errors import InputError, UsageError


@pytest.mark.parametrize(("error", "exit_code"), [(InputError, 1), (UsageError, 2)])
def test_a_wrong_file_is_1_and_wrong_usage_is_2(error, exit_code):
    assert error("said in one line").exit_code == exit_code
    assert issubclass(error, InputError)


def test_a_message_is_one_line_of_what_a_terminal_may_print():
    assert str(InputError("a.csv: got 'x'\n  expected y\r\n")) == "a.csv: got 'x' expected y"
    assert str(InputError("red \x1b[31m text\u2028and a bell \a")) == "red \\x1b[31m text and a bell \\x07"


def test_of_a_long_message_the_beginning_and_the_end_are_kept():
    message = str(InputError(f"a.csv: line 1: got {'9' * 100_000}; export it again"))
    assert len(message) < 1300
    assert message.startswith("a.csv: line 1: got 9") and message.endswith("; export it again")
    assert len(str(InputError("\x1b" * 5000))) < 1300


def test_an_error_survives_the_way_between_processes():
    error = pickle.loads(pickle.dumps(InputError("a\nb")))
    assert type(error) is InputError and str(error) == "a b"
