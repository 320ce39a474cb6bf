"""The inversion as the bench measures it, on seconds of made-up sound."""

import types

import librosa
import numpy as np
import pytest
import soundfile
import tensorflow as tf

from pnet_tf import bench_made_up, bench_phase, stft
from pnet_tf.errors import InputError
from pnet_tf.metrics_sound import Sound
from pnet_tf.spec import FeatureSpec

SPEC = FeatureSpec()


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(bench_phase, "_ITERATIONS", (0, 4))
    monkeypatch.setattr(bench_phase, "_PLAIN_ITERATIONS", 4)


def test_figures_stand_beside_librosas_and_a_voice_is_measured_against_what_it_drew(tiny_model, tmp_path):
    sound = bench_made_up.made_up_sound(bench_made_up.made_up_score(2), SPEC)
    soundfile.write(tmp_path / "x.wav", sound, SPEC.sample_rate_hz)
    flags = types.SimpleNamespace(
        audio=str(tmp_path / "x.wav"), seconds=2.0, rounds=1, model=str(tiny_model), score=None
    )
    figures = {figure.name: figure.value for figure in bench_phase.measure_phase(flags, tmp_path)}
    assert figures["seconds of sound"] == pytest.approx(2.0)
    assert figures["spsi, 4 iterations: spectral convergence"] < figures["spsi, 0 iterations: spectral convergence"] < -10
    assert figures["librosa, 32 iterations: time"] > 0
    assert figures["plain, 4 iterations: spectral convergence"] < -5
    kinds = ("the magnitudes drawn", "the recording")
    assert all(figures[f"predicted, spsi, 32 iterations: log-mel error against {kind}"] >= 0 for kind in kinds)


def test_convergence_is_0_db_for_silence_and_far_below_that_for_the_sound_itself():
    sound = bench_made_up.made_up_sound(bench_made_up.made_up_score(1), SPEC)
    true = np.abs(librosa.stft(sound, n_fft=SPEC.n_fft, hop_length=SPEC.hop_samples, pad_mode="constant")).T
    assert bench_phase.convergence_db(sound, magnitude=true, spec=SPEC) < -100
    assert bench_phase.convergence_db(np.zeros_like(sound), magnitude=true, spec=SPEC) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("samples", [np.zeros(90_000), np.full(400, 0.1)])
def test_what_cannot_be_measured_is_refused(samples, tmp_path):
    soundfile.write(tmp_path / "x.wav", samples, SPEC.sample_rate_hz)
    flags = types.SimpleNamespace(audio=str(tmp_path / "x.wav"), seconds=None, rounds=1, model=None, score=None)
    with pytest.raises(InputError, match="x.wav: .*expected at least 1 s of sound"):
        bench_phase.measure_phase(flags, tmp_path)


def test_the_log_mel_of_a_magnitude_is_that_of_its_sound():
    sound = bench_made_up.made_up_sound(bench_made_up.made_up_score(1), SPEC)
    measured = Sound(sound, SPEC)
    magnitude = tf.abs(stft.stft(tf.constant(measured.waveform[None]), SPEC)).numpy()[0]
    found = bench_phase._log_mel_of_magnitude(magnitude, SPEC)
    n = min(len(found), len(measured.log_mel))
    np.testing.assert_allclose(found[4 : n - 4], measured.log_mel[4 : n - 4], atol=0.1)
