"""Audio files come in as mono at the spec's rate, in time; damaged ones end in one line; WAVs appear whole or not."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from pnet_tf import audio_file
from pnet_tf.audio_file import AudioError, audio_info, read_waveform, resample
from pnet_tf.spec import FeatureSpec

SPEC = FeatureSpec()
RATE_HZ = SPEC.sample_rate_hz


def tone(*, rate_hz: int = RATE_HZ, seconds: float = 1.0, f_hz: float = 440.0) -> np.ndarray:
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    return (0.5 * np.sin(2 * np.pi * f_hz * t)).astype(np.float32)


def written(path: pathlib.Path, samples: np.ndarray, *, rate_hz: int = RATE_HZ, **kwargs) -> pathlib.Path:
    soundfile.write(path, samples, rate_hz, **kwargs)
    return path


# --- reading


@pytest.mark.parametrize(
    ("name", "subtype", "tolerance"),
    [
        ("a.wav", "PCM_16", 2**-15),
        ("a.wav", "PCM_24", 2**-22),
        ("a.wav", "PCM_U8", 2**-6),
        ("a.wav", "FLOAT", 0),
        ("a.wav", "DOUBLE", 0),
        ("a.flac", "PCM_16", 2**-15),
        ("a.flac", "PCM_24", 2**-22),
        ("a.ogg", "VORBIS", 0.02),
    ],
)
def test_samples_come_out_as_they_were_written(tmp_path, name, subtype, tolerance):
    samples = tone()
    waveform = read_waveform(written(tmp_path / name, samples, subtype=subtype), SPEC)
    assert waveform.dtype == np.float32
    assert waveform.shape == samples.shape
    np.testing.assert_allclose(waveform, samples, atol=tolerance, rtol=0)


def test_mp3_comes_out_in_time(tmp_path):
    samples = tone() * np.linspace(0, 1, RATE_HZ, dtype=np.float32)
    waveform = read_waveform(written(tmp_path / "a.mp3", samples), SPEC)
    n = min(len(waveform), len(samples))
    assert np.corrcoef(waveform[:n], samples[:n])[0, 1] > 0.99


@pytest.mark.parametrize(("name", "decode"), [("a.wav", "decode_wav"), ("a.flac", "decode_flac")])
def test_tensorflow_io_would_decode_the_same(tmp_path, name, decode):
    """The ground on which soundfile's samples are used."""
    import tensorflow as tf
    import tensorflow_io as tfio

    path = written(tmp_path / name, np.random.default_rng(0).uniform(-1, 1, 5000), subtype="PCM_16")
    samples = getattr(tfio.audio, decode)(tf.io.read_file(str(path)), dtype=tf.int16).numpy()[:, 0]
    np.testing.assert_array_equal(samples / np.float32(2**15), read_waveform(path, SPEC))


def test_chunks_around_the_samples_are_no_samples(tmp_path):
    path = written(tmp_path / "a.wav", tone(), subtype="PCM_16")
    data = path.read_bytes()
    extra = b"junk" + (11).to_bytes(4, "little") + b"whatisthis?!"  # an odd size and its padding
    with_both = data[:12] + extra + data[12:] + extra
    path.write_bytes(with_both[:4] + (len(with_both) - 8).to_bytes(4, "little") + with_both[8:])
    np.testing.assert_allclose(read_waveform(path, SPEC), tone(), atol=2**-15)


def test_the_suffix_does_not_matter(tmp_path):
    path = written(tmp_path / "a.wav", tone(), format="FLAC")
    np.testing.assert_allclose(read_waveform(path, SPEC), tone(), atol=2**-15)


def test_channels_are_averaged(tmp_path):
    stereo = np.stack([tone(f_hz=440), tone(f_hz=660)], axis=1)
    for name in ("a.flac", "a.wav"):
        waveform = read_waveform(written(tmp_path / name, stereo), SPEC)
        np.testing.assert_allclose(waveform, stereo.mean(axis=1), atol=2**-15)


def test_more_than_one_block_is_joined(tmp_path, monkeypatch):
    monkeypatch.setattr(audio_file, "_BLOCK_SAMPLES", 1000)
    np.testing.assert_allclose(read_waveform(written(tmp_path / "a.flac", tone()), SPEC), tone(), atol=2**-15)


def test_info_comes_from_the_header(tmp_path):
    info = audio_info(written(tmp_path / "a.flac", np.zeros((24000, 2)), rate_hz=48000))
    assert info == audio_file.AudioInfo(48000, 24000, 2, "FLAC", "PCM_16")
    assert info.seconds == 0.5
    assert audio_info(tmp_path / "a.flac").seconds == 0.5


# --- resampling


@pytest.mark.parametrize("from_hz", [48000, 96000, 22050, 16000, 8000, 32000, 11025])
def test_an_impulse_stays_at_its_time(from_hz):
    impulse = np.zeros(from_hz, np.float32)
    impulse[from_hz // 2] = 1
    answer = resample(impulse, from_hz=from_hz, to_hz=RATE_HZ)
    at = from_hz // 2 * RATE_HZ / from_hz
    assert abs(int(np.argmax(np.abs(answer))) - at) <= 1
    # The centre of the answer is finer than its peak.
    centre = np.sum(np.arange(len(answer)) * answer, dtype=np.float64) / np.sum(answer, dtype=np.float64)
    assert abs(centre - at) <= 0.5


@pytest.mark.parametrize("at", [0, -1])
def test_sound_at_the_very_ends_is_kept(at):
    impulse = np.zeros(4800, np.float32)
    impulse[at] = 1
    answer = resample(impulse, from_hz=48000, to_hz=RATE_HZ)
    assert abs(int(np.argmax(np.abs(answer))) - (at % len(answer))) <= 1
    assert np.max(np.abs(answer)) > 0.4


@pytest.mark.parametrize(
    ("from_hz", "n", "expected"), [(48000, 4801, 4411), (48000, 1, 1), (22050, 7, 14), (96000, 3, 2)]
)
def test_the_length_is_rounded_up(from_hz, n, expected):
    assert len(resample(np.ones(n, np.float32), from_hz=from_hz, to_hz=RATE_HZ)) == expected


def test_a_tone_keeps_pitch_and_level(tmp_path):
    path = written(tmp_path / "a.wav", tone(rate_hz=48000), rate_hz=48000, subtype="FLOAT")
    waveform = read_waveform(path, SPEC)
    assert len(waveform) == RATE_HZ
    middle = slice(1000, -1000)
    np.testing.assert_allclose(waveform[middle], tone()[middle], atol=0.01)


def test_the_spec_gives_the_rate(tmp_path):
    waveform = read_waveform(written(tmp_path / "a.wav", tone()), FeatureSpec(sample_rate_hz=22050))
    np.testing.assert_allclose(waveform[500:-500], tone(rate_hz=22050)[500:-500], atol=0.01)


def test_resampling_says_nothing():
    code = (
        "import numpy as np; from pnet_tf import audio_file; "
        "audio_file.resample(np.zeros(100, np.float32), from_hz=8000, to_hz=16000)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "WARNING" not in done.stderr


# --- files that cannot be used


def cut(path: pathlib.Path, share: float) -> pathlib.Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def refused(path: pathlib.Path) -> str:
    with pytest.raises(AudioError) as caught:
        read_waveform(path, SPEC)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_a_cut_file_is_refused(tmp_path, name, capfd):
    message = refused(cut(written(tmp_path / name, np.tile(tone(), 5)), 0.6))
    assert "ends too soon" in message or "damaged" in message


@pytest.mark.parametrize("subtype", ["PCM_24", "FLOAT"])
def test_a_cut_wav_of_any_kind_is_refused(tmp_path, subtype):
    assert "ends too soon" in refused(cut(written(tmp_path / "a.wav", tone(), subtype=subtype), 0.9))


def test_a_wav_from_a_pipe_has_no_length_and_is_whole(tmp_path):
    path = written(tmp_path / "a.wav", tone(), subtype="PCM_16")
    data = path.read_bytes()
    path.write_bytes(data[:4] + b"\xff\xff\xff\xff" + data[8:40] + b"\xff\xff\xff\xff" + data[44:])
    np.testing.assert_allclose(read_waveform(path, SPEC), tone(), atol=2**-15)


@pytest.mark.parametrize("name", ["a.flac", "a.ogg"])
def test_a_damaged_file_gives_one_line_or_its_sound(tmp_path, name):
    path = written(tmp_path / name, np.tile(tone(), 5))
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 500] = np.random.default_rng(0).bytes(500)
    path.write_bytes(data)
    if name == "a.flac":
        assert "damaged" in refused(path)
    else:
        assert len(read_waveform(path, SPEC)) > 0  # Vorbis leaves the broken page out


@pytest.mark.parametrize("content", [b"", b"RIFF", b"hello", b"fLaC" + bytes(50), b"OggS" + bytes(50)])
@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.raw"])
def test_what_is_no_audio_is_refused(tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    assert "cannot open it as audio" in refused(tmp_path / name)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert "does not exist" in refused(tmp_path / "none.wav")
    assert "is a folder" in refused(tmp_path)
    os.mkfifo(tmp_path / "fifo.wav")
    assert "fifo.wav: not a regular file" in refused(tmp_path / "fifo.wav")


def test_no_samples_are_refused(tmp_path):
    assert "no samples" in refused(written(tmp_path / "a.wav", np.zeros(0)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_refused(tmp_path, value):
    samples = tone()
    samples[100] = value
    assert "no numbers" in refused(written(tmp_path / "a.wav", samples, subtype="FLOAT"))


@pytest.mark.parametrize(("sample", "taken"), [(2.0**31, True), (-(2.0**31), True), (2.0**33, False), (-3e38, False)])
def test_one_absurd_sample_does_not_set_the_level_of_a_recording(tmp_path, sample, taken):
    samples = np.zeros(1000, np.float32)
    samples[500] = sample
    path = written(tmp_path / "a.wav", samples, subtype="FLOAT")
    if taken:  # what 32-bit integers become that are written as floats without scaling
        assert audio_file.read_waveform(path, SPEC)[500] == np.float32(sample)
    else:
        assert f"holds a sample of {abs(sample):.3g}" in refused(path)


# --- what is imported


def test_tensorflow_is_imported_only_where_it_works(tmp_path):
    flac = written(tmp_path / "a.flac", tone())
    code = (
        "import pathlib, sys; from pnet_tf import audio_file; from pnet_tf.spec import FeatureSpec; "
        f"audio_file.read_waveform(pathlib.Path({str(flac)!r}), FeatureSpec()); "
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
