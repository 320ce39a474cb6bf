"""The pictures show what they were given, where it was, and appear whole."""

import tracemalloc
from fractions import Fraction

import numpy as np
import pytest

from pnet_tf import picture
from pnet_tf.errors import InputError
from pnet_tf.score_notes import Note, Score
from pnet_tf.spec import FeatureSpec

SPEC = FeatureSpec()
PNG = b"\x89PNG\r\n\x1a\n"


def performance(seconds, pitch=69):
    """One note from 1 s on, its power in the bin nearest to its frequency and, 6 dB lower, in the two beside it."""
    n_frames = SPEC.n_frames(int(seconds * SPEC.sample_rate_hz))
    roll = np.zeros((n_frames, SPEC.n_pitches), np.int8)
    begin, end = (int(second * SPEC.frame_rate_hz) for second in (1, seconds - 0.5))
    roll[begin:end, pitch] = 1
    log_power = np.zeros((n_frames, SPEC.n_bins), np.float32)
    frequency_hz = 440 * 2 ** ((pitch - 69) / 12)
    nearest = round(frequency_hz * SPEC.n_fft / SPEC.sample_rate_hz)
    log_power[begin:end, nearest - 1 : nearest + 2] = 12.0 - np.log(4) * np.array([1, 0, 1])
    times = np.arange(SPEC.n_samples(n_frames)) / SPEC.sample_rate_hz
    waveform = (0.5 * np.sin(2 * np.pi * frequency_hz * times)).astype(np.float32)
    score = Score(
        name="a note",
        notes=(Note(Fraction(1), Fraction(seconds) - Fraction(1, 2), pitch),),
        bars_sec=tuple(Fraction(bar) for bar in range(int(seconds))),
    )
    return dict(score=score, roll=roll, log_power=log_power, waveform=waveform, spec=SPEC, title="A note")


@pytest.fixture
def figures(monkeypatch):
    """The figures that would have been written."""
    kept = []
    monkeypatch.setattr(picture, "save_figure", lambda figure, path: kept.append(figure))
    return kept


def test_a_performance_becomes_one_whole_png(tmp_path):
    picture.draw_performance(tmp_path / "x.png", **performance(4))
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]
    assert (tmp_path / "x.png").read_bytes().startswith(PNG)


def test_the_panels_show_notes_frequencies_bars_and_seconds(figures):
    picture.draw_performance("x.png", **performance(4))
    roll_axes, power_axes, wave_axes, _ = figures[0].axes
    assert [label.get_text() for label in roll_axes.get_yticklabels()] == ["A4"]
    bars = roll_axes.child_axes[0]
    assert [label.get_text() for label in bars.get_xticklabels()] == ["1", "2", "3", "4"]
    assert list(bars.get_xticks()) == [0, 1, 2, 3]
    assert [label.get_text() for label in power_axes.get_yticklabels()] == [
        "500 Hz",
        "1 kHz",
        "2 kHz",
        "5 kHz",
        "10 kHz",
    ]
    assert wave_axes.get_xlabel() == "seconds"
    assert wave_axes.get_xlim() == pytest.approx((0, 4), abs=0.01)
    assert roll_axes.get_xlim() == power_axes.get_xlim() == wave_axes.get_xlim()
    assert figures[0].get_suptitle() == "A note"


@pytest.mark.parametrize("pitch", [43, 69, 100])
def test_a_partial_is_drawn_at_its_frequency_and_time(figures, pitch):
    picture.draw_performance("x.png", **performance(4, pitch))
    (image,) = figures[0].axes[1].get_images()
    levels_db = image.get_array()  # [rows, columns]
    left, right, bottom, top = image.get_extent()
    row, column = np.unravel_index(np.argmax(levels_db), levels_db.shape)
    rows = np.flatnonzero(levels_db[:, column] > -3)
    at_hz = 2 ** (bottom + (top - bottom) * (rows.mean() + 0.5) / len(levels_db))
    assert at_hz == pytest.approx(440 * 2 ** ((pitch - 69) / 12), abs=SPEC.sample_rate_hz / SPEC.n_fft)
    first = left + (right - left) * np.flatnonzero(levels_db[row] > -3)[0] / levels_db.shape[1]
    assert first == pytest.approx(1, abs=0.01)
    assert levels_db.max() == pytest.approx(0, abs=1.5)
    assert levels_db.min() == pytest.approx(-80, abs=1e-3)


def test_the_target_gain_does_not_move_the_levels(figures):
    given = performance(4)
    quiet = np.log1p(np.expm1(given["log_power"].astype(np.float64)) / 1e4).astype(np.float32)
    picture.draw_performance("x.png", **given)
    picture.draw_performance("x.png", **{**given, "log_power": quiet, "spec": FeatureSpec(target_gain=1)})
    loud, soft = (figure.axes[1].get_images()[0].get_array() for figure in figures)
    np.testing.assert_allclose(loud, soft, atol=0.01)


def test_the_roll_and_the_onsets_are_where_they_sound(figures):
    picture.draw_performance("x.png", **performance(4))
    axes = figures[0].axes[0]
    (image,) = axes.get_images()
    left, right, bottom, top = image.get_extent()
    row, columns = 69 - round(bottom + 0.5), image.get_array().shape[1]
    sounding = np.flatnonzero(~image.get_array().mask[row])
    assert left + (right - left) * sounding[0] / columns == pytest.approx(1, abs=0.01)
    assert left + (right - left) * (sounding[-1] + 1) / columns == pytest.approx(3.5, abs=0.01)
    onsets = axes.collections[-1].get_segments()
    assert [segment[0][0] for segment in onsets] == [1.0]


def test_a_long_score_shows_its_first_30_seconds_and_says_so(figures):
    picture.draw_performance("x.png", **performance(75))
    assert figures[0].axes[0].get_xlim() == (0, 30)
    assert figures[0].get_suptitle() == "A note  (first 30 s of 1:15)"


def test_a_stretch_of_it_can_be_chosen(figures):
    picture.draw_performance("x.png", **performance(75), offset_sec=61, length_sec=5)
    assert figures[0].axes[0].get_xlim() == (61, 66)
    assert figures[0].get_suptitle() == "A note  (1:01 to 1:06 of 1:15)"
    assert [label.get_text() for label in figures[0].axes[0].get_yticklabels()] == ["A4"]
    assert not figures[0].axes[0].collections[-1].get_segments()


def test_an_hour_is_not_copied(tmp_path):
    n_frames = int(3600 * SPEC.frame_rate_hz)
    given = performance(4) | {
        "roll": np.broadcast_to(np.int8(0), (n_frames, SPEC.n_pitches)),
        "log_power": np.broadcast_to(np.float32(0), (n_frames, SPEC.n_bins)),
        "waveform": np.broadcast_to(np.float32(0), (SPEC.n_samples(n_frames),)),
    }
    picture.draw_performance(tmp_path / "warm.png", **performance(4))
    tracemalloc.start()
    picture.draw_performance(tmp_path / "x.png", **given)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 150e6


@pytest.mark.parametrize("length_sec", [0.3, 30, 120])
def test_silence_without_a_note_or_bar_can_be_drawn(tmp_path, length_sec):
    n_frames = int(130 * SPEC.frame_rate_hz)
    picture.draw_performance(
        tmp_path / "x.png",
        score=Score("nothing", ()),
        roll=np.zeros((n_frames, SPEC.n_pitches), np.float32),
        log_power=np.zeros((n_frames, SPEC.n_bins), np.float16),
        waveform=np.zeros(0, np.float32),
        spec=SPEC,
        title="東京 $x$",
        length_sec=length_sec,
    )
    assert (tmp_path / "x.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize("stretch", [dict(offset_sec=9), dict(offset_sec=-1), dict(length_sec=0)])
def test_a_stretch_with_nothing_in_it_is_refused(stretch):
    with pytest.raises(InputError, match="nothing to draw .* the performance lasts 4.0 s"):
        picture.draw_performance("x.png", **performance(4), **stretch)


def test_a_missing_folder_is_said(tmp_path):
    with pytest.raises(InputError, match="the folder .*no does not exist"):
        picture.draw_curve(tmp_path / "no" / "x.png", [1], {"training": [1.0]})


def test_an_old_picture_stays_when_the_new_one_fails(tmp_path, monkeypatch):
    (tmp_path / "x.png").write_bytes(b"old")
    monkeypatch.setattr(picture.os, "replace", lambda *_: (_ for _ in ()).throw(OSError("no")))
    with pytest.raises(OSError, match="no"):
        picture.draw_curve(tmp_path / "x.png", [1], {"training": [1.0]})
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("x.png", b"old")]


def test_curves_skip_what_was_not_measured(figures):
    nan = float("nan")
    picture.draw_curve(
        "x.png", [1, 2, 3], {"training": [3, 2, 1], "validation": [4, nan, 2]}, reference=("mean spectrum", 2.5)
    )
    training, validation, reference = figures[0].axes[0].get_lines()
    np.testing.assert_array_equal(training.get_xydata(), [[1, 3], [2, 2], [3, 1]])
    np.testing.assert_array_equal(validation.get_xydata(), [[1, 4], [3, 2]])
    assert (reference.get_linestyle(), list(reference.get_ydata())) == ("--", [2.5, 2.5])
    legend = [text.get_text() for text in figures[0].axes[0].get_legend().get_texts()]
    assert legend == ["training", "validation", "mean spectrum"]


def test_a_curve_of_another_length_is_refused():
    with pytest.raises(InputError, match="'training' has 2 points, expected 3"):
        picture.draw_curve("x.png", [1, 2, 3], {"training": [1, 2]})
