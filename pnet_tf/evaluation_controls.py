"""Ceilings and controls: what a perfect network, a wrong performance, the simplest learner and a sampler reach."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterable

import librosa
import numpy as np
import tensorflow as tf
from absl import logging

from pnet_tf import preparer, roll
from pnet_tf.baseline import MeanSpectrum
from pnet_tf.errors import InputError
from pnet_tf.evaluation_source import Passage
from pnet_tf.inversion import Inverter
from pnet_tf.spec import FeatureSpec

LATE_SEC = 3
# The mean spectrum is learnt from no more than this: it hardly moves any more.
_LEARN_SEC = 40 * 60
# A spectrogram is inverted in pieces of 24 s, so that memory does not grow with the recording.
_PIECE_FRAMES = 4096
_PARTIALS, _EDGE_SEC = 30, 0.01


@dataclasses.dataclass(frozen=True)
class Candidate:
    """Something that is compared with the recordings.

    Attributes:
      name: in tables.
      kind: `model`, `ceiling` or `control`.
      about: what it is, in a line.
      sound: a passage and a seed to float32 [samples] of any length.
      seeded: whether several seeds are tried.
    """

    name: str
    kind: str
    about: str
    sound: Callable[[Passage, int], np.ndarray]
    seeded: bool = False


def recording() -> Candidate:
    """The recording itself: what its own onsets and pitches reach, and 0 distance from itself."""
    return Candidate("recording", "ceiling", "the recording itself", lambda passage, _: passage.waveform)


def inverted(iterations: int) -> Candidate:
    """The recording as a network that draws it perfectly would sound it."""

    def sound(passage: Passage, seed: int) -> np.ndarray:
        """To the stored target and back: float32 [samples]."""
        log_power = preparer.log_power_of(at_level(passage), passage.spec)
        return invert(log_power, passage.spec, iterations=iterations, seed=seed)

    about = f"the recording through STFT, log power, float16 and inversion ({iterations} iterations)"
    return Candidate("recording, inverted", "ceiling", about, sound)


def late() -> Candidate:
    """The recording some seconds late, its end before its beginning: the right tone with the wrong notes."""

    def sound(passage: Passage, seed: int) -> np.ndarray:
        """Float32 [samples], as the passage."""
        shift = min(LATE_SEC * passage.spec.sample_rate_hz, len(passage.waveform) // 2)
        return np.roll(passage.waveform, shift)

    about = f"the recording {LATE_SEC} s late, its last {LATE_SEC} s first (or by half, where it is shorter than twice that)"
    return Candidate(f"recording, {LATE_SEC} s late", "control", about, sound)


def tones() -> Candidate:
    """Clean tones exactly as written: what onset detector and pitch tracker hear in a performance without a fault."""

    def sound(passage: Passage, seed: int) -> np.ndarray:
        """Float32 [samples], as the passage."""
        rate_hz, n_samples = passage.spec.sample_rate_hz, len(passage.waveform)
        waveform = np.zeros(n_samples, np.float32)
        for note in passage.score.notes:
            first, end = (min(round(sec * rate_hz), n_samples) for sec in (note.start_sec, note.end_sec))
            waveform[first:end] += _tone(end - first, float(librosa.midi_to_hz(note.pitch)), rate_hz)
        return waveform

    about = f"{_PARTIALS} partials a note, the k-th of amplitude 1/k, exactly as written"
    return Candidate("clean tones", "control", about, sound)


def _tone(n_samples: int, pitch_hz: float, rate_hz: int) -> np.ndarray:
    """Partials up to nine tenths of the highest frequency there is, with edges against clicks: float64 [samples]."""
    at_sec = np.arange(n_samples) / rate_hz
    n_partials = min(_PARTIALS, int(0.45 * rate_hz / pitch_hz))
    tone = sum(np.sin(2 * np.pi * k * pitch_hz * at_sec) / k for k in range(1, n_partials + 1))
    return tone * np.minimum(1, np.minimum(at_sec, at_sec[::-1]) / _EDGE_SEC)


def mean_spectrum(training: Iterable[tuple[str, Passage | InputError]], spec: FeatureSpec, iterations: int) -> Candidate:
    """The mean spectrum of each note, the simplest learner.

    Args:
      training: the recordings to learn from; those that cannot be read are left out with a warning.
      spec: how features are computed.
      iterations: of the inversion.

    Raises:
      InputError: none can be read.
    """
    simplest, n_learnt, learnt_sec = MeanSpectrum(spec.n_pitches, spec.n_bins), 0, 0.0
    for name, passage in training:
        try:
            if isinstance(passage, InputError):
                raise passage
            simplest.learn(_batches(passage))
        except InputError as error:
            logging.warning("%s: not learnt from (%s)", name, error)
            continue
        n_learnt, learnt_sec = n_learnt + 1, learnt_sec + len(passage.waveform) / spec.sample_rate_hz
        if learnt_sec >= _LEARN_SEC:
            break
    if not n_learnt:
        raise InputError("the source has no recordings to learn it from")

    def sound(passage: Passage, seed: int) -> np.ndarray:
        """What it draws, inverted: float32 [samples]."""
        n_frames = spec.n_frames(len(passage.waveform))
        pianoroll = roll.rolls_from_score(passage.score, spec, n_frames=n_frames).pianoroll
        return invert(simplest.predict(pianoroll), spec, iterations=iterations, seed=seed)

    about = f"the mean spectrum per note, learnt from {n_learnt} training recordings ({learnt_sec / 60:.1f} min), inverted"
    return Candidate("mean spectrum per note", "control", about, sound)


def _batches(passage: Passage) -> Iterable[dict[str, tf.Tensor]]:
    """A passage as a training would see it, in batches of one piece, as `MeanSpectrum` learns from."""
    spec = passage.spec
    log_power = preparer.log_power_of(at_level(passage), spec)
    pianoroll = roll.rolls_from_score(passage.score, spec, n_frames=len(log_power)).pianoroll
    for first in range(0, len(log_power), _PIECE_FRAMES):
        piece = slice(first, first + _PIECE_FRAMES)
        yield {
            "pianoroll": tf.constant(pianoroll[None, piece], tf.float32),
            "log_power": tf.constant(log_power[None, piece], tf.float32),
        }


def at_level(passage: Passage) -> np.ndarray:
    """The waveform at the level that preparation brings recordings to: float32 [samples].

    Raises:
      InputError: it is silent where notes sound.
    """
    spec = passage.spec
    rolls = roll.rolls_from_score(passage.score, spec, n_frames=spec.n_frames(len(passage.waveform)))
    job = preparer.Job(
        name=passage.name,
        audio=pathlib.Path(passage.name),
        score=passage.score,
        split="",
        label_source="",
        folder=pathlib.Path(),
        spec=spec,
        max_bad_labels=1.0,
    )
    gain = preparer.level_gain(passage.waveform, rolls.pianoroll.any(axis=1), job)
    return passage.waveform * np.float32(gain)


def invert(log_power: np.ndarray, spec: FeatureSpec, *, iterations: int, seed: int) -> np.ndarray:
    """The sound of a spectrogram, block by block as a performance is inverted.

    Args:
      log_power: float16 or float32 [frames, bins].
      spec: how it was computed.
      iterations: of Griffin-Lim.
      seed: of what is random in it.

    Returns:
      float32 [(frames - 1) * hop_samples].
    """
    inverter = Inverter(spec, iterations=iterations, seed=seed)
    pieces = range(0, len(log_power), _PIECE_FRAMES)
    sounds = [inverter.add(log_power[first : first + _PIECE_FRAMES].astype(np.float32)) for first in pieces]
    return np.concatenate([*sounds, inverter.finish()])
