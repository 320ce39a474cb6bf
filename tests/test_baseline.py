"""The mean spectrum per note, by hand on two notes, silence and a chord."""

import numpy as np
import tensorflow as tf

from pnet_tf.baseline import MeanSpectrum

SILENCE, LOW, HIGH, CHORD = [0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]


def batch(*windows):
    """Windows of (roll, bins) frames."""
    rolls, targets = zip(*[zip(*window, strict=True) for window in windows], strict=True)
    return {"pianoroll": tf.constant(rolls, tf.float32), "log_power": tf.constant(targets, tf.float32)}


def learnt(*batches):
    simplest = MeanSpectrum(3, 2)
    simplest.learn(batches)
    return simplest


def test_each_pitch_has_the_mean_of_the_frames_in_which_it_sounds_alone():
    simplest = learnt(
        batch([(LOW, [1, 10]), (SILENCE, [0.5, 0]), (CHORD, [100, 100])]),
        batch([(LOW, [3, 20]), (HIGH, [8, 4]), (SILENCE, [1.5, 1])]),
    )
    # The third pitch was never heard: the mean over sounding notes, (1+3+100+100+8)/5 and (10+20+100+100+4)/5.
    np.testing.assert_allclose(simplest.spectra(), [[2, 15], [8, 4], [42.4, 46.8], [1, 0.5]], rtol=1e-6)
    assert simplest.spectra().dtype == np.float32


def test_a_pitch_never_alone_has_the_mean_of_its_chords():
    simplest = learnt(batch([(LOW, [1, 1]), (CHORD, [5, 7]), (CHORD, [7, 9])]))
    np.testing.assert_allclose(simplest.spectra()[:2], [[1, 1], [6, 8]])


def test_a_chord_is_in_each_bin_the_loudest_of_its_notes():
    simplest = learnt(batch([(LOW, [2, 15]), (HIGH, [8, 4]), (SILENCE, [1, 0.5])]))
    roll = np.array([CHORD, SILENCE, HIGH, LOW, CHORD], np.int8)
    np.testing.assert_allclose(simplest.predict(roll), [[8, 15], [1, 0.5], [8, 4], [2, 15], [8, 15]])


def test_the_squared_error_weighs_every_frame_and_bin_alike():
    simplest = learnt(batch([(LOW, [2, 15]), (HIGH, [8, 4])]))
    value = simplest.squared_error([batch([(LOW, [2, 14]), (HIGH, [5, 4])]), batch([(LOW, [2, 15])])])
    # 1 + 9 over six values; a mean of the batches' means would be 1.25.
    np.testing.assert_allclose(value, 10 / 6)


def test_nothing_learnt_and_nothing_measured_is_zero():
    simplest = MeanSpectrum(3, 2)
    np.testing.assert_array_equal(simplest.spectra(), np.zeros((4, 2)))
    assert simplest.squared_error([]) == 0
