"""What metrics read off a sound equals librosa's own, at any level, and its blocks join without a seam."""

import librosa
import numpy as np
import pytest

from pnet_tf import metrics_sound
from pnet_tf.metrics_sound import Sound
from pnet_tf.spec import FeatureSpec
from tests.test_metrics_tally import NOTES, waveform_of

SPEC = FeatureSpec()
RATE_HZ = SPEC.sample_rate_hz
N_SAMPLES = 2 * RATE_HZ


@pytest.fixture(scope="module")
def waveform():
    return waveform_of(NOTES)[:N_SAMPLES]


@pytest.fixture(scope="module")
def sound(waveform):
    return Sound(waveform, SPEC)


def test_every_sound_has_the_same_level(waveform, sound):
    for factor in (1e-3, 1.0, 30.0):
        quiet = Sound(waveform * factor, SPEC)
        assert np.sqrt(np.mean(quiet.waveform.astype(np.float64) ** 2)) == pytest.approx(0.05, rel=1e-5)
        np.testing.assert_allclose(quiet.waveform, sound.waveform, rtol=1e-5, atol=1e-9)


def test_log_mel_is_librosa_s(sound):
    power = librosa.feature.melspectrogram(y=sound.waveform, sr=RATE_HZ, n_fft=2048, hop_length=512, n_mels=128)
    expected = librosa.power_to_db(power, ref=np.max, amin=1e-12, top_db=80)
    np.testing.assert_allclose(sound.log_mel, expected.T, atol=2e-3)
    assert sound.log_mel.max() == pytest.approx(0, abs=1e-5) and sound.log_mel.min() == pytest.approx(-80)


def test_chroma_is_librosa_s(sound):
    expected = librosa.feature.chroma_cqt(
        y=sound.waveform, sr=RATE_HZ, hop_length=1024, fmin=librosa.note_to_hz("C2"), n_octaves=7
    )
    np.testing.assert_array_equal(sound.chroma, expected.T)


def test_level_is_librosa_s(sound):
    expected = librosa.amplitude_to_db(
        librosa.feature.rms(y=sound.waveform, frame_length=2048, hop_length=512)[0], ref=np.max, top_db=80
    )
    np.testing.assert_allclose(sound.level_db, expected, atol=1e-3)


def test_onsets_are_librosa_s_and_where_the_notes_begin(sound):
    np.testing.assert_allclose(sound.onsets_sec, librosa.onset.onset_detect(y=sound.waveform, sr=RATE_HZ, units="time"))
    np.testing.assert_allclose(sound.onsets_sec, [0.1, 0.6, 1.1, 1.6], atol=0.03)


@pytest.mark.parametrize("centred", [True, False])
def test_magnitudes_in_blocks_are_those_of_the_whole(sound, monkeypatch, centred):
    whole = np.concatenate(list(sound.magnitudes(512, 128, centred=centred)))
    monkeypatch.setattr(metrics_sound, "_BLOCK_VALUES", 512 * 7)
    blocks = list(sound.magnitudes(512, 128, centred=centred))
    assert {len(block) for block in blocks[:-1]} == {7}
    np.testing.assert_array_equal(np.concatenate(blocks), whole)


def test_centred_magnitudes_are_librosa_s(sound):
    expected = np.abs(librosa.stft(sound.waveform, n_fft=512, hop_length=128))
    np.testing.assert_allclose(np.concatenate(list(sound.magnitudes(512, 128, centred=True))), expected.T, atol=1e-4)


def test_magnitudes_that_begin_at_the_first_sample_fill_up_the_last_frame():
    """As tf.signal.stft(pad_end=True), which DDSP's loss takes: a frame for every hop that begins in the sound."""
    sound = Sound(np.ones(1000, np.float32), SPEC)
    frames = np.concatenate(list(sound.magnitudes(64, 16, centred=False)))
    assert frames.shape == (63, 33)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(64) / 64)
    padded = np.pad(sound.waveform, (0, 64))
    for frame in (0, 40, 62):
        expected = np.abs(np.fft.rfft(window * padded[16 * frame : 16 * frame + 64]))
        np.testing.assert_allclose(frames[frame], expected, atol=1e-6)


def test_the_pitch_of_a_tone_is_found_in_every_block(monkeypatch):
    """A4 for a second, then C5; in blocks of 0.6 s."""
    seconds = np.arange(N_SAMPLES) / RATE_HZ
    hz = np.where(seconds < 1, 440.0, 440 * 2 ** (3 / 12))
    phase = 2 * np.pi * np.cumsum(hz) / RATE_HZ
    sound = Sound(sum(np.sin(k * phase) / k for k in (1, 2, 3)), SPEC)
    monkeypatch.setattr(metrics_sound, "_PITCH_BLOCK_HOPS", 26)
    found = sound.pitch_hz(220, 1000)
    assert len(found) == 1 + N_SAMPLES // 1024
    at_sec = np.arange(len(found)) * 1024 / RATE_HZ
    inside = (np.abs(at_sec - 1) > 0.06) & (at_sec < 1.95)
    cents = 1200 * np.log2(found / np.where(at_sec < 1, 440, 440 * 2 ** (3 / 12)))
    assert np.abs(cents[inside]).max() < 25


def test_silence_has_no_onsets_no_pitch_no_chroma_and_lies_at_the_floor():
    sound = Sound(np.zeros(RATE_HZ, np.float32), SPEC)
    assert sound.is_silent and not sound.waveform.any()
    assert sound.onsets_sec.size == 0
    assert not sound.pitch_hz(200, 900).any()
    assert not sound.chroma.any()
    assert (sound.log_mel == -80).all()


def test_a_blink_of_sound_has_all_features():
    """A tenth of a second; librosa alone would warn that its filters are longer."""
    sound = Sound(np.sin(np.arange(RATE_HZ // 10) * 0.05), SPEC)
    assert sound.chroma.shape == (5, 12)
    assert sound.log_mel.shape == (9, 128)
    assert len(sound.pitch_hz(100, 900)) == 5
    assert sound.onsets_sec.ndim == 1



@pytest.mark.parametrize("waveform", [np.ones(RATE_HZ), np.linspace(-1, 1, RATE_HZ), np.sin(3 * np.arange(RATE_HZ)), [1]])
def test_what_is_no_music_has_features_without_a_warning(waveform):
    sound = Sound(np.array(waveform, np.float32), SPEC)
    assert np.isfinite(sound.chroma).all() and np.isfinite(sound.log_mel).all()


@pytest.mark.parametrize(("lowest_hz", "highest_hz"), [(4, 16), (6000, 25000)])
def test_pitches_that_no_tracker_hears_are_looked_for_where_it_hears(lowest_hz, highest_hz):
    sound = Sound(np.sin(0.05 * np.arange(RATE_HZ // 2)), SPEC)
    assert np.isfinite(sound.pitch_hz(lowest_hz, highest_hz)).all()
