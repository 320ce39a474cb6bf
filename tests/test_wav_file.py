"""A WAV file is what was to be written, at once or block by block, and appears at its end or not at all."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from pnet_tf.audio_file import AudioError, audio_info, read_waveform
from pnet_tf.errors import InputError
from pnet_tf.spec import FeatureSpec
from pnet_tf.wav_file import open_wav_writer, write_wav

SPEC = FeatureSpec()
RATE_HZ = SPEC.sample_rate_hz


def tone() -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE_HZ) / RATE_HZ)).astype(np.float32)


@pytest.mark.parametrize(("subtype", "tolerance"), [("PCM_16", 2**-15), ("PCM_24", 2**-22), ("FLOAT", 0)])
def test_a_written_wav_reads_back(tmp_path, subtype, tolerance):
    path = tmp_path / "new" / "folder" / "out.wav"
    write_wav(path, tone(), SPEC, subtype=subtype)
    assert soundfile.info(path).subtype == subtype
    np.testing.assert_allclose(read_waveform(path, SPEC), tone(), atol=tolerance)
    assert os.listdir(path.parent) == ["out.wav"]


def test_the_name_need_not_end_in_wav_and_an_old_file_is_replaced(tmp_path):
    (tmp_path / "out.tmp").write_text("old")
    write_wav(tmp_path / "out.tmp", tone(), SPEC)
    assert audio_info(tmp_path / "out.tmp").format == "WAV"


def test_a_written_file_is_as_readable_as_others(tmp_path):
    (tmp_path / "other").write_text("")
    write_wav(tmp_path / "out.wav", tone(), SPEC)
    assert (tmp_path / "out.wav").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_what_would_clip_is_scaled_down_with_a_warning(tmp_path, caplog):
    caplog.set_level("WARNING", logger="absl")
    write_wav(tmp_path / "out.wav", 3 * tone(), SPEC, subtype="FLOAT")
    waveform = read_waveform(tmp_path / "out.wav", SPEC)
    assert np.max(np.abs(waveform)) == pytest.approx(0.999, abs=1e-6)
    np.testing.assert_allclose(waveform, tone() * 1.998, atol=1e-4)
    assert "the peak was 1.5" in caplog.text


def test_full_scale_is_left_alone(tmp_path, caplog):
    write_wav(tmp_path / "out.wav", 2 * tone(), SPEC, subtype="FLOAT")
    np.testing.assert_array_equal(read_waveform(tmp_path / "out.wav", SPEC), 2 * tone())
    assert caplog.text == ""


def test_samples_that_are_no_numbers_are_not_written(tmp_path):
    with pytest.raises(AudioError, match="no numbers"):
        write_wav(tmp_path / "out.wav", np.array([0, np.nan]), SPEC)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), soundfile.LibsndfileError(2)])
def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch, error):
    def full(file, *_, **__):
        pathlib.Path(file).write_bytes(b"half")
        raise error

    monkeypatch.setattr(soundfile, "write", full)
    with pytest.raises(InputError, match="cannot write the sound"):
        write_wav(tmp_path / "out.wav", tone(), SPEC)
    assert os.listdir(tmp_path) == []


def test_a_write_that_stops_short_unreported_is_noticed(tmp_path, monkeypatch):
    whole = soundfile.write
    monkeypatch.setattr(soundfile, "write", lambda file, samples, *a, **k: whole(file, samples[:-1], *a, **k))
    (tmp_path / "out.wav").write_text("old")
    with pytest.raises(InputError, match="44099 of 44100"):
        write_wav(tmp_path / "out.wav", tone(), SPEC)
    assert (tmp_path / "out.wav").read_text() == "old"
    assert os.listdir(tmp_path) == ["out.wav"]


def test_a_file_in_place_of_the_folder_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        write_wav(tmp_path / "file" / "out.wav", tone(), SPEC)


# --- block by block


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
from pnet_tf import wav_file
from pnet_tf.errors import InputError
from pnet_tf.spec import FeatureSpec

resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    if sys.argv[2] == "whole":
        wav_file.write_wav(pathlib.Path(sys.argv[1]), np.zeros(60_000, np.float32), FeatureSpec())
    else:
        with wav_file.open_wav_writer(pathlib.Path(sys.argv[1]), 8000) as writer:
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
    with open_wav_writer(tmp_path / "blocks.wav", 44100) as writer:
        writer.write(waveform)
    write_wav(tmp_path / "whole.wav", waveform, FeatureSpec())
    for name in ("blocks.wav", "whole.wav"):
        samples, _ = soundfile.read(tmp_path / name, dtype="int16")
        assert samples.tolist() == [0, 0, 1, 1, 0, 0, -1, 32767, -32768]
