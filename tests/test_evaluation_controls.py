"""Each control is what it says: nothing lost, something lost, wrong notes, and the simplest learner."""

import numpy as np
import pytest

from pnet_tf import evaluation_controls as controls
from pnet_tf import metrics
from pnet_tf.errors import InputError
from pnet_tf.evaluation_source import Passage
from pnet_tf.metrics_sound import Sound
from tests.test_metrics_tally import N_SAMPLES, NOTES, RATE_HZ, SCORE, SPEC, score_of, waveform_of


@pytest.fixture(scope="module")
def passage():
    return Passage("piece", waveform_of(NOTES), SCORE, SPEC)


def compare(passage, candidate):
    waveform = candidate.sound(passage, 0)[:N_SAMPLES]
    padded = np.pad(waveform, (0, N_SAMPLES - len(waveform)))
    return metrics.compare(Sound(passage.waveform, SPEC), Sound(padded, SPEC), SCORE)


def test_the_recording_is_itself(passage):
    assert controls.recording().sound(passage, 0) is passage.waveform


def test_the_inverted_recording_is_nearly_itself(passage):
    values = compare(passage, controls.inverted(32))
    assert 0 < values["log_mel_error_db"] < 1
    assert values["chroma_cosine"] > 0.99 and values["onset_f"] > 0.9
    assert compare(passage, controls.inverted(0))["multi_scale_spectral"] > values["multi_scale_spectral"]


def test_the_late_recording_is_turned_round(passage):
    late = controls.late().sound(passage, 0)
    assert len(late) == N_SAMPLES
    # Three seconds are no shift at all of a recording of three seconds: half of it.
    np.testing.assert_array_equal(late, np.roll(passage.waveform, N_SAMPLES // 2))
    longer = Passage("piece", np.arange(7 * RATE_HZ, dtype=np.float32), SCORE, SPEC)
    assert controls.late().sound(longer, 0)[controls.LATE_SEC * RATE_HZ] == 0


def test_clean_tones_are_what_is_written_and_nothing_else(passage):
    tones = controls.tones()
    waveform = tones.sound(passage, 0)
    assert waveform.shape == passage.waveform.shape and waveform.dtype == np.float32
    sounding = np.zeros(N_SAMPLES, bool)
    for start, end, _ in NOTES:
        sounding[start:end] = True
    assert not waveform[~sounding].any() and (waveform[sounding] ** 2).mean() > 0.1
    values = compare(passage, tones)
    assert values["pitch_accuracy"] == 1 and values["onset_recall"] == 1 and values["chroma_cosine"] > 0.9
    beyond = score_of((0.5, 9, 69), (5, 6, 60), (1, 1.00001, 127))
    cut = tones.sound(Passage("piece", passage.waveform[:RATE_HZ], beyond, SPEC), 0)
    assert cut.shape == (RATE_HZ,) and np.isfinite(cut).all() and cut[-RATE_HZ // 4 :].any()


def test_the_mean_spectrum_plays_the_right_notes_with_one_tone_each(passage):
    learner = controls.mean_spectrum([("piece", passage)], SPEC, 8)
    assert "learnt from 1 training recordings (0.1 min)" in learner.about
    values = compare(passage, learner)
    late = compare(passage, controls.late())
    assert values["chroma_cosine"] > 0.9 > late["chroma_cosine"]
    assert values["pitch_accuracy"] > 0.8 > late["pitch_accuracy"]


def test_the_mean_spectrum_is_learnt_from_what_can_be_read(passage, caplog):
    silent = Passage("silent", np.zeros(N_SAMPLES, np.float32), SCORE, SPEC)
    training = [("bad", InputError("damaged")), ("silent", silent), ("piece", passage)]
    with caplog.at_level("WARNING", logger="absl"):
        assert "learnt from 1 " in controls.mean_spectrum(training, SPEC, 1).about
    said = [record.getMessage() for record in caplog.records]
    assert said[0] == "bad: not learnt from (damaged)" and said[1].startswith("silent: not learnt from (silent:")
    with pytest.raises(InputError, match="no recordings to learn it from"):
        controls.mean_spectrum(training[:1], SPEC, 1)


def test_the_mean_spectrum_is_learnt_from_forty_minutes_at_most(passage, monkeypatch):
    monkeypatch.setattr(controls, "_LEARN_SEC", 5)
    assert "learnt from 2 " in controls.mean_spectrum([("piece", passage)] * 3, SPEC, 1).about


def test_recordings_come_to_the_level_of_the_training_data(passage):
    """RMS over the frames in which notes sound."""
    quiet = controls.at_level(Passage("piece", 0.01 * passage.waveform, SCORE, SPEC))
    np.testing.assert_allclose(quiet, controls.at_level(passage), rtol=1e-4, atol=1e-7)
    hops = quiet[: N_SAMPLES // 256 * 256].reshape(-1, 256)
    frames = np.arange(len(hops)) * 256
    sounding = np.any([(frames >= start) & (frames < end) for start, end, _ in NOTES], axis=0)
    assert np.sqrt(np.mean(hops[sounding] ** 2)) == pytest.approx(SPEC.level_rms, rel=1e-3)


def test_pieces_of_a_long_spectrogram_join(passage, monkeypatch):
    """In pieces of 0.9 s: as long and nearly as near as in one."""
    whole = compare(passage, controls.inverted(16))
    n_whole = len(controls.inverted(16).sound(passage, 0))
    monkeypatch.setattr(controls, "_PIECE_FRAMES", 160)
    pieces = controls.inverted(16)
    assert len(pieces.sound(passage, 0)) == n_whole == (SPEC.n_frames(N_SAMPLES) - 1) * SPEC.hop_samples
    values = compare(passage, pieces)
    assert values["log_mel_error_db"] < whole["log_mel_error_db"] + 0.3
    assert values["chroma_cosine"] > 0.98


@pytest.mark.parametrize("n_frames", [1, 2, 160, 160 + 64, 160 + 65, 500])
def test_no_length_is_special(n_frames, monkeypatch):
    monkeypatch.setattr(controls, "_PIECE_FRAMES", 160)
    log_power = np.full((n_frames, SPEC.n_bins), 1.0, np.float16)
    waveform = controls.invert(log_power, SPEC, iterations=0, seed=0)
    assert waveform.shape == ((n_frames - 1) * SPEC.hop_samples,)
    assert np.isfinite(waveform).all()
