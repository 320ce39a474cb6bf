"""Audio goes in and out block by block as it does whole; a WAV file on its way appears at its end or not at all."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from pnet_tf import audio_file
from pnet_tf.audio_file import AudioError, audio_info, open_wav_writer, read_waveform, waveform_blocks, write_wav
from pnet_tf.spec import FeatureSpec

SPEC = FeatureSpec()
RATE_HZ = SPEC.sample_rate_hz


def tone() -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE_HZ) / RATE_HZ)).astype(np.float32)


def written(path: pathlib.Path, samples: np.ndarray, *, rate_hz: int = RATE_HZ) -> pathlib.Path:
    soundfile.write(path, samples, rate_hz, subtype="FLOAT")
    return path


# --- reading


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


# --- writing


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_blocks_make_the_file_that_the_whole_waveform_makes(tmp_path, subtype):
    write_wav(tmp_path / "whole.wav", tone(), SPEC, subtype=subtype)
    with open_wav_writer(tmp_path / "new" / "blocks.wav", RATE_HZ, subtype=subtype) as writer:
        for block in np.split(tone(), [1, 1, 20000]):
            writer.write(block)
        assert writer.n_samples == RATE_HZ
        assert not (tmp_path / "new" / "blocks.wav").exists()
    for name in ("whole.wav", "new/blocks.wav"):
        assert audio_info(tmp_path / name).subtype == subtype
    np.testing.assert_array_equal(
        read_waveform(tmp_path / "new" / "blocks.wav", SPEC), read_waveform(tmp_path / "whole.wav", SPEC)
    )
    assert os.listdir(tmp_path / "new") == ["blocks.wav"]
    assert (tmp_path / "new" / "blocks.wav").stat().st_mode == (tmp_path / "whole.wav").stat().st_mode


@pytest.mark.parametrize("error", [OSError(5, "of the caller"), KeyboardInterrupt()])
def test_an_exception_between_blocks_leaves_the_old_file_and_is_told_as_it_is(tmp_path, error):
    (tmp_path / "out.wav").write_text("old")
    with pytest.raises(type(error)) as caught, open_wav_writer(tmp_path / "out.wav", RATE_HZ) as writer:
        writer.write(tone())
        raise error
    assert caught.value is error
    assert (tmp_path / "out.wav").read_text() == "old"
    assert os.listdir(tmp_path) == ["out.wav"]


def test_blocks_that_are_no_numbers_are_not_written(tmp_path):
    with (
        pytest.raises(AudioError, match=r"out\.wav: not written: .* no numbers"),
        open_wav_writer(tmp_path / "out.wav", RATE_HZ) as writer,
    ):
        writer.write(np.array([0, np.inf], np.float32))
    assert os.listdir(tmp_path) == []


# A limit on the size of files is the nearest to a full disk that a test can have.
FULL_DISK = """
import pathlib, resource, sys
import numpy as np
from pnet_tf import audio_file
from pnet_tf.errors import InputError
from pnet_tf.spec import FeatureSpec

resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    if sys.argv[2] == "whole":
        audio_file.write_wav(pathlib.Path(sys.argv[1]), np.zeros(60_000, np.float32), FeatureSpec())
    else:
        with audio_file.open_wav_writer(pathlib.Path(sys.argv[1]), 8000) as writer:
            for _ in range(int(sys.argv[2])):
                writer.write(np.zeros(60_000 // int(sys.argv[2]), np.float32))
except InputError as error:
    sys.exit(f"InputError: {error}")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows limits no file's size")
@pytest.mark.parametrize("blocks", ["whole", "1", "3", "60"])
def test_a_disk_that_is_full_in_truth_leaves_nothing_behind(tmp_path, blocks):
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "out.wav"), blocks]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr.startswith(f"InputError: {tmp_path / 'out.wav'}: cannot write the sound (")
    assert done.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == []


def test_16_bit_samples_are_the_nearest_and_silence_stays_silent(tmp_path):
    """libsndfile alone rounds down: half a step of offset, and -1 where there is next to nothing."""
    steps = np.array([-1e-3, 1e-3, 0.6, 0.99, -0.01, -0.4, -0.6, 32767, -32768])
    waveform = (steps / 32768).astype(np.float32)
    with audio_file.open_wav_writer(tmp_path / "blocks.wav", 44100) as writer:
        writer.write(waveform)
    audio_file.write_wav(tmp_path / "whole.wav", waveform, FeatureSpec())
    for name in ("blocks.wav", "whole.wav"):
        samples, _ = soundfile.read(tmp_path / name, dtype="int16")
        assert samples.tolist() == [0, 0, 1, 1, 0, 0, -1, 32767, -32768]
