"""Notes and levels lie where they belong, whatever picture they are part of."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from pnet_tf import panels
from pnet_tf.spec import FeatureSpec

SPEC = FeatureSpec()


@pytest.mark.parametrize(("pitch", "name"), [(69, "A4"), (60, "C4"), (61, "C♯4"), (0, "C-1"), (127, "G9")])
def test_pitches_have_names(pitch, name):
    assert panels.pitch_name(pitch) == name


def test_few_frames_stay_as_they_are_and_many_are_gathered():
    frames = np.arange(5000)[:, None]
    np.testing.assert_array_equal(panels.grouped(frames[:2400])[:, 0], frames[:2400])
    gathered = panels.grouped(frames)
    assert gathered.shape == (1667, 3, 1)
    assert gathered[0].ravel().tolist() == [0, 1, 2]
    assert gathered[-1].ravel().tolist() == [4998, 4999, 4999]


@pytest.mark.parametrize(
    ("lowest_pitch", "bottom_hz"),
    [(69, 0.7 * 440), (None, 2 * 44100 / 2048), (0, 2 * 44100 / 2048), (127, 3000)],
)
def test_the_frequencies_begin_half_an_octave_below_the_lowest_note(lowest_pitch, bottom_hz):
    assert np.exp2(panels.frequency_edges(SPEC, lowest_pitch=lowest_pitch)) == pytest.approx([bottom_hz, 12000])


def test_levels_are_db_against_the_loudest_and_stop_at_the_range():
    magnitude = np.zeros((3, 1, SPEC.n_bins), np.float32)
    magnitude[:2, 0, 99:102] = np.outer([2.0, 0.2], [0.5, 1.0, 0.5])  # the lobe of a steady tone
    power = panels.power_from_log_power(np.log1p((SPEC.target_gain * magnitude) ** 2), SPEC)
    np.testing.assert_allclose(power, magnitude[:, 0] ** 2, rtol=1e-3)
    edges = panels.frequency_edges(SPEC, lowest_pitch=None)
    levels = panels.levels_db(power, loudest=4.0, spec=SPEC, edges=edges)
    assert levels.max(axis=1) == pytest.approx([0, -20, -80], abs=1)
    assert levels.min() == pytest.approx(-80, abs=1e-3)
    row = levels[0].argmax()
    hz = np.exp2(edges[0] + (edges[1] - edges[0]) * (row + 0.5) / levels.shape[1])
    assert hz == pytest.approx(100 * SPEC.sample_rate_hz / SPEC.n_fft, rel=0.01)


def test_names_of_neighbouring_notes_do_not_crowd():
    axes = Figure().add_subplot()
    sounding = np.zeros((10, 128), bool)
    sounding[:, 40:100] = True
    panels.draw_notes(axes, sounding, [], frames_sec=(0, 1), view_sec=(0, 1), max_labels=10)
    assert 7 <= len(axes.get_yticks()) <= 10
    assert axes.get_yticklabels()[0].get_text() == "E2"


def test_a_panel_without_notes_says_so():
    axes = Figure().add_subplot()
    panels.draw_notes(axes, np.zeros((10, 128), bool), [], frames_sec=(0, 1), view_sec=(0, 1), max_labels=10)
    assert ([text.get_text() for text in axes.texts], len(axes.get_yticks())) == (["no notes"], 0)


def test_what_is_no_number_is_grey_and_the_rest_keeps_its_colour():
    axes = Figure().add_subplot()
    levels = np.array([[np.nan, 0.0], [-80.0, -40.0]])  # [columns, rows]
    image = panels.draw_levels(axes, levels, edges=np.array([6.0, 13.0]), frames_sec=(3, 4))
    assert image.get_array().mask.tolist() == [[True, False], [False, False]]
    assert image.get_extent() == [3, 4, 6.0, 13.0]
    grey = tuple(int(panels.GREY[k : k + 2], 16) / 255 for k in (1, 3, 5))
    assert image.to_rgba(image.get_array())[0, 0, :3] == pytest.approx(grey)


def test_pitches_are_named_with_their_notes():
    assert panels.name_pitches({53: 2, 55: 1}) == "F3 (2 notes), G3 (1 note)"
