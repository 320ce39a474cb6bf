"""A performance comes out at the loudness asked for, under the ceiling, whole or not at all; what has no loudness stays."""

import os
import pathlib
import tracemalloc

import numpy as np
import pyloudnorm
import pytest
import soundfile

from pnet_tf import audio_file
from pnet_tf.audio_file import AudioError
from pnet_tf.errors import InputError
from pnet_tf.limiter import CEILING_DBFS, Limiter
from pnet_tf.mastering import MAX_GAIN_DB, StreamLevel, gain_to_loudness_db, set_loudness
from pnet_tf.spec import FeatureSpec
from pnet_tf.wav_file import WavWriter, open_wav_writer, write_wav

SPEC = FeatureSpec()
RATE_HZ = SPEC.sample_rate_hz
CEILING = 10 ** (CEILING_DBFS / 20)


def music(seconds: float = 12.0, *, decay_per_sec: float = 3.0, seed: int = 0) -> np.ndarray:
    """Notes that are struck and fade: the faster they fade, the higher the crest factor."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(0.5 * RATE_HZ)) / RATE_HZ
    notes = []
    for _ in range(round(seconds / 0.5)):
        f_hz = 130 * 2 ** rng.uniform(0, 3)
        partials = sum(np.cos(2 * np.pi * k * f_hz * t) / k for k in range(1, 9))
        notes.append(10 ** rng.uniform(-1.5, -1) * np.exp(-decay_per_sec * t) * np.minimum(1, t / 0.005) * partials)
    return np.concatenate(notes).astype(np.float32)


def crest_factor_db(waveform: np.ndarray) -> float:
    return 20 * np.log10(np.max(np.abs(waveform)) / np.sqrt(np.mean(np.square(waveform))))


def performed(path: pathlib.Path, waveform: np.ndarray, *, rate_hz: int = RATE_HZ) -> pathlib.Path:
    with open_wav_writer(path, rate_hz, subtype="FLOAT") as writer:
        writer.write(waveform)
    return path


def sound(path: pathlib.Path) -> np.ndarray:
    waveform, _ = soundfile.read(path)
    return waveform


def loudness(waveform: np.ndarray) -> float:
    return pyloudnorm.Meter(RATE_HZ, filter_class="DeMan").integrated_loudness(waveform.astype(np.float64))


@pytest.fixture
def source(tmp_path):
    return performed(tmp_path / "source.wav", music())


# --- the loudness asked for


@pytest.mark.parametrize("wanted_lufs", [-16.0, -18.0, -23.0, -40.0])
def test_ordinary_music_comes_out_at_the_loudness_asked_for(tmp_path, source, wanted_lufs, caplog):
    assert 15 < crest_factor_db(music()) < 20
    done = set_loudness(source, tmp_path / "out.wav", loudness_lufs=wanted_lufs)
    written = sound(tmp_path / "out.wav")
    assert soundfile.info(tmp_path / "out.wav").subtype == "PCM_16"
    assert len(written) == len(music())
    assert np.max(np.abs(written)) <= CEILING
    assert loudness(written) == pytest.approx(wanted_lufs, abs=0.15)
    assert done.lufs == pytest.approx(loudness(written), abs=0.01)
    assert done.source_lufs == pytest.approx(loudness(music()), abs=0.01)
    assert done.limited_lu == pytest.approx(done.source_lufs + done.gain_db - done.lufs, abs=0.01)
    assert caplog.text == ""


def test_without_peaks_over_the_ceiling_it_is_a_gain_and_no_more(tmp_path, source):
    done = set_loudness(source, tmp_path / "out.wav", loudness_lufs=-30.0)
    np.testing.assert_allclose(sound(tmp_path / "out.wav"), music() * 10 ** (done.gain_db / 20), atol=2**-15)


def test_what_is_limited_a_lot_comes_out_quieter_and_says_so(tmp_path, caplog):
    caplog.set_level("WARNING", logger="absl")
    waveform = music(decay_per_sec=60.0)
    assert crest_factor_db(waveform) > 22
    done = set_loudness(performed(tmp_path / "a.wav", waveform), tmp_path / "out.wav", loudness_lufs=-9.0)
    assert done.lufs < -10.0
    assert done.lufs == pytest.approx(loudness(sound(tmp_path / "out.wav")), abs=0.01)
    assert len(caplog.records) == 1
    assert f"-9.0 LUFS was wanted, {done.lufs:.1f} LUFS came out" in caplog.text


def test_a_loudness_that_is_known_is_not_measured_again(tmp_path, source, monkeypatch):
    passes = []
    monkeypatch.setattr("pnet_tf.mastering._loudness_and_peak", passes.append)
    done = set_loudness(source, tmp_path / "out.wav", loudness_lufs=-20.0, source_lufs=-30.0)
    assert done.gain_db == 10.0
    assert passes == []
    assert loudness(sound(tmp_path / "out.wav")) == pytest.approx(loudness(music()) + 10, abs=0.5)


def test_the_rate_is_that_of_the_source(tmp_path):
    source = performed(tmp_path / "a.wav", music(), rate_hz=16000)
    set_loudness(source, tmp_path / "out.wav", loudness_lufs=-20.0)
    written, rate_hz = soundfile.read(tmp_path / "out.wav")
    assert rate_hz == 16000
    assert pyloudnorm.Meter(16000, filter_class="DeMan").integrated_loudness(written) == pytest.approx(-20, abs=0.5)


def test_close_to_silence_is_raised_by_so_much_and_no_more(tmp_path, caplog):
    caplog.set_level("WARNING", logger="absl")
    waveform = music() * np.float32(10 ** (-40 / 20))
    done = set_loudness(performed(tmp_path / "a.wav", waveform), tmp_path / "out.wav", loudness_lufs=-10.0)
    assert done.gain_db == MAX_GAIN_DB
    assert loudness(sound(tmp_path / "out.wav")) == pytest.approx(loudness(music()), abs=0.1)
    assert "raised by 40 dB and no more" in caplog.text
    assert len(caplog.records) == 1


# --- the level kept


def same_as_write_wav(tmp_path: pathlib.Path, waveform: np.ndarray, *, loudness_lufs: float | None) -> None:
    done = set_loudness(performed(tmp_path / "a.wav", waveform), tmp_path / "out.wav", loudness_lufs=loudness_lufs)
    peak = np.max(np.abs(waveform))
    write_wav(tmp_path / "expected.wav", waveform, SPEC)
    np.testing.assert_array_equal(sound(tmp_path / "out.wav"), sound(tmp_path / "expected.wav"))
    assert done.gain_db == pytest.approx(20 * np.log10(0.999 / peak) if peak > 1 else 0.0)


@pytest.mark.parametrize("peak", [0.3, 0.95, 1.0])
def test_no_loudness_asked_for_keeps_the_level_up_to_full_scale(tmp_path, peak, caplog):
    same_as_write_wav(tmp_path, music() * np.float32(peak / np.max(np.abs(music()))), loudness_lufs=None)
    assert caplog.text == ""


def test_no_loudness_asked_for_scales_down_what_goes_beyond_full_scale(tmp_path, caplog):
    caplog.set_level("WARNING", logger="absl")
    same_as_write_wav(tmp_path, 10 * music(), loudness_lufs=None)
    assert caplog.text.count("scaled down to 0.999") == 2  # write_wav says it too
    assert f"{tmp_path / 'out.wav'}: the peak was" in caplog.text


@pytest.mark.parametrize("waveform", [music()[:17000], np.zeros(RATE_HZ, np.float32), 20 * music()[:17000]])
def test_what_has_no_loudness_keeps_its_level(tmp_path, waveform):
    same_as_write_wav(tmp_path, waveform, loudness_lufs=-16.0)


# --- whole or not at all


def test_a_full_disk_leaves_the_old_file_and_one_line(tmp_path, source, monkeypatch):
    def full(*_):
        raise soundfile.LibsndfileError(2)

    (tmp_path / "out.wav").write_text("old")
    monkeypatch.setattr(soundfile.SoundFile, "write", full)
    with pytest.raises(InputError, match=r"out\.wav: cannot write the sound"):
        set_loudness(source, tmp_path / "out.wav", loudness_lufs=-16.0)
    assert (tmp_path / "out.wav").read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["out.wav", "source.wav"]


@pytest.mark.parametrize("source_lufs", [None, -20.0])
def test_samples_that_are_no_numbers_are_not_written(tmp_path, source_lufs):
    waveform = music()
    waveform[300_000] = np.nan
    soundfile.write(tmp_path / "source.wav", waveform, RATE_HZ, subtype="FLOAT")
    with pytest.raises(AudioError, match="no numbers"):
        set_loudness(tmp_path / "source.wav", tmp_path / "out.wav", loudness_lufs=-16.0, source_lufs=source_lufs)
    assert os.listdir(tmp_path) == ["source.wav"]


def test_what_the_limiter_takes_is_made_up_for(tmp_path):
    """Peaks that cost half a LU: another pass brings it back."""
    source = performed(tmp_path / "source.wav", music(decay_per_sec=5.0))
    done = set_loudness(source, tmp_path / "out.wav", loudness_lufs=-16.0)
    assert done.gain_db > -16.0 - done.source_lufs + 0.1
    assert loudness(sound(tmp_path / "out.wav")) == pytest.approx(-16, abs=0.15)
    assert np.abs(sound(tmp_path / "out.wav")).max() <= CEILING


def test_a_long_performance_is_not_held(tmp_path, monkeypatch):
    monkeypatch.setattr(audio_file, "_BLOCK_SAMPLES", 1 << 15)
    source = performed(tmp_path / "a.wav", np.tile(music(), 5))
    tracemalloc.start()
    try:
        set_loudness(source, tmp_path / "out.wav", loudness_lufs=-14.0)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < source.stat().st_size / 3


# --- streams


@pytest.mark.parametrize("gain_db", [-6.0, 0.0, 20.0])
def test_a_stream_is_a_gain_and_a_limiter(gain_db):
    level, limiter, waveform = StreamLevel(RATE_HZ, gain_db), Limiter(RATE_HZ), music(2)
    blocks = [level.add(block) for block in np.split(waveform, [1, 777, 50_000])]
    expected = [limiter.add(waveform * np.float32(10 ** (gain_db / 20))), limiter.flush()]
    np.testing.assert_array_equal(np.concatenate([*blocks, level.flush()]), np.concatenate(expected))


def test_the_gain_of_a_stream_comes_from_the_mean_of_its_voice():
    assert gain_to_loudness_db(from_lufs=-30.0, to_lufs=-16.0) == 14.0
    assert gain_to_loudness_db(from_lufs=-10.0, to_lufs=-16.0) == -6.0
    assert gain_to_loudness_db(from_lufs=-69.0, to_lufs=-16.0) == MAX_GAIN_DB


def test_an_error_that_is_kept_keeps_no_file_open(tmp_path, monkeypatch):
    """A list of failures is kept while further scores are performed."""
    source = performed(tmp_path / "a.wav", music(3.0))
    opened = len(os.listdir("/proc/self/fd"))

    def full(*_):
        raise InputError("is the disk full?")

    monkeypatch.setattr(WavWriter, "write", full)
    kept = []
    for wanted in (-20.0, None):
        with pytest.raises(InputError) as caught:
            set_loudness(source, tmp_path / "b.wav", loudness_lufs=wanted)
        kept.append(caught.value)
    assert len(os.listdir("/proc/self/fd")) == opened
