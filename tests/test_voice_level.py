"""The mean loudness of a voice is that of a melody of its pitches."""

import numpy as np
import pytest
import tensorflow as tf

from pnet_tf.spec import FeatureSpec
from pnet_tf.voice_level import loudness_of_voice

SPEC = FeatureSpec()
FRAMES = 128


def tone(level, seen=None):
    def audio(pianoroll, onset_offset):
        if seen is not None:
            seen.append((pianoroll.numpy(), onset_offset.numpy()))
        n_samples = SPEC.n_samples(pianoroll.shape[1])
        wave = level * np.sin(2 * np.pi * 997 * np.arange(n_samples) / SPEC.sample_rate_hz)
        return {"waveform": tf.constant(np.tile(wave, (len(pianoroll), 1)), tf.float32)}

    return audio


def test_a_tone_of_997_hz_measures_3_01_below_its_peak():
    pitches = [0] * 60 + [5] * 12 + [0] * 56
    lufs = loudness_of_voice(tone(0.1), SPEC, pitch_frames=pitches, window_frames=FRAMES)
    assert lufs == pytest.approx(-23.01, abs=0.1)


def test_only_pitches_that_were_heard_are_played_and_notes_follow_each_other():
    seen = []
    pitches = [0] * 128
    pitches[60], pitches[64] = 900, 100
    loudness_of_voice(tone(0.1, seen), SPEC, pitch_frames=pitches, window_frames=FRAMES)
    (pianoroll, onset_offset), = seen
    assert pianoroll.shape == onset_offset.shape == (4, FRAMES, 128)
    assert set(np.flatnonzero(pianoroll.sum(axis=(0, 1)))) <= {60, 64}
    assert (pianoroll.sum(axis=2)[:3] == 1).all()
    assert onset_offset.max() == 1


def test_what_makes_no_sound_has_no_loudness():
    pitches = [0] * 60 + [5] + [0] * 67
    assert loudness_of_voice(tone(0.0), SPEC, pitch_frames=pitches, window_frames=FRAMES) is None
    assert loudness_of_voice(tone(np.nan), SPEC, pitch_frames=pitches, window_frames=FRAMES) is None
    assert loudness_of_voice(tone(0.1), SPEC, pitch_frames=[0] * 128, window_frames=FRAMES) is None
