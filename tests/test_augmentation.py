"""Windows moved in pitch: how far each is moved, and that a moved one is what a higher tone would look like."""

import numpy as np
import pytest
import tensorflow as tf

from pnet_tf import augmentation, stft
from pnet_tf.spec import FeatureSpec

SPEC = FeatureSpec()


def window(frequency_hz=440.0, pitch=69, n_frames=20):
    """A tone of some partials, with its rolls."""
    times_sec = np.arange(n_frames * SPEC.hop_samples) / SPEC.sample_rate_hz
    tone = sum(np.sin(2 * np.pi * frequency_hz * k * times_sec) / k for k in range(1, 7)).astype(np.float32) * 0.1
    rolls = {name: np.zeros((n_frames, SPEC.n_pitches), np.float32) for name in ("pianoroll", "onset_offset")}
    rolls["pianoroll"][2:12, pitch] = 1
    rolls["onset_offset"][2, pitch], rolls["onset_offset"][12, pitch] = 1, -1
    log_power = stft.log_power(tf.constant(tone[None]), SPEC)[0, :n_frames]
    return {**{name: tf.constant(value) for name, value in rolls.items()}, "log_power": log_power}


def moved(semitones, **options):
    return augmentation.move_pitch(window(**options), tf.constant(semitones, tf.int64), SPEC)


def test_half_of_the_windows_stay_and_the_others_are_moved_evenly():
    drawn = augmentation.draw_semitones(3, 0, n_windows=70_000, at_most=3)
    assert drawn.dtype == np.int64
    values, counts = np.unique(drawn, return_counts=True)
    np.testing.assert_array_equal(values, np.arange(-3, 4))
    np.testing.assert_allclose(counts / 5000, [1, 1, 1, 8, 1, 1, 1], rtol=0.06)


def test_how_far_a_window_is_moved_follows_from_seed_and_epoch_alone():
    draw = {key: augmentation.draw_semitones(*key, n_windows=50, at_most=4) for key in ((0, 0), (0, 1), (1, 0))}
    np.testing.assert_array_equal(draw[0, 0], augmentation.draw_semitones(0, 0, n_windows=50, at_most=4))
    assert not np.array_equal(draw[0, 0], draw[0, 1])
    assert not np.array_equal(draw[0, 0], draw[1, 0])
    assert not augmentation.draw_semitones(0, 0, n_windows=50, at_most=0).any()


def test_a_window_that_is_not_moved_is_the_same():
    for name, value in window().items():
        np.testing.assert_allclose(moved(0)[name], value, atol=1e-6)


@pytest.mark.parametrize("semitones", [-5, -1, 2, 3, 12])
def test_a_moved_tone_is_the_tone_that_is_so_much_higher(semitones):
    """Each partial of the one is at the bin of the other, within a bin, and as loud within 6 dB."""
    got = moved(semitones)["log_power"].numpy()[10]
    wanted = window(440.0 * 2 ** (semitones / 12))["log_power"].numpy()[10]
    for partial in range(1, 7):
        bin_wanted = 440.0 * 2 ** (semitones / 12) * partial * SPEC.n_fft / SPEC.sample_rate_hz
        near = slice(round(bin_wanted) - 4, round(bin_wanted) + 5)
        assert abs(int(got[near].argmax()) - int(wanted[near].argmax())) <= 1
        assert abs(got[near].max() - wanted[near].max()) < 6 * np.log(10) / 10


@pytest.mark.parametrize(("semitones", "pitch"), [(3, 72), (-4, 65), (0, 69)])
def test_the_score_moves_with_the_sound(semitones, pitch):
    got, wanted = moved(semitones), window(pitch=pitch)
    for name in ("pianoroll", "onset_offset"):
        np.testing.assert_array_equal(got[name], wanted[name])


@pytest.mark.parametrize(("semitones", "pitch"), [(2, 126), (-2, 1)])
def test_what_leaves_the_roll_does_not_come_in_on_the_other_side(semitones, pitch):
    got = moved(semitones, pitch=pitch)
    assert not got["pianoroll"].numpy().any()
    assert not got["onset_offset"].numpy().any()


def test_moved_down_the_top_has_the_level_of_the_highest_bin():
    got, before = moved(-12)["log_power"].numpy(), window()["log_power"].numpy()
    np.testing.assert_array_equal(got[:, SPEC.n_bins // 2 + 1 :], np.repeat(before[:, -1:], SPEC.n_bins // 2, axis=1))
