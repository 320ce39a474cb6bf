"""What TensorBoard would show, read back with TensorBoard's own reader."""

import html
import time

import markdown
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing import plugin_event_accumulator
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pnet_tf import stft, summaries, window_picture
from pnet_tf.spec import FeatureSpec
from pnet_tf.summaries import Summaries

SPEC = FeatureSpec()
N_FRAMES = 173  # a second


def points(folder):
    """Everything shown: name to [(step, value)]."""
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    found = {name: events.Tensors(name) for name in events.Tags()["tensors"]}
    return {name: [(p.step, tf.make_ndarray(p.tensor_proto)[()]) for p in kept] for name, kept in found.items()}


def as_shown(text):
    """Markdown as TensorBoard reads it; special letters as the reader sees them."""
    return html.unescape(markdown.markdown(text.decode(), extensions=["markdown.extensions.tables"]))


def sound(value):
    """Samples, rate and pitch in Hz of an audio summary."""
    waveform, rate_hz = tf.audio.decode_wav(value[0][0])
    samples = waveform.numpy()[:, 0]
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return samples, int(rate_hz), spectrum.argmax() * int(rate_hz) / len(samples)


def log_power(hz, *, level):
    """Of a steady sine, float32 [N_FRAMES, bins]."""
    times = np.arange(SPEC.n_samples(N_FRAMES)) / SPEC.sample_rate_hz
    waveform = (level * np.sin(2 * np.pi * hz * times)).astype(np.float32)
    return stft.log_power(waveform[np.newaxis], SPEC)[0].numpy()


def window(*, prediction_hz=660, prediction_level=0.1, **changes):
    """An A whose prediction is another tone."""
    roll = np.zeros((N_FRAMES, SPEC.n_pitches), np.float32)
    roll[:, 69] = 1
    given = dict(pianoroll=roll, onset_offset=np.zeros_like(roll), target=log_power(440, level=0.1))
    given |= dict(prediction=log_power(prediction_hz, level=prediction_level), spec=SPEC, start_sec=61.0)
    return given | dict(title="An A", step=10) | changes


@pytest.fixture
def no_pictures(monkeypatch):
    """A dot in place of each picture, for tests of sounds."""
    monkeypatch.setattr(window_picture, "draw_window", lambda **_: np.zeros((1, 1, 3), np.uint8))


# --- curves and texts


def test_curves_and_texts_come_back(tmp_path):
    shown = Summaries(tmp_path)
    shown.curves({"loss/training": 2.5, "learning_rate": 1e-3}, step=10)
    shown.curves({"loss/training": 2.0}, step=20)
    shown.text("flags", "--seed=0")
    shown.close()
    found = points(tmp_path)
    assert found["loss/training"] == [(10, 2.5), (20, 2.0)]
    assert found["learning_rate"] == [(10, pytest.approx(1e-3))]
    assert found["flags"] == [(0, b"--seed=0")]


def test_a_point_is_on_disk_at_once(tmp_path):
    """A training is watched while it runs."""
    shown = Summaries(tmp_path)
    shown.curves({"loss/training": 2.5}, step=1)
    assert points(tmp_path) == {"loss/training": [(1, 2.5)]}
    shown.close()


def test_a_training_that_goes_on_adds_to_the_curves(tmp_path):
    for step, value in ((1, 3.0), (2, 2.0)):
        shown = Summaries(tmp_path)
        shown.curves({"loss/training": value}, step=step)
        shown.close()
    assert sorted(point for found in points(tmp_path).values() for point in found) == [(1, 3.0), (2, 2.0)]


def test_what_a_run_is_made_from_can_be_read(tmp_path):
    shown = Summaries(tmp_path)
    versions = {"tensorflow": "2.17.1", "commit": "a|b_c_d"}
    shown.describe_run(flag_text="--seed=0\n--data=a_b_c\n", spec=SPEC, config_json='{\n "width": 1\n}', versions=versions)
    texts = {name: as_shown(found[0][1]) for name, found in points(tmp_path).items()}
    assert set(texts) == {"run/flags", "run/feature_spec", "run/network", "run/versions"}
    assert texts["run/flags"] == "<pre><code>--seed=0\n--data=a_b_c\n</code></pre>"
    assert FeatureSpec.from_json(texts["run/feature_spec"][len("<pre><code>") : -len("</code></pre>")], where="") == SPEC
    assert texts["run/network"] == '<pre><code>{\n "width": 1\n}\n</code></pre>'
    cells = [line for line in texts["run/versions"].splitlines() if line.startswith("<td>")]
    words = ("tensorflow", "2.17.1", "commit", "a|b_c_d")
    assert cells == [f"<td><code>{word}</code></td>" for word in words]
    shown.close()


# --- windows


def test_a_window_is_shown_and_played(tmp_path):
    shown = Summaries(tmp_path)
    shown.window("violin 1", **window())
    found = points(tmp_path)  # before the file is closed: a killed run shows its last state
    shown.close()
    assert set(found) == {"windows/violin 1", "audio/violin 1/prediction", "audio/violin 1/target"}
    ((step, (width, height, png)),) = found["windows/violin 1"]
    given = window()
    pixels = window_picture.draw_window(**{name: given[name] for name in given if name != "step"})
    assert (step, int(width), int(height)) == (10, pixels.shape[1], pixels.shape[0])
    np.testing.assert_array_equal(tf.io.decode_png(png).numpy(), pixels)
    for name, hz in (("prediction", 660), ("target", 440)):
        samples, rate_hz, found_hz = sound(found[f"audio/violin 1/{name}"][0][1])
        assert (len(samples), rate_hz) == (SPEC.n_samples(N_FRAMES), 44100)
        assert found_hz == pytest.approx(hz, abs=2)
        assert np.sqrt(np.mean(samples**2)) == pytest.approx(0.1 / np.sqrt(2), rel=0.05)


def test_the_prediction_is_played_each_time_and_the_target_once(tmp_path, no_pictures):
    shown = Summaries(tmp_path)
    shown.window("a", **window(step=1))
    shown.window("a", **window(step=2, prediction_hz=880))
    shown.window("b", **window(step=2))
    shown.close()
    found = points(tmp_path)
    assert {name: [step for step, _ in kept] for name, kept in found.items()} == {
        "windows/a": [1, 2],
        "audio/a/prediction": [1, 2],
        "audio/a/target": [1],
        "windows/b": [2],
        "audio/b/prediction": [2],
        "audio/b/target": [2],
    }
    assert [round(sound(value)[2], -1) for _, value in found["audio/a/prediction"]] == [660, 880]


def test_a_loud_prediction_is_scaled_and_not_clipped(tmp_path, no_pictures):
    shown = Summaries(tmp_path)
    shown.window("a", **window(prediction_level=5.0))
    shown.close()
    samples, _, hz = sound(points(tmp_path)["audio/a/prediction"][0][1])
    assert hz == pytest.approx(660, abs=2)
    assert np.abs(samples).max() == pytest.approx(1, abs=1e-3)
    middle = samples[10000:30000]
    assert np.sqrt(np.mean(middle**2)) / np.abs(middle).max() == pytest.approx(np.sqrt(0.5), rel=0.02)  # still a sine


@pytest.mark.parametrize("target_gain", [1, 100])
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30, -np.inf])
def test_no_prediction_makes_a_sound_that_is_no_number(value, target_gain):
    for share in (slice(None), slice(40, 60)):
        wild = np.ones((64, SPEC.n_bins), np.float32)
        wild[share] = value
        waveform = summaries._inversion(FeatureSpec(target_gain=target_gain))(tf.constant(wild)).numpy()
        assert np.isfinite(waveform).all()
        assert np.abs(waveform).max() <= 1


def test_a_network_that_says_noise_or_nothing_is_shown(tmp_path):
    shown = Summaries(tmp_path)
    noise = np.random.default_rng(0).normal(0, 1, (N_FRAMES, SPEC.n_bins)).astype(np.float32)
    for step, prediction in enumerate((noise, np.full_like(noise, np.nan))):
        shown.window("a", **window(step=step, prediction=prediction))
    shown.close()
    said, nothing = (np.abs(sound(value)[0]).max() for _, value in points(tmp_path)["audio/a/prediction"])
    assert 0 < said <= 1
    assert nothing == 0


# --- nobody's


def test_a_silent_one_leaves_no_file_and_draws_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(window_picture, "draw_window", lambda **_: pytest.fail("drawn"))
    monkeypatch.setattr(summaries, "_inversion", lambda _: pytest.fail("inverted"))
    shown = Summaries.silent()
    assert type(shown) is Summaries
    shown.curves({"loss/training": 2.5}, step=10)
    shown.text("flags", "--seed=0")
    shown.describe_run(flag_text="", spec=SPEC, config_json="{}", versions={})
    shown.window("a", **window())
    shown.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("going_on_from", "left"), [(20, [10, 20, 30]), (0, [30])])
def test_what_a_killed_training_showed_of_later_steps_is_withdrawn(going_on_from, left, tmp_path):
    """It was killed after step 25, and its last checkpoint is of step 20, or there is none. As TensorBoard's pages read it."""
    first = Summaries(tmp_path)
    for step in (10, 20, 25):
        first.curves({"loss/training": float(step)}, step=step)
    first.close()
    # Event files are read in the order of their names, which hold seconds; no training is begun again within one.
    time.sleep(1.1)
    second = Summaries(tmp_path, going_on_from=going_on_from)
    second.curves({"loss/training": 30.0}, step=30)
    second.close()
    events = plugin_event_accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    assert [point.step for point in events.Tensors("loss/training")] == left
