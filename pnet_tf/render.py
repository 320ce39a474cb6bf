"""Score and voice to sound: windows of the training length, cross-faded in log power, inverted once."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from pnet_tf import roll
from pnet_tf.errors import InputError
from pnet_tf.savedmodel import Voice
from pnet_tf.score import Score
from pnet_tf.spec import FeatureSpec

# An output frame sees this many frames to either side through the convolutions (tests/test_unet.py measures it): so
# many frames at the edge of a window know less than they should, and take no part in the cross-fade.
RECEPTIVE_FRAMES = 128
# Frames over which one window gives way to the next.
FADE_FRAMES = 32
TAIL_SEC = 1
_WINDOWS_AT_ONCE = 4


@dataclasses.dataclass(frozen=True)
class Performance:
    """A performed score.

    Attributes:
      waveform: float32 [samples] at the spec's rate.
      log_power: float32 [frames, bins], what the network drew.
      pianoroll: int8 [frames, n_pitches], what it was given.
    """

    waveform: np.ndarray
    log_power: np.ndarray
    pianoroll: np.ndarray


def perform(
    score: Score, voice: Voice, *, iterations: int = 32, seed: int = 0, say: Callable[[str], None] | None = None
) -> Performance:
    """Performs a score.

    Args:
      score: notes in seconds.
      voice: from `savedmodel.open_voice`.
      iterations: of Griffin-Lim.
      seed: of its phase start.
      say: called with a short text at each stage.

    Returns:
      The sound, from the score's second 0 to `TAIL_SEC` after its last note.

    Raises:
      InputError: a pitch outside the roll, or a score without notes.
    """
    if not score.notes:
        raise InputError(f"{score.name}: has no notes to perform")
    say = say or (lambda text: None)
    notes = roll.note_frames(score, voice.spec)
    n_frames = notes.n_frames + round(TAIL_SEC * voice.spec.frame_rate_hz)
    rolls = roll.rolls_from_frames(notes, voice.spec, n_frames=n_frames)
    say(f"drawing {n_frames} frames")
    log_power = draw_spectrogram(rolls, voice)
    say(f"sounding them, {iterations} iterations")
    waveform = voice.model.signatures["inversion"](
        log_power=tf.constant(log_power[None]), iterations=tf.constant(iterations), seed=tf.constant(seed)
    )["waveform"]
    return Performance(waveform.numpy()[0], log_power, rolls.pianoroll)


def draw_spectrogram(rolls: roll.Rolls, voice: Voice) -> np.ndarray:
    """The log power of a whole piece.

    The instance norms make every frame depend on its whole window, so windows have the length of training; those at the
    ends lie inside the piece.

    Args:
      rolls: of the piece, [frames, n_pitches].
      voice: the network.

    Returns:
      float32 [frames, bins].
    """
    n_frames = len(rolls.pianoroll)
    starts = window_starts(n_frames, voice.window_frames)
    length = min(n_frames, voice.window_frames)
    total = np.zeros((n_frames, voice.spec.n_bins), np.float32)
    for group in range(0, len(starts), _WINDOWS_AT_ONCE):
        firsts = starts[group : group + _WINDOWS_AT_ONCE]
        drawn = _draw_windows(rolls, firsts, length, voice)
        for offset, first in enumerate(firsts):
            weights = _window_weights(starts, group + offset, length)
            total[first : first + length] += weights[:, None] * drawn[offset]
    return total


def window_starts(n_frames: int, window_frames: int) -> np.ndarray:
    """First frames of the windows that cover a piece, evenly spread: int64 [windows].

    Neighbours overlap by at least `2 * RECEPTIVE_FRAMES + FADE_FRAMES`, or half a window where windows are short.
    """
    if n_frames <= window_frames:
        return np.zeros(1, np.int64)
    most_apart = max(window_frames - 2 * RECEPTIVE_FRAMES - FADE_FRAMES, window_frames // 2, 1)
    n_windows = 1 - (-(n_frames - window_frames) // most_apart)
    return np.linspace(0, n_frames - window_frames, n_windows).round().astype(np.int64)


def _window_weights(starts: np.ndarray, index: int, length: int) -> np.ndarray:
    """Share of a window in the frames that it covers, float32 [length]; the shares of all windows add up to 1."""
    frames = np.arange(length, dtype=np.float32) + starts[index]
    risen = _fade(frames, starts[index], starts[index - 1] + length) if index else np.ones(length, np.float32)
    if index == len(starts) - 1:
        return risen
    return risen - _fade(frames, starts[index + 1], starts[index] + length)


def _fade(frames: np.ndarray, overlap_first: int, overlap_end: int) -> np.ndarray:
    """Rises from 0 to 1 over `FADE_FRAMES` in the middle of an overlap of two windows; float32, as `frames`."""
    middle = (overlap_first + overlap_end - 1) / 2
    width = min(FADE_FRAMES, overlap_end - overlap_first)
    return np.clip((frames - middle) / width + 0.5, 0.0, 1.0).astype(np.float32)


def _draw_windows(rolls: roll.Rolls, firsts: np.ndarray, length: int, voice: Voice) -> np.ndarray:
    """What the network draws for some windows, one batch: float32 [windows, length, bins]."""
    batch = {
        name: tf.constant(np.stack([getattr(rolls, name)[first : first + length] for first in firsts]), tf.float32)
        for name in ("pianoroll", "onset_offset")
    }
    return voice.model.signatures["spectrogram"](**batch)["log_power"].numpy()


def unheard_pitches(score: Score, heard: frozenset[int]) -> dict[int, int]:
    """How many notes of a score have each pitch that a voice never heard in training; empty if all were heard."""
    counts: dict[int, int] = {}
    for note in score.notes:
        if note.pitch not in heard:
            counts[note.pitch] = counts.get(note.pitch, 0) + 1
    return dict(sorted(counts.items()))


def best_transposition(score: Score, heard: frozenset[int], spec: FeatureSpec) -> int:
    """The transposition, in semitones, with the fewest notes unheard in training.

    Of equal ones whole octaves come first, then the smallest, then upwards.

    Args:
      score: at its written pitch.
      heard: the pitches that the voice heard.
      spec: gives the number of pitches.
    """
    counts = np.bincount([note.pitch for note in score.notes], minlength=spec.n_pitches)
    missing = np.array([pitch not in heard for pitch in range(spec.n_pitches)])

    def cost(semitones: int) -> tuple[int, bool, int, bool]:
        """What a transposition is ranked by; less is better."""
        moved = np.flatnonzero(counts) + semitones
        inside = (moved >= 0) & (moved < spec.n_pitches)
        weights = counts[np.flatnonzero(counts)]
        unheard = weights[~inside].sum() + (weights[inside] * missing[moved[inside]]).sum()
        return int(unheard), semitones % 12 != 0, abs(semitones), semitones < 0

    return min(range(-60, 61), key=cost)
