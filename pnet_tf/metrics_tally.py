"""What the metrics follow from: sums over equal segments of a recording, of a sound beside another or beside a score."""

import dataclasses
import math
from collections.abc import Mapping

import librosa
import mir_eval
import numpy as np
import scipy.ndimage

from pnet_tf import roll
from pnet_tf.metrics_sound import FLOOR_DB, HOP_SAMPLES, N_FFT, PITCH_HOP_SAMPLES, PITCH_REACH_SAMPLES, Sound
from pnet_tf.score import Score
from pnet_tf.spec import FeatureSpec

ONSET_TOLERANCE_SEC = 0.05
PITCH_TOLERANCE_CENTS = 50
N_MFCC = 20
# Onsets of a score nearer than this to the one before are one: so is the onset detector's memory.
_CHORD_SEC = 0.03
_SCALES = (2048, 1024, 512, 256, 128, 64)
_LEAST_MAGNITUDE = 1e-5

Tallies = Mapping[str, np.ndarray]


def tally(reference: Sound, candidate: Sound, score: Score, *, n_segments: int = 1) -> Tallies:
    """What the values follow from, summed over equal segments.

    Args:
      reference: the recording.
      candidate: what is compared with it, of the same length.
      score: what both play.
      n_segments: how many segments the recording is cut into.

    Returns:
      By the name of the tally, float64 [n_segments, n].

    Raises:
      ValueError: two lengths, or no samples.
    """
    if len(reference.waveform) != len(candidate.waveform) or not len(reference.waveform):
        raise ValueError(f"{len(reference.waveform)} samples beside {len(candidate.waveform)}, expected equally many")
    segments = _Segments(reference.seconds, n_segments)
    return {
        "log_mel": _tally_log_mel(reference, candidate, segments),
        "multi_scale": _tally_multi_scale(reference, candidate, segments),
        "log_spectral": _tally_log_spectral(reference, candidate, segments),
        "chroma": _tally_chroma(reference, candidate, segments),
        "onsets": _tally_onsets(candidate, score, segments),
        "pitch": _tally_pitch(candidate, score, segments),
        "level": _tally_level(reference, candidate, segments),
        "mfcc": _tally_mfcc(reference, candidate, segments),
    }


@dataclasses.dataclass(frozen=True)
class _Segments:
    """Equal parts of a recording."""

    seconds: float
    n: int

    def at(self, times_sec: np.ndarray) -> np.ndarray:
        """The segment of each moment: float [moments] -> int64 [moments]."""
        return np.clip(np.asarray(times_sec) * self.n / self.seconds, 0, self.n - 1).astype(np.int64)

    def sums(self, times_sec: np.ndarray, *columns: np.ndarray) -> np.ndarray:
        """Columns [moments] summed over each segment: float64 [n, columns]."""
        index = self.at(times_sec)
        return np.stack([np.bincount(index, weights=column, minlength=self.n) for column in columns], axis=1)


# --- tallies


def _frame_times_sec(n_frames: int, hop_samples: int, spec: FeatureSpec) -> np.ndarray:
    return np.arange(n_frames) * (hop_samples / spec.sample_rate_hz)


def _tally_log_mel(reference: Sound, candidate: Sound, segments: _Segments) -> np.ndarray:
    """Mean absolute difference of each frame, and 1: [n, 2]."""
    error_db = np.abs(reference.log_mel - candidate.log_mel).mean(axis=1, dtype=np.float64)
    return segments.sums(_frame_times_sec(len(error_db), HOP_SAMPLES, reference.spec), error_db, np.ones_like(error_db))


def _tally_multi_scale(reference: Sound, candidate: Sound, segments: _Segments) -> np.ndarray:
    """For each scale the mean absolute difference of magnitude plus that of its logarithm, and 1: [n, 2 * scales]."""
    columns = []
    for n_fft in _SCALES:
        hop = n_fft // 4
        distances = [
            (np.abs(ours - theirs) + np.abs(_safe_log(ours) - _safe_log(theirs))).mean(axis=1, dtype=np.float64)
            for ours, theirs in zip(
                reference.magnitudes(n_fft, hop, centred=False), candidate.magnitudes(n_fft, hop, centred=False)
            )
        ]
        distance = np.concatenate(distances)
        times_sec = _frame_times_sec(len(distance), hop, reference.spec)
        columns.append(segments.sums(times_sec, distance, np.ones_like(distance)))
    return np.concatenate(columns, axis=1)


def _safe_log(magnitude: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(magnitude, np.float32(_LEAST_MAGNITUDE)))


def _tally_log_spectral(reference: Sound, candidate: Sound, segments: _Segments) -> np.ndarray:
    """Root mean square difference in dB over the bins of each frame, and 1: [n, 2]."""
    both = (sound.magnitudes(N_FFT, HOP_SAMPLES, centred=True) for sound in (reference, candidate))
    distance = np.concatenate(
        [
            np.sqrt(np.mean((_levels_db(ours, reference) - _levels_db(theirs, candidate)) ** 2, axis=1, dtype=np.float64))
            for ours, theirs in zip(*both)
        ]
    )
    return segments.sums(_frame_times_sec(len(distance), HOP_SAMPLES, reference.spec), distance, np.ones_like(distance))


def _levels_db(magnitude: np.ndarray, sound: Sound) -> np.ndarray:
    """Magnitudes in dB below the loudest bin of the sound, at least `-FLOOR_DB`; all at the floor in silence."""
    if sound.is_silent:
        return np.full_like(magnitude, -FLOOR_DB)
    return 20 * np.log10(np.maximum(magnitude / np.float32(math.sqrt(sound.peak_power)), np.float32(10 ** (-FLOOR_DB / 20))))


def _tally_chroma(reference: Sound, candidate: Sound, segments: _Segments) -> np.ndarray:
    """Cosine of each frame in which either sounds, and 1; with one of them silent it is 0: [n, 2]."""
    ours, theirs = (sound.chroma.astype(np.float64) for sound in (reference, candidate))
    lengths = np.linalg.norm(ours, axis=1), np.linalg.norm(theirs, axis=1)
    product = lengths[0] * lengths[1]
    cosine = np.einsum("tc,tc->t", ours, theirs) / np.where(product > 0, product, 1)
    sounding = (lengths[0] > 0) | (lengths[1] > 0)
    times_sec = _frame_times_sec(len(cosine), PITCH_HOP_SAMPLES, reference.spec)
    return segments.sums(times_sec, cosine * sounding, sounding.astype(np.float64))


def _tally_onsets(candidate: Sound, score: Score, segments: _Segments) -> np.ndarray:
    """Onsets of the score that are met, all of the score, all that were detected: [n, 3]."""
    wanted_sec, heard_sec = score_onsets_sec(score, candidate.seconds), candidate.onsets_sec
    met = mir_eval.util.match_events(wanted_sec, heard_sec, ONSET_TOLERANCE_SEC)
    met_sec = wanted_sec[[index for index, _ in met]]
    counts = [segments.sums(times, np.ones(len(times))) for times in (met_sec, wanted_sec, heard_sec)]
    return np.concatenate(counts, axis=1)


def score_onsets_sec(score: Score, seconds: float) -> np.ndarray:
    """When notes begin in the first `seconds` of a score, float64 [onsets]; those of a chord are one."""
    kept: list[float] = []
    for onset in sorted({float(note.start_sec) for note in score.notes}):
        if onset < seconds and (not kept or onset - kept[-1] >= _CHORD_SEC):
            kept.append(onset)
    return np.array(kept)


def _tally_pitch(candidate: Sound, score: Score, segments: _Segments) -> np.ndarray:
    """Frames in which the score has one pitch and the sound has it too, and all in which the score has one: [n, 2]."""
    wanted_hz = single_pitch_hz(score, candidate)
    single = wanted_hz > 0
    index = segments.at(_frame_times_sec(len(wanted_hz), PITCH_HOP_SAMPLES, candidate.spec))
    sums = np.stack([np.zeros(segments.n), np.bincount(index[single], minlength=segments.n)], axis=1)
    if candidate.is_silent or not single.any():
        return sums
    # Below the score's lowest note there is only what several notes that ring have in common; what is played an octave lower is
    # heard as wrong all the same. Above it is an octave: a tracker that may only say what the score says is no judge.
    heard_hz = candidate.pitch_hz(wanted_hz[single].min() / 2 ** (1 / 12), wanted_hz[single].max() * 2)
    voiced = np.ones(len(wanted_hz))
    for segment in np.unique(index[single]):
        frames = single & (index == segment)
        wanted, heard = (mir_eval.melody.hz2cents(hz[frames]) for hz in (wanted_hz, heard_hz))
        sums[segment, 0] = sums[segment, 1] * mir_eval.melody.raw_pitch_accuracy(
            voiced[frames], wanted, voiced[frames], heard, cent_tolerance=PITCH_TOLERANCE_CENTS
        )
    return sums


def single_pitch_hz(score: Score, sound: Sound) -> np.ndarray:
    """The pitch of a score where it alone sounds, every 1024 samples of a sound, and 0 elsewhere: float64 [frames].

    It has to sound throughout the tracker's window, 2048 samples to both sides: beside another note there is no one answer.
    """
    grid = FeatureSpec(sample_rate_hz=sound.spec.sample_rate_hz, n_fft=N_FFT, hop_samples=PITCH_HOP_SAMPLES)
    rolled = roll.rolls_from_score(score, grid, n_frames=grid.n_frames(len(sound.waveform))).pianoroll
    pitch = np.where(rolled.sum(axis=1) == 1, rolled.argmax(axis=1), -1)
    width = 2 * PITCH_REACH_SAMPLES // PITCH_HOP_SAMPLES + 1
    lowest = scipy.ndimage.minimum_filter1d(pitch, width, mode="constant", cval=-1)
    holds = (lowest >= 0) & (lowest == scipy.ndimage.maximum_filter1d(pitch, width, mode="constant", cval=-1))
    return np.where(holds, librosa.midi_to_hz(pitch), 0.0)


def _tally_level(reference: Sound, candidate: Sound, segments: _Segments) -> np.ndarray:
    """1, both levels in dB above their means, their squares and their product: [n, 6].

    The means are those of the recording: how loud one is beside another says nothing.
    """
    ours, theirs = (sound.level_db - sound.level_db.mean() for sound in (reference, candidate))
    times_sec = _frame_times_sec(len(ours), HOP_SAMPLES, reference.spec)
    return segments.sums(times_sec, np.ones_like(ours), ours, theirs, ours**2, theirs**2, ours * theirs)


def _tally_mfcc(reference: Sound, candidate: Sound, segments: _Segments) -> np.ndarray:
    """1, and for both the coefficients and their products with each other: [n, 1 + 2 * (20 + 20 * 20)]."""
    ours, theirs = (_mfcc(sound) for sound in (reference, candidate))
    index = segments.at(_frame_times_sec(len(ours), HOP_SAMPLES, reference.spec))
    sums = np.zeros((segments.n, 1 + 2 * (N_MFCC + N_MFCC**2)))
    for segment in range(segments.n):
        parts = [np.array([np.count_nonzero(index == segment)])]
        for coefficients in (ours, theirs):
            inside = coefficients[index == segment]
            parts += [inside.sum(axis=0), (inside.T @ inside).ravel()]
        sums[segment] = np.concatenate(parts)
    return sums


def _mfcc(sound: Sound) -> np.ndarray:
    """The second to twenty-first mel-frequency cepstral coefficient; the first is the level. Float64 [frames, 20]."""
    return librosa.feature.mfcc(S=sound.log_mel.T.astype(np.float64), n_mfcc=N_MFCC + 1)[1:].T
