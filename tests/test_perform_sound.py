"""A piece to a file of a stated loudness, or to a stream, whole or not at all."""

from fractions import Fraction

import numpy as np
import pyloudnorm
import pytest
import soundfile

from pnet_tf import perform_sound, render, savedmodel
from pnet_tf.errors import InputError
from pnet_tf.score import Note, score_from_notes
from pnet_tf.spec import FeatureSpec

SPEC = FeatureSpec()
SETTINGS = render.Settings(iterations=2)


def voice_of(*, log_power=18.0, loudness_lufs=None):
    """A voice that draws three partials of each note, as loud as it is told to."""

    def spectrogram(*, pianoroll, onset_offset):
        drawn = np.zeros((*pianoroll.shape[:2], SPEC.n_bins), np.float32)
        for pitch in range(40, 90):
            hz = 440 * 2 ** ((pitch - 69) / 12)
            for k in (1, 2, 3):
                middle = round(k * hz * SPEC.n_fft / SPEC.sample_rate_hz)
                for offset, less in ((-1, 1.4), (0, 0.0), (1, 1.4)):
                    drawn[:, :, middle + offset] += pianoroll[:, :, pitch] * (log_power - less - k)
        return drawn

    return savedmodel.Voice(spectrogram, SPEC, "violin", (1,) * 128, 864, loudness_lufs)


def piece_for(voice, *, n_notes=6, note_sec=Fraction(1, 2)):
    notes = [Note(k * note_sec, (k + 1) * note_sec, 60 + 2 * k % 12) for k in range(n_notes)]
    return render.Piece(score_from_notes("piece", notes), voice)


def loudness_of(path):
    waveform, rate_hz = soundfile.read(path)
    return pyloudnorm.Meter(rate_hz, filter_class="DeMan").integrated_loudness(waveform)


@pytest.mark.parametrize("wanted", [-16.0, -23.0])
def test_a_file_has_the_loudness_that_was_asked_for(wanted, tmp_path):
    voice = voice_of()
    done = perform_sound.write_performance(
        piece_for(voice), voice, tmp_path / "x.wav", settings=SETTINGS, loudness_lufs=wanted
    )
    assert loudness_of(tmp_path / "x.wav") == pytest.approx(wanted, abs=0.3)
    assert done.mastered.lufs == pytest.approx(loudness_of(tmp_path / "x.wav"), abs=0.01)
    assert np.abs(soundfile.read(tmp_path / "x.wav")[0]).max() <= 10 ** (-1 / 20)
    assert [path.name for path in tmp_path.iterdir()] == ["x.wav"]


def test_without_a_loudness_the_samples_are_the_voices_own(tmp_path):
    voice = voice_of()
    done = perform_sound.write_performance(
        piece_for(voice), voice, tmp_path / "x.wav", settings=SETTINGS, loudness_lufs=None
    )
    expected = np.concatenate([block.waveform for block in piece_for(voice).blocks(SETTINGS)])
    np.testing.assert_allclose(soundfile.read(tmp_path / "x.wav")[0], expected, atol=2**-15)
    assert done.beginning is None


def test_progress_counts_every_sample_and_a_picture_gets_the_beginning(tmp_path, monkeypatch):
    monkeypatch.setattr(perform_sound, "SHOWN_SEC", 2)
    voice, counted = voice_of(), []
    piece = piece_for(voice, n_notes=40)
    done = perform_sound.write_performance(
        piece, voice, tmp_path / "x.wav", settings=SETTINGS, keep_beginning=True, progress=counted.append
    )
    assert sum(counted) == piece.n_samples == soundfile.info(tmp_path / "x.wav").frames
    assert 2 * 44100 <= len(done.beginning.waveform) < piece.n_samples / 2
    assert len(done.beginning.log_power) == len(done.beginning.pianoroll)


def test_what_goes_wrong_half_way_leaves_what_was_there(tmp_path):
    voice = voice_of()
    piece = piece_for(voice, n_notes=30)

    def breaks(n_samples):
        raise InputError("stopped")

    (tmp_path / "x.wav").write_text("before")
    with pytest.raises(InputError, match="stopped"):
        perform_sound.write_performance(piece, voice, tmp_path / "x.wav", settings=SETTINGS, progress=breaks)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"x.wav": "before"}


def test_each_block_is_shown_as_it_is_made_and_who_looks_may_end_it(tmp_path):
    voice, seen = voice_of(), []
    piece = piece_for(voice, n_notes=40)
    perform_sound.write_performance(piece, voice, tmp_path / "x.wav", settings=SETTINGS, on_block=seen.append)
    assert sum(len(block.waveform) for block in seen) == piece.n_samples
    assert sum(len(block.log_power) for block in seen) == piece.n_frames

    def stops(block):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        perform_sound.write_performance(piece, voice, tmp_path / "y.wav", settings=SETTINGS, on_block=stops)
    assert [path.name for path in tmp_path.iterdir()] == ["x.wav"]


def test_a_voice_that_makes_no_numbers_is_named_with_the_file(tmp_path):
    voice = voice_of(log_power=np.nan)
    with pytest.raises(InputError, match=r"x\.wav"):
        perform_sound.write_performance(piece_for(voice), voice, tmp_path / "x.wav", settings=SETTINGS)
    assert list(tmp_path.iterdir()) == []


def test_a_stream_has_the_gain_of_the_voices_mean_loudness():
    voice = voice_of(loudness_lufs=-30.0)
    piece = piece_for(voice)
    as_it_is = np.concatenate([block.waveform for block in piece.blocks(SETTINGS)])
    raw, streamed = (
        np.concatenate(list(perform_sound.stream_performance(piece, voice, settings=SETTINGS, loudness_lufs=lufs)))
        for lufs in (None, -24.0)
    )
    np.testing.assert_array_equal(raw, as_it_is)
    assert len(streamed) == piece.n_samples
    np.testing.assert_allclose(streamed, as_it_is * 10 ** (6 / 20), rtol=1e-4, atol=1e-6)


def test_a_stream_never_goes_over_the_ceiling_and_a_voice_of_unknown_loudness_keeps_its_own(caplog):
    loud, unknown = voice_of(loudness_lufs=-50.0), voice_of()
    streamed = np.concatenate(list(perform_sound.stream_performance(piece_for(loud), loud, settings=SETTINGS)))
    assert 0.8 < np.abs(streamed).max() <= 10 ** (-1 / 20)
    with caplog.at_level("WARNING", logger="absl"):
        kept = np.concatenate(list(perform_sound.stream_performance(piece_for(unknown), unknown, settings=SETTINGS)))
    assert "does not say how loud it plays" in caplog.text
    own = np.concatenate([block.waveform for block in piece_for(unknown).blocks(SETTINGS)])
    np.testing.assert_array_equal(kept, own)
