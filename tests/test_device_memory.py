"""The batch that fits is found and named, and a full disk is not taken for a full memory."""

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from pnet_tf import device_memory
from pnet_tf.errors import InputError


def full(message="OOM when allocating tensor with shape[16,864,1025]"):
    return tf.errors.ResourceExhaustedError(None, None, message)


@given(largest=st.integers(0, 200), below=st.integers(1, 200))
def test_the_largest_that_fits_is_found_in_few_tries(largest, below):
    tried = []

    def fits(n):
        tried.append(n)
        return n <= largest

    assert device_memory.largest_that_fits(fits, below=below) == min(largest, below - 1)
    assert len(tried) <= 8 and all(0 < n < below for n in tried)


@pytest.mark.parametrize(
    ("largest", "n_replicas", "expected"),
    [(5, 1, "--batch_size=5 does"), (3, 2, "--batch_size=6 does"), (0, 1, "nor does one window a device")],
)
def test_the_batch_that_fits_is_named(largest, n_replicas, expected):
    with pytest.raises(InputError, match="--batch_size=16 does not fit into the memory of the device; ") as raised:
        with device_memory.batch_that_fits_named(lambda n: n <= largest, batch_size=16, n_replicas=n_replicas):
            raise full()
    assert expected in str(raised.value) and "\n" not in str(raised.value)


def test_a_full_disk_stays_what_it_is():
    with pytest.raises(tf.errors.ResourceExhaustedError, match="No space left"):
        with device_memory.batch_that_fits_named(lambda n: True, batch_size=4, n_replicas=1):
            raise full("/run/events: No space left on device")
