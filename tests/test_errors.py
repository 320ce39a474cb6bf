"""Which exit code each mistake of a person ends in."""

import pytest

from pnet_tf.errors import InputError, UsageError


@pytest.mark.parametrize(("error", "exit_code"), [(InputError, 1), (UsageError, 2)])
def test_a_wrong_file_is_1_and_wrong_usage_is_2(error, exit_code):
    assert error("said in one line").exit_code == exit_code
    assert issubclass(error, InputError)
