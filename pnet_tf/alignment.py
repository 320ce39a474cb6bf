"""Do a recording and its labels belong together: do onsets sound where the labels say, and is the tuning A = 440 Hz?"""

import dataclasses

import numpy as np
from scipy import ndimage

from pnet_tf.score_notes import Score
from pnet_tf.spec import FeatureSpec

TOLERANCE_SEC = 0.05
_MAX_SHIFT_SEC = 0.5
# Shifts that no alignment error of ours explains: what the labels' onsets hit there, they hit by chance.
_CHANCE_SHIFTS_SEC = (-0.45, -0.35, -0.25, -0.15, 0.15, 0.25, 0.35, 0.45)
# Mean onset strength at the labels, in standard deviations above the mean, at the best shift. On 46 recordings their
# own labels gave 1.11 to 2.4, labels of another recording of the same instrument 0.65 at most (92 tries).
_LEAST_FIT = 0.85
# A peak lower than the highest by no more than this share of it counts as well.
_AS_GOOD = 0.1
_PEAK_ABOVE_MEAN = 0.07
_A4_HZ = 440.0
# Peaks below this log power are noise between the partials.
_LEAST_PARTIAL = 1.0
_TUNING_LIMIT_CENTS = 20.0
_SPAN_LIMIT_SEC = 10.0
_SPAN_SLACK_SEC = 0.5

# Which bins tell an onset, and in groups of how many: measured, the groups cost nothing in accuracy.
_FIRST_ONSET_BIN, _N_ONSET_GROUPS, _BINS_IN_GROUP = 4, 128, 4
_TUNING_FRAMES = 400
_TUNING_STEP_SEC = 0.05
_TUNING_RANGE_HZ = (150.0, 2000.0)


@dataclasses.dataclass(frozen=True)
class Alignment:
    """How well labels and sound agree.

    Attributes:
      onset_share: share of the score's distinct onsets within `TOLERANCE_SEC` of an onset detected in the sound.
      chance_share: the same for labels shifted by 0.15 to 0.45 s, on average: what any labels would reach.
      best_shift_sec: how far the labels have to move (later if positive) to fit best, within half a second.
      share_at_best_shift: `onset_share` after that move.
      onset_fit: mean onset strength at the labels after that move, in standard deviations above the mean.
      tuning_cents: how far the sound is tuned above A = 440 Hz, -50 to 50.
      warnings: what a person should look at, in plain words; empty where nothing stands out.
    """

    onset_share: float
    chance_share: float
    best_shift_sec: float
    share_at_best_shift: float
    onset_fit: float
    tuning_cents: float
    warnings: tuple[str, ...]


def check_alignment(log_power: np.ndarray, score: Score, spec: FeatureSpec) -> Alignment:
    """Compares the onsets of a score with those of a sound.

    Args:
      log_power: float32 or float16 [frames, bins], `log1p((target_gain * magnitude) ** 2)`.
      score: its labels.
      spec: gives rates and gain.
    """
    probe = OnsetProbe(spec)
    probe.add(log_power)
    return probe.result(score)


class OnsetProbe:
    """`check_alignment` for a recording whose log power comes in blocks; it keeps a few numbers of each frame.

    Source: the spectral flux of Bock & Widmer 2013 without their maximum filter. SciPy picks the peaks: librosa would
    bring Numba along, whose cache two workers that start together can spoil for good (seen: every later call crashed).
    """

    def __init__(self, spec: FeatureSpec) -> None:
        """Starts a recording.

        Args:
          spec: gives rates and gain.
        """
        self._spec = spec
        # Half an analysis frame apart the centre of the rise lies on the onset (bias -13 to -3 ms on 46 recordings, one
        # frame apart -21 to -9), and slurred notes rise higher above the noise.
        self._lag_frames = spec.n_fft // 2 // spec.hop_samples
        self._tuning_step = round(_TUNING_STEP_SEC * float(spec.frame_rate_hz))
        self._n_tuning_bins = int(_TUNING_RANGE_HZ[1] * spec.n_fft / spec.sample_rate_hz) + 2
        self._n_frames = 0
        self._recent: np.ndarray | None = None
        self._strength: list[np.ndarray] = []
        self._tuning: list[np.ndarray] = []

    def add(self, log_power: np.ndarray) -> None:
        """Takes the next frames.

        Args:
          log_power: float32 or float16 [frames, bins].
        """
        if not len(log_power):
            return
        first = -self._n_frames % self._tuning_step
        self._tuning.append(log_power[first :: self._tuning_step, : self._n_tuning_bins].astype(np.float32))
        groups = _onset_groups(log_power)  # [frames, groups]
        if self._recent is None:
            # Nothing rises out of the beginning: the sound may be there from the first sample.
            self._recent = np.repeat(groups[:1], self._lag_frames, axis=0)
        both = np.concatenate([self._recent, groups])
        self._strength.append(np.maximum(groups - both[: len(groups)], 0).mean(axis=1))
        self._recent = both[len(both) - self._lag_frames :]
        self._n_frames += len(log_power)

    def result(self, score: Score) -> Alignment:
        """Compares what was added with the labels.

        Args:
          score: of the whole recording.
        """
        frame_sec = 1 / float(self._spec.frame_rate_hz)
        times_sec = np.arange(self._n_frames) * frame_sec
        end_sec = max(self._n_frames - 1, 0) * frame_sec
        strength = np.concatenate([np.zeros(0, np.float32), *self._strength])
        onsets_sec = _onsets_sec(score, end_sec)
        detected_sec = _detected_sec(strength, self._spec)
        shift_sec, fit = _best_shift(strength, times_sec, onsets_sec, frame_sec)
        found = Alignment(
            onset_share=_share(onsets_sec, detected_sec),
            chance_share=float(np.mean([_share(onsets_sec + shift, detected_sec) for shift in _CHANCE_SHIFTS_SEC])),
            best_shift_sec=shift_sec,
            share_at_best_shift=_share(onsets_sec + shift_sec, detected_sec),
            onset_fit=fit,
            tuning_cents=_tuning_cents(self._tuning, self._spec),
            warnings=(),
        )
        return dataclasses.replace(found, warnings=(*_warnings(found), *_span_warnings(score, end_sec)))


def _onset_groups(log_power: np.ndarray) -> np.ndarray:
    """Sums over groups of neighbouring bins, float32 [frames, groups]."""
    n_groups = min(_N_ONSET_GROUPS, (log_power.shape[1] - _FIRST_ONSET_BIN) // _BINS_IN_GROUP)
    bins = log_power[:, _FIRST_ONSET_BIN : _FIRST_ONSET_BIN + n_groups * _BINS_IN_GROUP].astype(np.float32)
    return np.einsum("tgb->tg", bins.reshape(len(bins), n_groups, _BINS_IN_GROUP))


def _detected_sec(strength: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """Times of the peaks, float64 [onsets]: the highest within 30 ms, and well above the mean of 200 ms."""
    if not strength.any():
        return np.zeros(0)
    envelope = (strength - strength.min()) / np.ptp(strength)
    n_near, n_around = (2 * round(half_sec * float(spec.frame_rate_hz)) + 1 for half_sec in (0.03, 0.1))
    highest = envelope == ndimage.maximum_filter1d(envelope, n_near, mode="nearest")
    above = envelope >= ndimage.uniform_filter1d(envelope, n_around, mode="nearest") + _PEAK_ABOVE_MEAN
    return np.flatnonzero(highest & above) / float(spec.frame_rate_hz)


def _onsets_sec(score: Score, end_sec: float) -> np.ndarray:
    """Distinct onsets up to the end of the sound, float64 [onsets]."""
    onsets = sorted({float(note.start_sec) for note in score.notes})
    return np.array([onset for onset in onsets if onset <= end_sec])


def _share(onsets_sec: np.ndarray, detected_sec: np.ndarray) -> float:
    """Share of onsets within the tolerance of a detected one; 0 where there are none."""
    if not len(onsets_sec) or not len(detected_sec):
        return 0.0
    after = np.searchsorted(detected_sec, onsets_sec).clip(max=len(detected_sec) - 1)
    before = (after - 1).clip(min=0)
    distance = np.minimum(np.abs(detected_sec[after] - onsets_sec), np.abs(detected_sec[before] - onsets_sec))
    return float(np.mean(distance <= TOLERANCE_SEC))


def _best_shift(
    strength: np.ndarray, times_sec: np.ndarray, onsets_sec: np.ndarray, step_sec: float
) -> tuple[float, float]:
    """The shift at which the labels meet the most onset strength, and how much: seconds, standard deviations.

    Of peaks nearly as high as the highest the nearest counts: even notes fit as well one note later.
    """
    deviation = float(np.std(strength)) if len(strength) else 0.0
    if not len(onsets_sec) or deviation == 0.0:
        return 0.0, 0.0
    n_steps = round(_MAX_SHIFT_SEC / step_sec)
    shifts_sec = np.arange(-n_steps, n_steps + 1) * step_sec
    met = np.interp(onsets_sec + shifts_sec[:, np.newaxis], times_sec, strength).mean(axis=1)
    around = np.pad(met, 1, constant_values=-np.inf)
    peaks = np.flatnonzero((met >= around[:-2]) & (met >= around[2:]))
    least = np.max(met) - _AS_GOOD * max(np.max(met) - np.mean(strength), 0.0)
    best = min(peaks[met[peaks] >= least], key=lambda index: abs(shifts_sec[index]))
    return float(shifts_sec[best]), float((met[best] - np.mean(strength)) / deviation)


def _tuning_cents(log_power: list[np.ndarray], spec: FeatureSpec) -> float:
    """Deviation of the louder half's partials from equal temperament at A = 440 Hz, good to some 8 cents."""
    frames = np.concatenate(log_power) if log_power else np.zeros((0, 1), np.float32)
    level = frames.mean(axis=1)
    sounding = np.flatnonzero((level >= np.median(level)) & (level > 0)) if len(level) else np.array([], int)
    if not len(sounding):
        return 0.0
    chosen = sounding[np.linspace(0, len(sounding) - 1, min(_TUNING_FRAMES, len(sounding))).astype(int)]
    frequency_hz, strength = _partials(frames[chosen], spec)
    if not len(frequency_hz):
        return 0.0
    semitones = 12 * np.log2(frequency_hz[strength >= np.median(strength)] / _A4_HZ)
    # The mean direction on a circle of one semitone: a partial 60 cents sharp is one 40 cents flat.
    return float(100 * np.angle(np.exp(2j * np.pi * semitones).mean()) / (2 * np.pi))


def _partials(log_power: np.ndarray, spec: FeatureSpec) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies and log power of the peaks of spectra [frames, bins] within the tuning's range: float64 [peaks] each."""
    low, middle, high = (log_power[:, shift : log_power.shape[1] - 2 + shift].astype(np.float64) for shift in range(3))
    frame, peak = np.nonzero((middle > low) & (middle >= high) & (middle > _LEAST_PARTIAL))
    a, b, c = (side[frame, peak] for side in (low, middle, high))
    # The main lobe of a Hann window in log power is nearly a parabola.
    bins = peak + 1 + 0.5 * (a - c) / (a - 2 * b + c)
    frequency_hz = bins * spec.sample_rate_hz / spec.n_fft
    inside = (frequency_hz >= _TUNING_RANGE_HZ[0]) & (frequency_hz <= _TUNING_RANGE_HZ[1])
    return frequency_hz[inside], b[inside]


def _warnings(found: Alignment) -> list[str]:
    warnings = []
    if found.onset_fit < _LEAST_FIT:
        warnings.append(
            f"the labels do not fit this sound at any shift up to {_MAX_SHIFT_SEC:g} s: {found.onset_share:.0%} of "
            f"their onsets are within {1000 * TOLERANCE_SEC:.0f} ms of a sounding one, {found.chance_share:.0%} would "
            "be by chance; are they another recording's, or at another tempo?"
        )
    elif abs(found.best_shift_sec) > TOLERANCE_SEC:
        late = "late" if found.best_shift_sec < 0 else "early"
        warnings.append(
            f"the labels are {1000 * abs(found.best_shift_sec):.0f} ms too {late}: moved, "
            f"{found.share_at_best_shift:.0%} of their onsets meet a sounding one, now {found.onset_share:.0%}"
        )
    if abs(found.tuning_cents) > _TUNING_LIMIT_CENTS:
        where = "above" if found.tuning_cents > 0 else "below"
        warnings.append(
            f"the sound is tuned {abs(found.tuning_cents):.0f} cents {where} A = 440 Hz: a model learns this tuning too"
        )
    return warnings


def _span_warnings(score: Score, duration_sec: float) -> list[str]:
    end_sec, start_sec = float(score.end_sec), float(min((note.start_sec for note in score.notes), default=0))
    warnings = []
    if end_sec > duration_sec + _SPAN_SLACK_SEC:
        warnings.append(f"the labels end at {end_sec:.1f} s, but the sound at {duration_sec:.1f} s")
    if duration_sec - end_sec > _SPAN_LIMIT_SEC:
        warnings.append(f"the last {duration_sec - end_sec:.1f} s of the sound have no labels")
    if start_sec > _SPAN_LIMIT_SEC:
        warnings.append(f"the first {start_sec:.1f} s of the sound have no labels")
    return warnings
