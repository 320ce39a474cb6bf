"""Where windows that disagree meet, and whose numbers a performance is made with."""

import json
import shutil
import types

import numpy as np
import pytest
import tensorflow as tf

from pnet_tf import render, roll, savedmodel
from pnet_tf.spec import FeatureSpec

SPEC = FeatureSpec()


def test_windows_that_disagree_are_cross_faded_in_log_power():
    """Window k draws k + 1 everywhere: the join rises along straight lines, neither in power nor in magnitude."""
    n_drawn = 0

    def spectrogram(pianoroll, onset_offset):
        nonlocal n_drawn
        levels = tf.range(n_drawn + 1, n_drawn + 1 + len(pianoroll), dtype=tf.float32)
        n_drawn += len(pianoroll)
        return {"log_power": tf.ones([*pianoroll.shape[:2], SPEC.n_bins]) * levels[:, None, None]}

    model = types.SimpleNamespace(signatures={"spectrogram": spectrogram})
    voice = savedmodel.Voice(model, SPEC, "violin", (1,) * SPEC.n_pitches, window_frames=864)
    n_frames = 864 + 2 * 576
    rolls = roll.Rolls(*np.zeros((2, n_frames, SPEC.n_pitches), np.int8))
    drawn = render.draw_spectrogram(rolls, voice)
    assert n_drawn == 3
    # Starts are 0, 576 and 1152; two windows share 288 frames and fade in the middle 32 of them.
    rise = (np.arange(32) + 0.5) / 32
    expected = np.concatenate([np.full(704, 1.0), 1 + rise, np.full(544, 2.0), 2 + rise, np.full(704, 3.0)])
    np.testing.assert_allclose(drawn, np.repeat(expected[:, None], SPEC.n_bins, axis=1), atol=1e-5)


def test_a_voice_has_the_spec_that_it_brings_along(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    path = folder / "assets" / "feature_spec.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "target_gain": 3.0, "level_rms": 0.1}))
    voice = savedmodel.open_voice(folder)
    assert (voice.spec.target_gain, voice.spec.level_rms) == (pytest.approx(3.0), pytest.approx(0.1))
