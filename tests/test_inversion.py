"""Inversion in blocks, compiled and in NumPy: as near as in one go, in any portions, without a seam."""

import numpy as np
import pytest
import tensorflow as tf

from pnet_tf import griffin_lim, inversion, stft
from pnet_tf.inversion import Inverter
from pnet_tf.spec import FeatureSpec
from pnet_tf.voice import RUNTIMES

SPEC = FeatureSpec()
SMALL = FeatureSpec(sample_rate_hz=8000, n_fft=256, hop_samples=64)
both = pytest.mark.parametrize("runtime", RUNTIMES)


def melody(spec, seconds):
    time_sec = np.arange(int(seconds * spec.sample_rate_hz)) / spec.sample_rate_hz
    pitch_hz = np.choose((time_sec * 2).astype(int) % 4, [220.0, 277.2, 329.6, 293.7])
    phase = 2 * np.pi * np.cumsum(pitch_hz) / spec.sample_rate_hz
    envelope = np.minimum(1, (time_sec * 2 % 1) * 20) * np.exp(-2 * (time_sec * 2 % 1))
    return 0.1 * envelope * sum(np.sin(k * phase) / k for k in range(1, 8))


def log_power_of(waveform, spec):
    return stft.log_power(tf.constant(waveform[None], tf.float32), spec).numpy()[0]


def inverted(runtime, log_power, spec, *, portions=100_000, **settings):
    inverter = Inverter(spec, runtime=runtime, **settings)
    parts = [inverter.add(log_power[first : first + portions]) for first in range(0, len(log_power), portions)]
    return np.concatenate([*parts, inverter.finish()])


def convergence_db(waveform, log_power, spec):
    magnitude = stft.magnitude_from_log_power(tf.constant(log_power), spec).numpy()
    rebuilt = tf.abs(stft.stft(tf.constant(waveform[None]), spec)).numpy()[0]
    return 20 * np.log10(np.linalg.norm(rebuilt - magnitude) / np.linalg.norm(magnitude))


@pytest.mark.parametrize("start", ["spsi", "random"])
@both
def test_in_blocks_it_comes_as_near_as_in_one_go(runtime, start):
    drawn = log_power_of(melody(SMALL, 15), SMALL)
    assert len(drawn) > 3 * inversion.BLOCK_FRAMES
    magnitude = stft.magnitude_from_log_power(tf.constant(drawn[None]), SMALL)
    whole = griffin_lim.griffin_lim(magnitude, SMALL, iterations=8, phase_start=start)[0].numpy()
    joined = inverted(runtime, drawn, SMALL, iterations=8, phase_start=start)
    assert len(joined) == len(whole)
    assert convergence_db(joined, drawn, SMALL) < convergence_db(whole, drawn, SMALL) + 1.0


@pytest.mark.parametrize("n_frames", [0, 1, 2, 511, 512, 524, 525, 528, 529, 1024, 1500])
@both
def test_any_number_of_frames_gives_its_samples(runtime, n_frames):
    drawn = log_power_of(melody(SMALL, 13), SMALL)[:n_frames]
    sound = inverted(runtime, drawn, SMALL, iterations=1)
    assert sound.shape == (max(n_frames - 1, 0) * SMALL.hop_samples,)
    assert sound.dtype == np.float32


@both
def test_portions_change_nothing(runtime):
    drawn = log_power_of(melody(SMALL, 10), SMALL)
    whole = inverted(runtime, drawn, SMALL, iterations=2)
    for portions in (97, 600):
        np.testing.assert_array_equal(inverted(runtime, drawn, SMALL, portions=portions, iterations=2), whole)


@both
def test_sound_comes_as_soon_as_a_block_is_there(runtime):
    drawn = log_power_of(melody(SMALL, 10), SMALL)
    inverter = Inverter(SMALL, iterations=1, runtime=runtime)
    ready = inversion.BLOCK_FRAMES + inversion.AHEAD_FRAMES
    assert len(inverter.add(drawn[: ready - 1])) == 0
    sound = inverter.add(drawn[ready - 1 : ready])
    assert len(sound) == inversion.BLOCK_FRAMES * SMALL.hop_samples - SMALL.n_fft // 2


@both
def test_the_same_seed_gives_the_same_samples(runtime):
    drawn = log_power_of(melody(SMALL, 9), SMALL)
    settings = {"iterations": 3, "phase_start": "random"}
    first = inverted(runtime, drawn, SMALL, seed=4, **settings)
    np.testing.assert_array_equal(inverted(runtime, drawn, SMALL, seed=4, **settings), first)
    assert np.abs(inverted(runtime, drawn, SMALL, seed=5, **settings) - first).max() > 1e-3


@both
def test_where_blocks_meet_no_level_steps_and_no_spectrum_jumps(runtime):
    """Against the sound itself, over frames of 50 ms: a border is like any other place."""
    waveform = melody(SPEC, 14.2).astype(np.float32)[8820:]  # no note begins at a border
    drawn = log_power_of(waveform, SPEC)
    sound = inverted(runtime, drawn, SPEC, iterations=16)
    frame = 2205
    n = len(sound) // frame
    power = np.square(sound[: n * frame]).reshape(n, frame).mean(axis=1)
    true = np.square(waveform[: n * frame]).reshape(n, frame).mean(axis=1)
    beyond_db = 10 * np.log10((power + 1e-9) / (true + 1e-9))
    borders = np.arange(inversion.BLOCK_FRAMES, len(drawn) - 40, inversion.BLOCK_FRAMES)
    assert len(borders) == 4
    for at in borders * SPEC.hop_samples // frame:
        assert np.abs(np.diff(beyond_db[at - 2 : at + 3])).max() < 0.3
    flux, true = (spectral_flux(tf.abs(stft.stft(tf.constant(one[None]), SPEC))) for one in (sound, waveform))
    near = np.abs(np.arange(len(flux))[:, None] - borders).min(axis=1) <= 4
    excess = np.abs(flux - true[: len(flux)])
    assert np.percentile(excess[near], 95) <= np.percentile(excess[~near], 95)


def spectral_flux(magnitude):
    """Float32 [1, frames, bins] -> [frames - 1]."""
    return np.linalg.norm(np.diff(magnitude.numpy()[0], axis=0), axis=1)
