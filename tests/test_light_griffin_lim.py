"""Griffin-Lim in NumPy gives the samples of the graph; what both have to do is in tests/test_griffin_lim.py."""

import numpy as np
import pytest
import tensorflow as tf

from pnet_tf import griffin_lim, light_griffin_lim, processors, stft
from pnet_tf.spec import FeatureSpec

SPEC = FeatureSpec(sample_rate_hz=22050, n_fft=1024, hop_samples=128)


@pytest.fixture(scope="module")
def magnitude():
    """Two tones and a click: float32 [1, 173, bins]."""
    time_sec = np.arange(SPEC.sample_rate_hz) / SPEC.sample_rate_hz
    waveform = 0.1 * np.sin(2 * np.pi * 440 * time_sec) + 0.1 * np.sin(2 * np.pi * 661 * time_sec)
    waveform[9000] += 0.5
    return tf.abs(stft.stft(tf.constant(waveform[None], tf.float32), SPEC)).numpy()


@pytest.mark.parametrize("iterations", [0, 1, 16])
def test_it_gives_the_samples_of_the_graph(magnitude, iterations):
    ours = light_griffin_lim.griffin_lim(magnitude, SPEC, iterations=iterations)
    theirs = griffin_lim.griffin_lim(magnitude, SPEC, iterations=iterations).numpy()
    assert ours.shape == theirs.shape and ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_a_block_and_what_it_carries_are_those_of_the_graph(magnitude):
    settings = {"n_settled": 64, "seed": 0, "phase_start": "spsi"}
    made = []
    for room, number in ((light_griffin_lim, int), (griffin_lim, tf.constant)):
        before, sounds = room.nothing_before(magnitude, SPEC), []
        for first in (0, 64):
            block = magnitude[:, first : first + 80]
            sound, before = room.invert_block(
                block, SPEC, before=before, first_frame=number(first), iterations=number(4), **settings
            )
            sounds.append(np.asarray(sound))
        made.append([*sounds, np.asarray(before.sound), np.asarray(before.last.magnitude)])
    for ours, theirs in zip(*made, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_how_many_threads_there_are_changes_no_sample(magnitude, monkeypatch):
    made = []
    for n_threads in (1, 3):
        monkeypatch.setattr(processors, "n_processors", lambda n=n_threads: n)
        made.append(light_griffin_lim.griffin_lim(magnitude, SPEC, iterations=3))
    np.testing.assert_array_equal(*made)


def test_the_inverse_of_the_target_is_that_of_the_graph():
    """Below 0 and beyond what float32 can hold as well."""
    log_power = np.array([[[-1, 0, 1e-6, 0.5, 9, 60, 500]]], np.float32)
    ours = light_griffin_lim.magnitude_from_log_power(log_power, SPEC)
    assert ours.dtype == np.float32 and np.isfinite(ours).all()
    np.testing.assert_allclose(ours, stft.magnitude_from_log_power(tf.constant(log_power), SPEC), rtol=1e-5)


def test_the_window_is_the_one_of_the_transform():
    np.testing.assert_array_equal(light_griffin_lim.window(SPEC), stft.window(SPEC))
