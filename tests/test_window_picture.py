"""A window's picture shows notes, sound, prediction and difference where they are, with the colours they should have."""

import numpy as np
import pytest

from pnet_tf import window_picture
from pnet_tf.spec import FeatureSpec

SPEC = FeatureSpec()
RATE_HZ = float(SPEC.frame_rate_hz)
N_FRAMES, FIRST, END = 432, 100, 300


def log_power(level_db=0.0, *, pitch=69):
    """A steady tone of magnitude 30 from frame `FIRST` to `END`, 6 dB lower in the two bins beside its own."""
    magnitude = np.zeros((N_FRAMES, SPEC.n_bins), np.float32)
    nearest = round(440 * 2 ** ((pitch - 69) / 12) * SPEC.n_fft / SPEC.sample_rate_hz)
    magnitude[FIRST:END, nearest - 1 : nearest + 2] = 30 * np.array([0.5, 1, 0.5]) * 10 ** (level_db / 20)
    return np.log1p((SPEC.target_gain * magnitude) ** 2)


def window(pitch=69, **changes):
    """The tone as its own prediction."""
    pianoroll = np.zeros((N_FRAMES, SPEC.n_pitches), np.float32)
    pianoroll[FIRST:END, pitch] = 1
    onset_offset = np.zeros_like(pianoroll)
    onset_offset[[FIRST, END], pitch] = 1, -1
    given = dict(pianoroll=pianoroll, onset_offset=onset_offset, target=log_power(pitch=pitch))
    return given | dict(prediction=given["target"], spec=SPEC, start_sec=61.0, title="A note") | changes


@pytest.fixture
def figures(monkeypatch):
    """The figures that would have been rendered."""
    kept = []
    monkeypatch.setattr(window_picture, "_pixels", kept.append)
    return kept


@pytest.fixture
def rendered(monkeypatch):
    """The figures that were rendered."""
    kept, render = [], window_picture._pixels
    monkeypatch.setattr(window_picture, "_pixels", lambda figure: kept.append(figure) or render(figure))
    return kept


def images(figure):
    """What the three panels of levels hold, masked float [rows, columns] each."""
    return [axes.get_images()[0].get_array() for axes in figure.axes[1:4]]


def colour_at(figure, pixels, axes, time_sec, height):
    """The pixel at a time and at an ordinate of a panel."""
    x, y = axes.transData.transform((time_sec, height))
    return pixels[len(pixels) - 1 - int(y), int(x)].astype(int)


def test_the_pixels_are_where_note_and_tone_are(rendered):
    pixels = window_picture.draw_window(**window(prediction=log_power(12.0)))
    assert (pixels.dtype, pixels.shape[1:]) == (np.uint8, (1300, 3))
    (figure,) = rendered
    roll, target, prediction, difference = figure.axes[:4]
    inside, before = 61 + 200 / RATE_HZ, 61 + 50 / RATE_HZ
    a4 = np.log2(440)
    assert colour_at(figure, pixels, roll, inside, 69).tolist() == [0x2A, 0x6F, 0x97]
    assert colour_at(figure, pixels, roll, before, 69.3).tolist() == [255, 255, 255]
    assert colour_at(figure, pixels, roll, 61 + FIRST / RATE_HZ, 69.2) == pytest.approx([0xC8, 0x55, 0x3D], abs=20)
    for axes in (target, prediction):
        assert colour_at(figure, pixels, axes, inside, a4).sum() > 600  # magma's bright end
        assert colour_at(figure, pixels, axes, before, a4).sum() < 20
        assert colour_at(figure, pixels, axes, inside, a4 + 1).sum() < 20
    red, _, blue = colour_at(figure, pixels, difference, inside, a4)
    assert red > blue + 60  # 12 dB too loud
    assert min(colour_at(figure, pixels, difference, before, a4)) > 240


@pytest.mark.parametrize("difference_db", [-12.0, 0.0, 12.0])
def test_the_difference_is_prediction_minus_target(figures, difference_db):
    window_picture.draw_window(**window(prediction=log_power(difference_db)))
    target, prediction, difference = images(figures[0])
    row, column = np.unravel_index(np.argmax(target), target.shape)
    assert difference[row, column] == pytest.approx(difference_db, abs=0.01)
    assert prediction[row, column] - target[row, column] == pytest.approx(difference_db, abs=0.01)
    limits = [axes.get_images()[0].get_clim() for axes in figures[0].axes[1:4]]
    assert limits == [(-80, 0), (-80, 0), (-30, 30)]


@pytest.mark.parametrize("pitch", [36, 69, 100])
def test_a_tone_is_at_its_frequency_and_in_absolute_time(figures, pitch):
    window_picture.draw_window(**window(pitch))
    axes = figures[0].axes[1]
    (levels,) = (image.get_array() for image in axes.get_images())
    left, right, bottom, top = axes.get_images()[0].get_extent()
    row, column = np.unravel_index(np.argmax(levels), levels.shape)
    rows = np.flatnonzero(levels[:, column] > -3)
    hz = 2 ** (bottom + (top - bottom) * (rows.mean() + 0.5) / len(levels))
    assert hz == pytest.approx(440 * 2 ** ((pitch - 69) / 12), abs=SPEC.sample_rate_hz / SPEC.n_fft)
    columns = np.flatnonzero(levels[row] > -3)
    assert left + (right - left) * columns[0] / N_FRAMES == pytest.approx(61 + FIRST / RATE_HZ)
    assert left + (right - left) * (columns[-1] + 1) / N_FRAMES == pytest.approx(61 + END / RATE_HZ)
    assert [axes.get_xlim() for axes in figures[0].axes[:4]] == [pytest.approx((61, 61 + N_FRAMES / RATE_HZ))] * 4


def test_axes_and_colour_bars_are_labelled(figures):
    window_picture.draw_window(**window())
    labels = [axes.get_ylabel() for axes in figures[0].axes]
    assert labels[:4] == ["notes (onsets red)", "target", "prediction", "prediction − target"]
    assert labels[4:] == ["dB below the target's loudest", "dB, red too loud"]
    assert [label.get_text() for label in figures[0].axes[0].get_yticklabels()] == ["A4"]
    assert [label.get_text() for label in figures[0].axes[3].get_yticklabels()][:2] == ["500 Hz", "1 kHz"]
    assert figures[0].axes[0].collections[-1].get_segments()[0][:, 0].tolist() == [61 + FIRST / RATE_HZ] * 2
    assert figures[0].get_suptitle() == "A note"


def test_nan_is_missing_and_the_title_says_so(figures):
    prediction = log_power()
    prediction[:54, :] = np.nan
    window_picture.draw_window(**window(prediction=prediction))
    target, predicted, difference = (np.ma.getmaskarray(image) for image in images(figures[0]))
    assert not target.any()
    for mask in (predicted, difference):
        assert mask[:, :54].all()
        assert not mask[:, 54:].any()
    assert figures[0].get_suptitle() == "A note  (NaN, grey, in 12 % of the prediction)"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, -1e30])
def test_a_wild_prediction_is_drawn(figures, value):
    window_picture.draw_window(**window(prediction=np.full((N_FRAMES, SPEC.n_bins), value, np.float32)))
    target, predicted, difference = images(figures[0])
    assert np.isfinite(target).all()
    assert np.ma.getmaskarray(predicted).all() == np.isnan(value)
    if not np.isnan(value):
        assert np.isfinite(difference).all()
        assert (predicted.min() > 0) if value > 0 else (predicted.max() == pytest.approx(-80, abs=1e-3))


def test_a_picture_of_wild_values_and_letters_comes_out():
    """Of 東京, which the font may lack, and of infinities."""
    prediction = np.random.default_rng(0).normal(0, 1e3, (N_FRAMES, SPEC.n_bins)).astype(np.float32)
    prediction[:100], prediction[100:200], prediction[200:300] = np.nan, np.inf, -np.inf
    pixels = window_picture.draw_window(**window(prediction=prediction, title="東京 $x$"))
    assert pixels.shape[2] == 3
    assert pixels.std() > 30


def test_no_waveform_is_above_the_highest_log_power():
    periodic_hann = np.hanning(SPEC.n_fft + 1)[:-1]
    loudest = np.abs(np.fft.rfft(periodic_hann * np.ones(SPEC.n_fft))).max()
    assert window_picture._highest_log_power(SPEC) == pytest.approx(np.log1p((SPEC.target_gain * loudest) ** 2))


def test_the_gain_does_not_move_the_levels(figures):
    original = FeatureSpec(target_gain=1)
    quiet = np.log1p(np.expm1(log_power().astype(np.float64)) / 1e4).astype(np.float32)
    window_picture.draw_window(**window())
    window_picture.draw_window(**window(target=quiet, prediction=quiet, spec=original))
    for ours, theirs in zip(*map(images, figures), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=0.01)


def test_a_window_of_silence_is_not_blown_up(figures):
    silence = np.zeros((N_FRAMES, SPEC.n_pitches), np.float32)
    noise = np.full((N_FRAMES, SPEC.n_bins), 1e-3, np.float32)
    window_picture.draw_window(**window(pianoroll=silence, onset_offset=silence, target=noise, prediction=noise))
    assert figures[0].axes[4].get_ylabel() == "dB, 0 is 40 dB below a steady note"
    assert images(figures[0])[0].max() < -50
    assert [text.get_text() for text in figures[0].axes[0].texts] == ["no notes"]
