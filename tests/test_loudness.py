"""Loudness is pyloudnorm's and the EBU's however the signal is cut; the cases below come from EBU Tech 3341, table 1."""

import tracemalloc

import numpy as np
import pyloudnorm
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pnet_tf.loudness import LoudnessMeter

RATES_HZ = (8000, 11025, 16000, 22050, 44100, 48000, 96000, 192000)


def measured(signal: np.ndarray, rate_hz: int = 44100, *, cuts: list[int] | None = None) -> float | None:
    meter = LoudnessMeter(rate_hz)
    for block in np.split(signal, sorted(cuts or [])):
        meter.add(block)
    return meter.integrated_lufs()


def sine(dbfs: float, seconds: float, *, rate_hz: int = 44100, f_hz: float = 1000.0) -> np.ndarray:
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    return (10 ** (dbfs / 20) * np.sin(2 * np.pi * f_hz * t)).astype(np.float32)


def melody(seconds: float, *, rate_hz: int = 44100, seed: int = 0) -> np.ndarray:
    """Notes of uneven loudness with rests, from the double bass to the violin."""
    rng = np.random.default_rng(seed)
    n_note = round(0.3 * rate_hz)
    t = np.arange(n_note) / rate_hz
    notes = []
    for _ in range(round(seconds / 0.3) + 1):
        f_hz = 41 * 2 ** rng.uniform(0, 4)
        partials = sum(np.sin(2 * np.pi * k * f_hz * t) / k for k in range(1, 9) if k * f_hz < rate_hz / 2)
        notes.append(10 ** rng.uniform(-3, -0.5) * np.exp(-5 * t) * partials * (rng.random() > 0.2))
    return np.concatenate(notes)[: round(seconds * rate_hz)].astype(np.float32)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_it_agrees_with_the_meter_of_the_whole_array(rate_hz):
    for seconds, seed in ((0.4, 0), (0.44, 1), (0.46, 2), (3.07, 3), (12.0, 4)):
        signal = melody(seconds, rate_hz=rate_hz, seed=seed)
        expected = pyloudnorm.Meter(rate_hz, filter_class="DeMan").integrated_loudness(signal.astype(np.float64))
        assert measured(signal, rate_hz, cuts=[1000, 1001]) == pytest.approx(expected, abs=1e-3)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 1000), st.integers(17700, 60000), st.lists(st.integers(0, 60000), max_size=20))
def test_how_the_signal_is_cut_changes_nothing(seed, n_samples, cuts):
    rng = np.random.default_rng(seed)
    signal = (rng.standard_normal(n_samples) * np.linspace(0, 10 ** rng.uniform(-4, 0), n_samples)).astype(np.float32)
    assert measured(signal, cuts=cuts) == measured(signal)


@pytest.mark.parametrize("rate_hz", [44100, 48000])
@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ([(-23, 20)], -23),
        ([(-33, 20)], -33),
        ([(-36, 10), (-23, 60), (-36, 10)], -23),
        ([(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)], -23),
        ([(-26, 20), (-20, 20.1), (-26, 20)], -23),
    ],
)
def test_the_sines_of_the_ebu(levels, expected, rate_hz):
    """They are stereo, the same on both channels: twice the energy of the one channel that is measured here."""
    both = np.concatenate([sine(dbfs + 20 * np.log10(np.sqrt(2)), sec, rate_hz=rate_hz) for dbfs, sec in levels])
    assert measured(both, rate_hz) == pytest.approx(expected, abs=0.1)


def test_a_mono_file_is_one_channel():
    """As in pyloudnorm: the same samples on two channels are 3.01 LU louder."""
    mono = melody(5)
    stereo = pyloudnorm.Meter(44100, filter_class="DeMan").integrated_loudness(np.stack([mono, mono], axis=1).astype(np.float64))
    assert measured(mono) == pytest.approx(stereo - 10 * np.log10(2), abs=1e-3)
    assert measured(sine(0, 5)) == pytest.approx(-3.01, abs=0.1)


def test_twice_the_level_is_six_more():
    signal = melody(5) / 4
    assert measured(2 * signal) - measured(signal) == pytest.approx(20 * np.log10(2), abs=0.01)


@pytest.mark.parametrize("rate_hz", [8000, 11025, 44100, 192000])
def test_less_than_one_block_has_no_loudness(rate_hz):
    n_block = -(-rate_hz * 4 // 10)
    assert measured(sine(-20, 1, rate_hz=rate_hz)[: n_block - 1], rate_hz) is None
    assert measured(sine(-20, 1, rate_hz=rate_hz)[:n_block], rate_hz) == pytest.approx(-23, abs=0.5)
    assert measured(np.zeros(0, np.float32), rate_hz) is None


def test_silence_and_what_the_gate_shuts_out_have_no_loudness():
    assert measured(np.zeros(44100, np.float32)) is None
    assert measured(sine(-68, 2)) is None  # -71 LUFS
    assert measured(sine(-66, 2)) == pytest.approx(-69, abs=0.1)


def test_asking_in_between_changes_nothing():
    meter = LoudnessMeter(44100)
    for block in np.split(melody(3), [5000, 40000, 100000]):
        meter.add(block)
        meter.integrated_lufs()
    assert meter.integrated_lufs() == measured(melody(3))


def test_a_long_signal_is_not_held():
    meter, block = LoudnessMeter(44100), melody(1)
    tracemalloc.start()
    try:
        for _ in range(120):
            meter.add(block)
        kept, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 100_000
    assert most < 10 * block.nbytes
