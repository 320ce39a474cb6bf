"""Whose numbers a performance is made with."""

import json
import shutil

import pytest

from pnet_tf import savedmodel


def test_a_voice_has_the_spec_that_it_brings_along(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    path = folder / "assets" / "feature_spec.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "target_gain": 3.0, "level_rms": 0.1}))
    voice = savedmodel.open_voice(folder)
    assert (voice.spec.target_gain, voice.spec.level_rms) == (pytest.approx(3.0), pytest.approx(0.1))
