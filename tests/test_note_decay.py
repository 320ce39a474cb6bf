"""How notes last and ring on, as filters; and spectra that take one recording's colour."""

import numpy as np
import pytest

from pnet_tf import note_decay
from pnet_tf.note_decay import BEFORE, BEHIND


def response(filters, note):
    """What each filter makes of a roll of one pitch, [frames]: [frames, filters], worked out frame by frame."""
    padded = np.concatenate([np.zeros(BEHIND), note, np.zeros(BEFORE)])
    return np.stack([padded[frame : frame + len(filters)] @ filters for frame in range(len(note))])


def test_a_held_note_sounds_from_its_first_frame_and_rings_on_after_its_last():
    note = np.zeros(600)
    note[100:200] = 1
    seen = response(note_decay.held_filters(), note)
    assert seen.shape == (600, note_decay.N_HELD)
    np.testing.assert_array_equal(seen[:, 0], note)
    for column, frames in enumerate((4, 12, 35, 100, 250), start=1):
        np.testing.assert_array_equal(seen[:100, column], 0)
        np.testing.assert_allclose(seen[199, column], 1 - np.exp(-100 / frames), rtol=1e-4)
        np.testing.assert_allclose(seen[230, column] / seen[200, column], np.exp(-30 / frames), rtol=1e-4)
    blurred = seen[:, -1]
    np.testing.assert_allclose(blurred[120:180], 1, atol=2e-3)
    assert 0.5 < blurred[100] < 0.6 and 0 < blurred[92] < blurred[96] and blurred[87] == 0
    np.testing.assert_allclose(blurred[100:200], blurred[199:99:-1], atol=2e-3)  # it looks less far ahead than back


def test_a_struck_note_is_loudest_at_its_onset():
    onset = np.zeros(400)
    onset[50] = 1
    seen = response(note_decay.struck_filters(), onset)
    assert seen.shape == (400, note_decay.N_STRUCK)
    np.testing.assert_array_equal(seen[:50], 0)
    np.testing.assert_array_equal(seen[50], 1)
    for column, frames in enumerate((4, 12, 35, 100)):
        np.testing.assert_allclose(seen[70, column], np.exp(-20 / frames), rtol=1e-4)
    assert not seen[50 + BEHIND + 1 :].any()


@pytest.fixture
def weights():
    random = np.random.default_rng(0)
    shapes = {"held": (2 * note_decay.N_HELD, 3), "struck": (2 * note_decay.N_STRUCK, 3), "background": (3,)}
    shapes |= {"recording_levels": (2, 3), "recording_bins": (2, 3)}
    shapes |= {"recording_held": (2, note_decay.N_HELD), "recording_struck": (2, note_decay.N_STRUCK)}
    named = {f"note_spectra/{name}": random.normal(size=shape) for name, shape in shapes.items()}
    return {**named, "bins/bias": random.normal(size=3), "bins/kernel": random.normal(size=(3, 2, 3))}


def test_one_recording_s_colour_moves_into_what_all_share(weights):
    one = note_decay.as_one_recording(weights, ["a", "b"], ["b"])
    names = {f"note_spectra/{name}" for name in ("held", "struck", "background")} | {"bins/bias", "bins/kernel"}
    assert set(one) == names
    levels = weights["note_spectra/recording_levels"][1]
    np.testing.assert_allclose(one["note_spectra/background"], weights["note_spectra/background"] + levels)
    np.testing.assert_allclose(one["bins/bias"], weights["bins/bias"] + weights["note_spectra/recording_bins"][1])
    np.testing.assert_array_equal(one["bins/kernel"], weights["bins/kernel"])
    for name, n_filters in (("held", note_decay.N_HELD), ("struck", note_decay.N_STRUCK)):
        moved = (one[f"note_spectra/{name}"] - weights[f"note_spectra/{name}"]).reshape(2, n_filters, 3)
        own = weights[f"note_spectra/recording_{name}"][1]
        np.testing.assert_allclose(moved, np.broadcast_to(own[:, None] + levels, moved.shape), atol=1e-12)


def test_several_recordings_are_their_mean(weights):
    both = note_decay.as_one_recording(weights, ["a", "b"], ["a", "b"])
    alone = [note_decay.as_one_recording(weights, ["a", "b"], [name]) for name in "ab"]
    twice = note_decay.as_one_recording(weights, ["a", "b"], ["a", "a"])
    assert all(np.array_equal(twice[name], alone[0][name]) for name in twice)
    for name, array in both.items():
        np.testing.assert_allclose(array, (alone[0][name] + alone[1][name]) / 2, atol=1e-12)
