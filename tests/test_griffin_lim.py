"""Griffin-Lim: against librosa's, its phase start, its seed, and that it works in a graph of any length."""

import librosa
import numpy as np
import pytest
import tensorflow as tf

from pnet_tf import griffin_lim, stft
from pnet_tf.spec import FeatureSpec

SPEC = FeatureSpec()


def convergence_db(waveform, magnitude):
    """Spectral convergence: how far the waveform's magnitude is from the one asked for."""
    rebuilt = tf.abs(stft.stft(waveform, SPEC)).numpy()
    n_frames = min(rebuilt.shape[1], magnitude.shape[1])
    difference = rebuilt[:, :n_frames] - magnitude[:, :n_frames]
    return 20 * np.log10(np.linalg.norm(difference) / np.linalg.norm(magnitude[:, :n_frames]))


@pytest.fixture(scope="module")
def magnitude():
    """Two seconds of four notes with ten partials and vibrato: float32 [1, frames, bins]."""
    time_sec = np.arange(2 * SPEC.sample_rate_hz) / SPEC.sample_rate_hz
    waveform = np.zeros_like(time_sec)
    for index, frequency in enumerate((392.0, 440.0, 587.3, 659.3)):
        phase = 2 * np.pi * frequency * time_sec + 0.3 * np.sin(2 * np.pi * 5.5 * time_sec)
        envelope = np.exp(-(((time_sec - 0.25 - 0.5 * index) / 0.15) ** 2))
        waveform += envelope * sum(np.sin(k * phase) / k for k in range(1, 11))
    return tf.abs(stft.stft(tf.constant(0.1 * waveform[None], tf.float32), SPEC)).numpy()


@pytest.mark.parametrize(("iterations", "tolerance"), [(1, 1e-4), (4, 1e-3)])
def test_from_the_same_phases_it_gives_librosas_samples(magnitude, monkeypatch, iterations, tolerance):
    phases = 2 * np.pi * np.random.RandomState(0).rand(*magnitude[0].T.shape)  # as librosa draws them
    monkeypatch.setattr(griffin_lim, "_start_phase", lambda *_, **__: tf.constant(phases.T[None], tf.float32))
    ours = griffin_lim.griffin_lim(tf.constant(magnitude), SPEC, iterations=iterations)[0].numpy()
    theirs = librosa.griffinlim(
        magnitude[0].T,
        n_iter=iterations,
        hop_length=SPEC.hop_samples,
        n_fft=SPEC.n_fft,
        window="hann",
        pad_mode="constant",
        momentum=griffin_lim.MOMENTUM,
        random_state=0,
    )
    assert ours.shape == theirs.shape
    # The outermost samples are covered by a fraction of a window, which magnifies every rounding.
    np.testing.assert_allclose(ours[256:-256], theirs[256:-256], atol=tolerance)


def test_the_phase_start_is_worth_many_iterations(magnitude):
    read_off = griffin_lim.griffin_lim(tf.constant(magnitude), SPEC, iterations=8, phase_start="advance")
    random = griffin_lim.griffin_lim(tf.constant(magnitude), SPEC, iterations=32, phase_start="random")
    assert convergence_db(read_off, magnitude) < convergence_db(random, magnitude) - 1.0


def test_a_steady_tone_between_two_bins_comes_back_without_any_iteration():
    """The phase advance of a partial is read off its slope; the centre of the nearest bin is 1.5 Hz away."""
    time_sec = np.arange(SPEC.sample_rate_hz) / SPEC.sample_rate_hz
    tone = tf.constant(0.2 * np.sin(2 * np.pi * 1000.7 * time_sec)[None], tf.float32)
    magnitude = tf.abs(stft.stft(tone, SPEC))
    back = griffin_lim.griffin_lim(magnitude, SPEC, iterations=0)[0, 8192:-8192].numpy()
    spectrum = np.abs(np.fft.rfft(back * np.hanning(len(back)), 8 * len(back)))
    peak_hz = np.argmax(spectrum) * SPEC.sample_rate_hz / (8 * len(back))
    assert abs(peak_hz - 1000.7) < 0.5


def test_same_seed_same_samples_other_seed_others(magnitude):
    def run(seed, start):
        return griffin_lim.griffin_lim(
            tf.constant(magnitude[:, :50]), SPEC, iterations=2, seed=seed, phase_start=start
        ).numpy()

    np.testing.assert_array_equal(run(3, "random"), run(3, "random"))
    np.testing.assert_array_equal(run(3, "advance"), run(4, "advance"))
    assert np.abs(run(3, "random") - run(4, "random")).max() > 1e-3


def test_examples_of_a_batch_are_independent(magnitude):
    two = np.concatenate([magnitude[:, :40], 2 * magnitude[:, 40:80]])
    together = griffin_lim.griffin_lim(tf.constant(two), SPEC, iterations=3).numpy()
    alone = griffin_lim.griffin_lim(tf.constant(two[1:]), SPEC, iterations=3).numpy()
    np.testing.assert_allclose(together[1:], alone, atol=1e-5)


def test_silence_stays_silent():
    waveform = griffin_lim.griffin_lim(tf.zeros([1, 20, SPEC.n_bins]), SPEC, iterations=4).numpy()
    assert waveform.shape == (1, 19 * SPEC.hop_samples)
    np.testing.assert_array_equal(waveform, 0)


def test_it_lives_in_a_graph_of_any_length(magnitude):
    graph = tf.function(
        lambda m, n: griffin_lim.griffin_lim(m, SPEC, iterations=n),
        input_signature=[tf.TensorSpec([None, None, SPEC.n_bins]), tf.TensorSpec([], tf.int32)],
        autograph=False,
    )
    for n_frames in (1, 2, 30):
        eager = griffin_lim.griffin_lim(tf.constant(magnitude[:, :n_frames]), SPEC, iterations=2).numpy()
        np.testing.assert_allclose(graph(magnitude[:, :n_frames], 2).numpy(), eager, atol=1e-5)


def test_an_unknown_start_is_refused():
    with pytest.raises(ValueError, match="phase_start is 'guess'"):
        griffin_lim.griffin_lim(tf.zeros([1, 2, SPEC.n_bins]), SPEC, phase_start="guess")
