"""How near one sound is to another, and to a score: what each metric is, and the sums that its value follows from.

A metric is not computed at once. `metrics_tally` sums what it needs over each segment of a recording; the value of any set of
segments (a recording, a corpus, a resample of either) follows from the sum of their tallies, so that every second of
sound weighs the same, and an interval costs no second look at the sound.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Literal

import numpy as np

from pnet_tf.metrics_sound import Sound
from pnet_tf.metrics_tally import N_MFCC, tally
from pnet_tf.score import Score


@dataclasses.dataclass(frozen=True)
class Metric:
    """A measure.

    Attributes:
      name: its key in reports.
      label: head of a column.
      better: whether less or more of it is nearer.
      meaning: how it is computed, in a line.
      tally: which tally its value follows from.
      value: sums float64 [..., n] of that tally to the value float64 [...]; NaN where nothing was measured.
    """

    name: str
    label: str
    better: Literal["lower", "higher"]
    meaning: str
    tally: str
    value: Callable[[np.ndarray], np.ndarray]


def compare(reference: Sound, candidate: Sound, score: Score) -> dict[str, float]:
    """Every metric of a whole recording, by name.

    Args:
      reference: the recording.
      candidate: what is compared with it, of the same length.
      score: what both play.
    """
    tallies = tally(reference, candidate, score)
    return {metric.name: float(metric.value(tallies[metric.tally].sum(axis=0))) for metric in METRICS}


# --- values


def _ratio(over: np.ndarray, under: np.ndarray) -> np.ndarray:
    """NaN where there is nothing to divide by; float64, as both."""
    return np.where(under > 0, over / np.where(under > 0, under, 1), np.nan)


def _mean(sums: np.ndarray) -> np.ndarray:
    return _ratio(sums[..., 0], sums[..., 1])


def _sum_of_means(sums: np.ndarray) -> np.ndarray:
    return _ratio(sums[..., 0::2], sums[..., 1::2]).sum(axis=-1)


def _precision(sums: np.ndarray) -> np.ndarray:
    return np.where(sums[..., 1] > 0, sums[..., 0] / np.maximum(sums[..., 2], 1), np.nan)


def _recall(sums: np.ndarray) -> np.ndarray:
    return _ratio(sums[..., 0], sums[..., 1])


def _f_measure(sums: np.ndarray) -> np.ndarray:
    """Harmonic mean of both: twice the hits over all onsets of either."""
    return np.where(sums[..., 1] > 0, _ratio(2 * sums[..., 0], sums[..., 1] + sums[..., 2]), np.nan)


def _correlation(sums: np.ndarray) -> np.ndarray:
    """Pearson's; NaN where one of the two never changes."""
    n, ours, theirs, ours_squared, theirs_squared, product = np.moveaxis(sums, -1, 0)
    spread = np.maximum(n * ours_squared - ours**2, 0) * np.maximum(n * theirs_squared - theirs**2, 0)
    flat = spread <= (1e-9 * n**2) ** 2
    return np.where(flat, np.nan, (n * product - ours * theirs) / np.sqrt(np.where(flat, 1, spread)))


def _frechet(sums: np.ndarray) -> np.ndarray:
    """Distance of two Gaussians with the means and covariances of both; NaN with fewer than two frames."""
    rows = sums.reshape(-1, sums.shape[-1])
    return np.array([_frechet_of_sums(row) for row in rows]).reshape(sums.shape[:-1])


def _frechet_of_sums(sums: np.ndarray) -> float:
    n = sums[0]
    if n < 2:
        return math.nan
    ours, theirs = sums[1:].reshape(2, N_MFCC * (N_MFCC + 1))
    means = [half[:N_MFCC] / n for half in (ours, theirs)]
    covariances = [
        (half[N_MFCC:].reshape(N_MFCC, N_MFCC) - n * np.outer(mean, mean)) / (n - 1)
        for half, mean in zip((ours, theirs), means)
    ]
    return frechet_distance(*means, *covariances)


def frechet_distance(
    mean_a: np.ndarray, mean_b: np.ndarray, covariance_a: np.ndarray, covariance_b: np.ndarray
) -> float:
    """The Frechet distance of two Gaussians, `|mean_a - mean_b|^2 + tr(A + B - 2 (A B)^(1/2))`.

    Args:
      mean_a: float64 [n].
      mean_b: float64 [n].
      covariance_a: float64 [n, n], symmetric, no negative eigenvalue.
      covariance_b: the same.

    Source: Dowson & Landau 1982; the trace of the root by the eigenvalues of `A^(1/2) B A^(1/2)`, which are those of A B.
    """
    values, vectors = np.linalg.eigh(covariance_a)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    inner = np.maximum(np.linalg.eigvalsh(root @ covariance_b @ root), 0)
    distance = np.sum((mean_a - mean_b) ** 2) + np.trace(covariance_a) + np.trace(covariance_b) - 2 * np.sqrt(inner).sum()
    return max(float(distance), 0.0)


METRICS = (
    Metric(
        "log_mel_error_db", "log-mel dB", "lower",
        "mean absolute difference of log-mel spectrograms (2048/512, 128 bands, dB below the own peak, floor 80 dB)",
        "log_mel", _mean,
    ),
    Metric(
        "multi_scale_spectral", "multi-scale", "lower",
        "L1 of magnitudes plus L1 of their logarithms (floor 1e-5), summed over transforms of 2048 to 64 samples, hop a "
        "quarter; tells timbre, not notes",
        "multi_scale", _sum_of_means,
    ),
    Metric(
        "log_spectral_distance_db", "LSD dB", "lower",
        "root mean square difference over the bins of a frame (2048/512, dB below the own peak, floor 80 dB), mean of frames",
        "log_spectral", _mean,
    ),
    Metric(
        "chroma_cosine", "chroma", "higher",
        "cosine of constant-Q chroma (hop 1024, 7 octaves from C2), mean of frames",
        "chroma", _mean,
    ),
    Metric(
        "onset_precision", "onset P", "higher",
        "detected onsets within 50 ms of one of the score; a floor, not a race: sharp synthesisers beat people",
        "onsets", _precision,
    ),
    Metric("onset_recall", "onset R", "higher", "onsets of the score within 50 ms of a detected one", "onsets", _recall),
    Metric("onset_f", "onset F", "higher", "harmonic mean of onset precision and recall", "onsets", _f_measure),
    Metric(
        "pitch_accuracy", "pitch", "higher",
        "frames with one pitch in the score throughout the tracker's window (93 ms) whose pYIN is within 50 cents of it",
        "pitch", _mean,
    ),
    Metric(
        "loudness_correlation", "loudness r", "higher",
        "Pearson correlation of the RMS in dB of 2048 samples every 512, floor 80 dB below the loudest",
        "level", _correlation,
    ),
    Metric(
        "mfcc_frechet", "MFCC Fréchet", "lower",
        "Frechet distance of Gaussians fitted to all frames' MFCCs (20, without the level); tells timbre, not notes",
        "mfcc", _frechet,
    ),
)
