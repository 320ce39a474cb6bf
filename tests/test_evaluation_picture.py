"""The pictures show what they were given, and are written whole."""

import numpy as np
import pytest

from pnet_tf import evaluation_picture
from pnet_tf.metrics_sound import Sound
from tests.test_evaluation_report import TWO, report_of
from tests.test_metrics_tally import NOTES, RATE_HZ, SCORE, SPEC, waveform_of


@pytest.fixture
def figures(monkeypatch):
    """The figures that would have been written."""
    kept = []
    monkeypatch.setattr(evaluation_picture, "save_figure", lambda figure, path, dots_per_inch: kept.append(figure))
    return kept


def test_pictures_are_whole_files(tmp_path):
    evaluation_picture.draw_sound(tmp_path / "sound.png", Sound(waveform_of(NOTES), SPEC), SCORE)
    evaluation_picture.draw_values(tmp_path / "values.png", report_of(["x", "y"], TWO))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sound.png", "values.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.iterdir())


def test_notes_and_partials_are_where_they_sound(figures):
    """The first note is C4: its fundamental is the brightest of its column."""
    sound = Sound(waveform_of(NOTES), SPEC)
    evaluation_picture.draw_sound("x.png", sound, SCORE)
    notes, levels = figures[0].axes
    assert levels.get_xlim() == pytest.approx((0, 3))
    (image,) = levels.get_images()
    left, right, low, high = image.get_extent()
    shown = np.ma.getdata(image.get_array())
    column = shown[:, round(0.3 * shown.shape[1] / right)]
    brightest = low + (np.argmax(column) + 0.5) / len(column) * (high - low)
    assert 2**brightest == pytest.approx(261.6, rel=0.05)
    onsets = [segment[0][0] for segment in notes.collections[-1].get_segments()]
    np.testing.assert_allclose(sorted(onsets), [start / RATE_HZ for start, _, _ in NOTES])


def test_silence_and_a_beginning_can_be_drawn(figures):
    evaluation_picture.draw_sound("x.png", Sound(np.zeros(RATE_HZ // 2), SPEC), SCORE)
    notes, levels = figures[0].axes
    assert levels.get_xlim() == pytest.approx((0, 0.5))
    assert len(notes.collections[-1].get_segments()) == 1


def test_every_value_is_drawn_with_its_interval(figures):
    report = report_of(["x", "y"], TWO)
    evaluation_picture.draw_values("x.png", report)
    charts = [axes for axes in figures[0].axes if axes.get_visible()]
    assert len(charts) == len(report["metrics"])
    bars = {line.get_ydata()[0]: line.get_xdata() for line in charts[0].lines if len(line.get_xdata()) == 2}
    dots = {line.get_ydata()[0]: line.get_xdata()[0] for line in charts[0].lines if len(line.get_xdata()) == 1}
    assert dots == {0: 3.375, 1: 2.0}
    value = report["candidates"][0]["values"]["log_mel_error_db"]
    assert list(bars[0]) == [value["low"], value["high"]]
    assert [label.get_text() for label in charts[0].get_yticklabels()] == ["x", "y"]
