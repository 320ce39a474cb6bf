"""How loud a voice plays, for streams, which cannot be measured before they are heard."""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

import numpy as np
import tensorflow as tf

from pnet_tf import roll
from pnet_tf.loudness import LoudnessMeter
from pnet_tf.score import Note, score_from_notes
from pnet_tf.spec import FeatureSpec

_N_WINDOWS = 4
_NOTE_SEC = Fraction(1, 2)


def loudness_of_voice(
    audio: Callable[..., Mapping[str, tf.Tensor]], spec: FeatureSpec, *, pitch_frames: Sequence[int], window_frames: int
) -> float | None:
    """The integrated loudness of a melody that no one wrote, of the pitches that a voice has heard most.

    Args:
      audio: rolls, float32 [batch, frames, n_pitches], to `waveform`, float32 [batch, samples].
      spec: gives rate and pitches.
      pitch_frames: frames in which the voice heard each MIDI pitch, [n_pitches].
      window_frames: length of the windows it was trained on.

    Returns:
      LUFS; None where the voice makes no sound, or none that could be measured.
    """
    heard = np.asarray(pitch_frames, np.float64)
    if not heard.sum():
        return None
    n_notes = max(int(_N_WINDOWS * window_frames / spec.frame_rate_hz / _NOTE_SEC), 1)
    pitches = np.random.default_rng(0).choice(spec.n_pitches, n_notes, p=heard / heard.sum())
    notes = [Note(k * _NOTE_SEC, (k + 1) * _NOTE_SEC, int(pitch)) for k, pitch in enumerate(pitches)]
    rolls = roll.rolls_from_score(score_from_notes("level", notes), spec, n_frames=_N_WINDOWS * window_frames)
    shape = [_N_WINDOWS, window_frames, spec.n_pitches]
    sound = audio(
        pianoroll=tf.constant(rolls.pianoroll.reshape(shape), tf.float32),
        onset_offset=tf.constant(rolls.onset_offset.reshape(shape), tf.float32),
    )["waveform"].numpy()
    if not np.isfinite(sound).all():
        return None
    meter = LoudnessMeter(spec.sample_rate_hz)
    meter.add(sound.ravel())
    return meter.integrated_lufs()
