"""Each metric against a value worked out in another way, and against what it means."""

import itertools

import librosa
import numpy as np
import pytest
import scipy.linalg
import tensorflow as tf

from pnet_tf import metrics
from pnet_tf.metrics_sound import Sound
from pnet_tf.spec import FeatureSpec
from tests.test_metrics_tally import N_SAMPLES, NOTES, RATE_HZ, SCORE, SPEC, waveform_of

VALUES = {metric.name: metric.value for metric in metrics.METRICS}


@pytest.fixture(scope="module")
def recording():
    return Sound(waveform_of(NOTES), SPEC)


@pytest.fixture(scope="module")
def other():
    """The same notes without overtones, with a faster decay and more noise."""
    return Sound(waveform_of(NOTES, decay=7, n_partials=1, noise=2e-3), SPEC)


@pytest.fixture(scope="module")
def compared(recording, other):
    return metrics.compare(recording, other, SCORE)


# --- what they mean


def test_a_sound_is_no_distance_from_itself_whatever_its_level(recording):
    values = metrics.compare(recording, Sound(0.01 * recording.waveform, SPEC), SCORE)
    for metric in metrics.METRICS:
        if not metric.name.startswith(("onset", "pitch")):
            best = 0.0 if metric.better == "lower" else 1.0
            assert values[metric.name] == pytest.approx(best, abs=2e-3), metric.name
    assert values["onset_f"] > 0.9 and values["pitch_accuracy"] > 0.9


def test_the_wrong_notes_are_further_than_another_tone(recording, compared):
    """A note and a half late: timbre metrics hardly see it, note metrics do."""
    late = metrics.compare(recording, Sound(np.roll(recording.waveform, 3 * RATE_HZ // 4), SPEC), SCORE)
    assert late["chroma_cosine"] < 0.75 < compared["chroma_cosine"]
    assert late["onset_f"] < 0.2 < 0.9 < compared["onset_f"]
    assert late["pitch_accuracy"] < 0.2 < 0.9 < compared["pitch_accuracy"]
    assert late["loudness_correlation"] < compared["loudness_correlation"]
    assert late["mfcc_frechet"] < 0.1 * compared["mfcc_frechet"]


def test_silence_plays_no_note_and_lies_at_the_floor(recording):
    values = metrics.compare(recording, Sound(np.zeros(N_SAMPLES), SPEC), SCORE)
    assert values["onset_precision"] == values["onset_recall"] == values["onset_f"] == values["pitch_accuracy"] == 0
    assert values["chroma_cosine"] == 0
    assert np.isnan(values["loudness_correlation"])
    assert values["log_mel_error_db"] == pytest.approx(np.mean(recording.log_mel + 80), rel=1e-5)
    assert values["mfcc_frechet"] > 1000


# --- what they are


def test_log_mel_error_is_that_of_librosa_s_spectrograms(recording, other, compared):
    levels = [
        librosa.power_to_db(
            librosa.feature.melspectrogram(y=sound.waveform, sr=RATE_HZ, n_fft=2048, hop_length=512, n_mels=128),
            ref=np.max, amin=1e-12, top_db=80,
        )
        for sound in (recording, other)
    ]
    assert compared["log_mel_error_db"] == pytest.approx(np.abs(levels[0] - levels[1]).mean(), rel=1e-4)


def test_multi_scale_spectral_is_ddsp_s_definition_in_tensorflow(recording, other, compared):
    total = 0.0
    for size in (2048, 1024, 512, 256, 128, 64):
        ours, theirs = (
            np.abs(tf.signal.stft(sound.waveform, size, size // 4, size, pad_end=True).numpy()) for sound in (recording, other)
        )
        total += np.abs(ours - theirs).mean() + np.abs(np.log(np.maximum(ours, 1e-5)) - np.log(np.maximum(theirs, 1e-5))).mean()
    assert compared["multi_scale_spectral"] == pytest.approx(total, rel=5e-5)


def test_log_spectral_distance_is_that_of_librosa_s_transforms(recording, other, compared):
    levels = [
        librosa.amplitude_to_db(np.abs(librosa.stft(sound.waveform, n_fft=2048, hop_length=512)), ref=np.max, top_db=80)
        for sound in (recording, other)
    ]
    expected = np.sqrt(((levels[0] - levels[1]) ** 2).mean(axis=0)).mean()
    assert compared["log_spectral_distance_db"] == pytest.approx(expected, rel=1e-3)


def test_chroma_cosine_is_the_mean_over_frames(recording, other, compared):
    products = (recording.chroma * other.chroma).sum(axis=1)
    lengths = np.linalg.norm(recording.chroma, axis=1) * np.linalg.norm(other.chroma, axis=1)
    assert compared["chroma_cosine"] == pytest.approx((products / lengths).mean(), rel=1e-5)


def test_loudness_correlation_is_pearson_s(recording, other, compared):
    expected = np.corrcoef(recording.level_db, other.level_db)[0, 1]
    assert compared["loudness_correlation"] == pytest.approx(expected, rel=1e-6)


def test_mfcc_frechet_is_that_of_the_fitted_gaussians(recording, other, compared):
    """The root of the product of covariances by scipy."""
    frames = [librosa.feature.mfcc(S=sound.log_mel.T.astype(np.float64), n_mfcc=21)[1:] for sound in (recording, other)]
    means, covariances = [f.mean(axis=1) for f in frames], [np.cov(f) for f in frames]
    root = np.real(scipy.linalg.sqrtm(covariances[0] @ covariances[1]))
    expected = np.sum((means[0] - means[1]) ** 2) + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert compared["mfcc_frechet"] == pytest.approx(expected, rel=1e-4)


def test_the_frechet_distance_has_its_closed_forms():
    """Two points; two Gaussians with diagonal covariances, `|m|^2 + sum (s - t)^2`; the same turned by a rotation."""
    nothing = np.zeros((3, 3))
    assert metrics.frechet_distance(np.array([1.0, 2, 3]), np.array([1.0, 0, 0]), nothing, nothing) == pytest.approx(13)
    a, b, gap = np.array([1.0, 2, 3]), np.array([4.0, 2, 1]), np.array([0.5, 0, -0.5])
    expected = 0.5 + 9 + 0 + 4
    assert metrics.frechet_distance(gap, 0 * gap, np.diag(a**2), np.diag(b**2)) == pytest.approx(expected)
    turn, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))
    turned = [turn @ np.diag(deviation**2) @ turn.T for deviation in (a, b)]
    assert metrics.frechet_distance(turn @ gap, 0 * gap, *turned) == pytest.approx(expected)


# --- values from sums


def test_values_follow_from_sums():
    assert VALUES["log_mel_error_db"](np.array([6.0, 4.0])) == 1.5
    assert VALUES["multi_scale_spectral"](np.array([6.0, 4.0, 1.0, 2.0])) == 2.0
    onsets = np.array([6.0, 8.0, 12.0])
    assert [VALUES[f"onset_{what}"](onsets) for what in ("precision", "recall", "f")] == [0.5, 0.75, 0.6]


def test_nothing_measured_has_no_value_and_nothing_heard_is_zero():
    assert np.isnan(VALUES["pitch_accuracy"](np.zeros(2)))
    assert np.isnan(VALUES["mfcc_frechet"](np.zeros(1 + 2 * 420)))
    assert np.isnan(VALUES["loudness_correlation"](np.array([4.0, 0, 1, 0, 5, 0])))
    assert [float(VALUES[f"onset_{what}"](np.array([0.0, 3, 0]))) for what in ("precision", "recall", "f")] == [0, 0, 0]
    assert all(np.isnan(VALUES[f"onset_{what}"](np.array([0.0, 0, 4]))) for what in ("precision", "recall", "f"))


def test_values_of_many_sums_at_once_are_those_of_each(recording, other):
    tallies = metrics.tally(recording, other, SCORE, n_segments=3)
    for metric in metrics.METRICS:
        rows = tallies[metric.tally]
        several = np.stack([rows[:2].sum(axis=0), rows.sum(axis=0)])
        np.testing.assert_allclose(metric.value(several), [metric.value(row) for row in several], err_msg=metric.name)
        assert metric.value(rows[:0]).shape == (0,)


def test_a_metric_says_what_it_is():
    names = [metric.name for metric in metrics.METRICS]
    assert len(set(names)) == len(names) == len({metric.label for metric in metrics.METRICS})
    for one, two in itertools.combinations(metrics.METRICS, 2):
        assert one.meaning != two.meaning
    assert FeatureSpec().sample_rate_hz == RATE_HZ
