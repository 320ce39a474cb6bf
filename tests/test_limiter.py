"""Nothing passes the ceiling, quiet music passes untouched, the gain is smooth, and how the signal is cut changes nothing."""

import numpy as np
import pytest
import soundfile
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pnet_tf.limiter import Limiter

RATE_HZ = 8000
LOOKAHEAD = 40
CEILING = np.floor(10 ** (-1 / 20) * 2**15) / 2**15
LARGEST = float(np.finfo(np.float32).max)

any_signal = arrays.arrays(
    np.float32,
    st.integers(0, 600),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    fill=st.sampled_from([0.0, 0.5, -0.8906250]),
)
cuts = st.lists(st.integers(0, 600), max_size=10)


def limited(signal: np.ndarray, *, at: list[int] | None = None, rate_hz: int = RATE_HZ, **settings) -> np.ndarray:
    limiter = Limiter(rate_hz, **settings)
    blocks = [limiter.add(block) for block in np.split(signal.astype(np.float32), sorted(at or []))]
    return np.concatenate([*blocks, limiter.flush()])


def gain_db(signal: np.ndarray, **settings) -> np.ndarray:
    output = limited(signal, **settings)
    return 20 * np.log10(output.astype(np.float64) / signal.astype(np.float32))


def noise(seconds: float, *, rms: float, rate_hz: int = RATE_HZ) -> np.ndarray:
    return (rms * np.random.default_rng(1).standard_normal(round(seconds * rate_hz))).astype(np.float32)


@settings(deadline=None)
@given(any_signal, cuts, st.floats(-24, 0))
@example(np.array([LARGEST, -LARGEST, 1e-38], np.float32), [1], -1.0)
@example(np.array([], np.float32), [], -1.0)
def test_nothing_passes_the_ceiling_and_nothing_is_lost(signal, at, ceiling_dbfs):
    output = limited(signal, at=at, ceiling_dbfs=ceiling_dbfs)
    assert output.dtype == np.float32
    assert output.shape == signal.shape
    assert np.all(np.abs(output.astype(np.float64)) <= 10 ** (ceiling_dbfs / 20))
    assert np.all(np.sign(output) * np.sign(signal) >= 0)


@settings(deadline=None)
@given(any_signal, cuts)
def test_how_the_signal_is_cut_changes_nothing(signal, at):
    np.testing.assert_array_equal(limited(signal, at=at), limited(signal))


def test_how_a_long_signal_is_cut_changes_nothing():
    signal = noise(30, rms=0.5)
    whole = limited(signal)
    assert np.max(np.abs(whole)) == pytest.approx(CEILING, abs=1e-6)
    np.testing.assert_array_equal(limited(signal, at=[*range(0, len(signal), 999)]), whole)


def test_sixteen_bits_do_not_pass_the_ceiling_either(tmp_path):
    output = limited(noise(5, rms=1))
    soundfile.write(tmp_path / "a.wav", output, RATE_HZ, subtype="PCM_16")
    written, _ = soundfile.read(tmp_path / "a.wav")
    for signed in (written, -written):
        assert 10 ** (-1 / 20) - 2**-14 < np.max(signed) <= 10 ** (-1 / 20)
    assert np.max(np.abs(np.round(output * np.float64(2**15)))) / 2**15 <= 10 ** (-1 / 20)


@settings(deadline=None)
@given(arrays.arrays(np.float32, st.integers(0, 600), elements=st.floats(-0.890625, 0.890625, width=32)), cuts)
def test_what_stays_under_the_ceiling_comes_out_bit_for_bit(signal, at):
    np.testing.assert_array_equal(limited(signal, at=at), signal)


@pytest.mark.parametrize("reduction_db", [0.1, 3.0, 20.0])
def test_the_gain_falls_over_the_lookahead_and_is_back_after_the_release(reduction_db):
    signal, at = np.full(4000, 0.01), 1000
    signal[at] = CEILING * 10 ** (reduction_db / 20)
    gain = gain_db(signal, release_sec=0.1)
    assert gain[at] == pytest.approx(-reduction_db, abs=1e-4)
    back = at + LOOKAHEAD + int(reduction_db / 10 * 0.1 * RATE_HZ) + 1
    assert np.all(gain[: at - LOOKAHEAD] == 0)
    assert np.all(gain[back:] == 0)
    assert np.all(gain[at - LOOKAHEAD + 1 : back - 1] < 0)
    assert np.all(np.diff(gain[:at]) <= 1e-5)
    assert np.all(np.diff(gain[at:]) >= -1e-5)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 599), st.floats(0, 60)), max_size=10))
def test_the_gain_makes_no_steps(spikes):
    """What the averages leave over would be cut off here, in one step: so this also shows that nothing is."""
    signal = np.full(600, 0.1)
    for at, over_db in spikes:
        signal[at] = CEILING * 10 ** (over_db / 20)
    steps = np.abs(np.diff(gain_db(signal)))
    largest_db = max([over_db for _, over_db in spikes], default=0)
    assert np.max(steps) <= 2 * largest_db / LOOKAHEAD + 1e-5


def test_the_gain_moves_less_than_it_takes_to_hear_it():
    """A full-scale tone, 3 dB over the ceiling after its gain: what is not the tone stays under 0.3 % from 65 Hz up."""
    rate_hz = 44100
    t = np.arange(3 * rate_hz) / rate_hz
    for f_hz in (65.0, 98.0, 196.0, 440.0):
        output = limited(CEILING * 10 ** (3 / 20) * np.sin(2 * np.pi * f_hz * t), rate_hz=rate_hz)[rate_hz:-rate_hz]
        spectrum = np.abs(np.fft.rfft(output * np.blackman(len(output)))) ** 2
        rest = np.delete(spectrum, np.arange(int(f_hz) - 5, int(f_hz) + 6))
        assert np.sqrt(np.sum(rest) / np.sum(spectrum)) < 0.003


def test_peaks_keep_their_time():
    signal = noise(2, rms=0.05)
    signal[[3000, 9000]] = [1.7, -3.0]
    output = limited(signal, at=[1234])
    assert output[3000] == pytest.approx(CEILING, abs=1e-6)
    assert output[9000] == pytest.approx(-CEILING, abs=1e-6)


def test_output_is_held_back_by_the_lookahead_alone():
    limiter = Limiter(RATE_HZ)
    assert [len(limiter.add(np.zeros(n, np.float32))) for n in (0, 30, 30, 100)] == [0, 0, 60 - LOOKAHEAD, 100]
    assert len(limiter.flush()) == LOOKAHEAD


def test_after_a_flush_a_new_signal_begins():
    limiter, signal = Limiter(RATE_HZ), noise(1, rms=0.5)
    for _ in range(2):
        np.testing.assert_array_equal(np.concatenate([limiter.add(signal), limiter.flush()]), limited(signal))
    assert len(limiter.flush()) == 0


def test_no_lookahead_is_plain_clipping_with_a_release():
    signal = noise(1, rms=0.5)
    output = limited(signal, lookahead_sec=0.0)
    assert len(output) == len(signal)
    assert np.max(np.abs(output)) <= CEILING


@pytest.mark.parametrize("ceiling_dbfs", [0.1, -95.0])
def test_a_ceiling_out_of_range_is_refused(ceiling_dbfs):
    with pytest.raises(ValueError, match="between -90 and 0"):
        Limiter(RATE_HZ, ceiling_dbfs=ceiling_dbfs)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_refused(value):
    with pytest.raises(ValueError, match="no numbers"):
        Limiter(RATE_HZ).add(np.array([0, value, 0], np.float32))
