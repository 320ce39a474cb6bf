"""Audio comes in block by block as it does whole."""

import pathlib

import numpy as np
import pytest
import soundfile

from pnet_tf import audio_file
from pnet_tf.audio_file import AudioError, waveform_blocks
from pnet_tf.spec import FeatureSpec

SPEC = FeatureSpec()
RATE_HZ = SPEC.sample_rate_hz


def tone() -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE_HZ) / RATE_HZ)).astype(np.float32)


def written(path: pathlib.Path, samples: np.ndarray, *, rate_hz: int = RATE_HZ) -> pathlib.Path:
    soundfile.write(path, samples, rate_hz, subtype="FLOAT")
    return path


def test_blocks_are_the_waveform_at_the_rate_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(audio_file, "_BLOCK_SAMPLES", 1000)
    path = written(tmp_path / "a.wav", tone(), rate_hz=8000)
    blocks = list(waveform_blocks(path))
    assert [len(block) for block in blocks] == [*[1000] * 44, 100]
    np.testing.assert_array_equal(np.concatenate(blocks), tone())


def test_blocks_of_a_cut_file_end_in_a_refusal(tmp_path):
    path = written(tmp_path / "a.wav", tone())
    path.write_bytes(path.read_bytes()[:-10_000])
    with pytest.raises(AudioError, match="ends too soon"):
        list(waveform_blocks(path))
