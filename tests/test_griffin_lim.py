"""Griffin-Lim, in-graph and in NumPy: against librosa's, its phase start and seed, any length, blocks without a seam."""

import librosa
import numpy as np
import pytest
import tensorflow as tf

from pnet_tf import griffin_lim, light_griffin_lim, light_phase, phase_start, stft
from pnet_tf.spec import FeatureSpec

SPEC = FeatureSpec()
PHASES = {griffin_lim: phase_start, light_griffin_lim: light_phase}
both = pytest.mark.parametrize("room", PHASES, ids=["graph", "light"])


def in_graph(room, **settings):
    """The inversion, of the graph's room as part of another graph."""
    if room is light_griffin_lim:
        return lambda m: room.griffin_lim(m, SPEC, **settings)
    return tf.function(lambda m: room.griffin_lim(m, SPEC, **settings))


def convergence_db(waveform, magnitude):
    """Spectral convergence: how far the waveform's magnitude is from the one asked for."""
    rebuilt = tf.abs(stft.stft(waveform, SPEC)).numpy()
    n_frames = min(rebuilt.shape[1], magnitude.shape[1])
    difference = rebuilt[:, :n_frames] - magnitude[:, :n_frames]
    return 20 * np.log10(np.linalg.norm(difference) / np.linalg.norm(magnitude[:, :n_frames]))


@pytest.fixture(scope="module")
def magnitude():
    """Two seconds of four notes with ten partials and vibrato: float32 [1, frames, bins]."""
    time_sec = np.arange(2 * SPEC.sample_rate_hz) / SPEC.sample_rate_hz
    waveform = np.zeros_like(time_sec)
    for index, frequency in enumerate((392.0, 440.0, 587.3, 659.3)):
        phase = 2 * np.pi * frequency * time_sec + 0.3 * np.sin(2 * np.pi * 5.5 * time_sec)
        envelope = np.exp(-(((time_sec - 0.25 - 0.5 * index) / 0.15) ** 2))
        waveform += envelope * sum(np.sin(k * phase) / k for k in range(1, 11))
    return tf.abs(stft.stft(tf.constant(0.1 * waveform[None], tf.float32), SPEC)).numpy()


@pytest.mark.parametrize(("iterations", "tolerance"), [(1, 1e-4), (4, 1e-3)])
@both
def test_from_the_same_phases_and_with_its_momentum_it_gives_librosas_samples(
    room, magnitude, monkeypatch, iterations, tolerance
):
    """Though the momentum is taken of the waveform here, and of the transform there."""
    cycles = np.random.RandomState(0).rand(*magnitude[0].T.shape)  # as librosa draws them
    monkeypatch.setattr(PHASES[room], "start_cycles", lambda *_, **__: cycles.T[None].astype(np.float32))
    monkeypatch.setattr(room, "GAMMA", 1.0)
    ours = np.asarray(in_graph(room, iterations=iterations)(magnitude))[0]
    theirs = librosa.griffinlim(
        magnitude[0].T,
        n_iter=iterations,
        hop_length=SPEC.hop_samples,
        n_fft=SPEC.n_fft,
        window="hann",
        pad_mode="constant",
        momentum=room.ALPHA,
        random_state=0,
    )
    assert ours.shape == theirs.shape
    # The outermost samples are covered by a fraction of a window, which magnifies every rounding.
    np.testing.assert_allclose(ours[256:-256], theirs[256:-256], atol=tolerance)


@both
def test_the_accelerated_iteration_gets_further_than_the_one_with_momentum_alone(room, magnitude, monkeypatch):
    def run():
        return convergence_db(in_graph(room, iterations=32)(magnitude), magnitude)

    accelerated = run()
    monkeypatch.setattr(room, "GAMMA", 1.0)
    monkeypatch.setattr(room, "BETA", room.ALPHA)
    assert accelerated < run() - 0.3


@both
def test_the_phase_start_is_worth_many_iterations(room, magnitude):
    read_off = room.griffin_lim(magnitude, SPEC, iterations=8, phase_start="spsi")
    random = room.griffin_lim(magnitude, SPEC, iterations=32, phase_start="random")
    assert convergence_db(read_off, magnitude) < convergence_db(random, magnitude) - 1.0


@both
def test_same_seed_same_samples_other_seed_others(room, magnitude):
    def run(seed, start):
        return np.asarray(room.griffin_lim(magnitude[:, :50], SPEC, iterations=2, seed=seed, phase_start=start))

    np.testing.assert_array_equal(run(3, "random"), run(3, "random"))
    np.testing.assert_array_equal(run(3, "spsi"), run(4, "spsi"))
    assert np.abs(run(3, "random") - run(4, "random")).max() > 1e-3


@both
def test_examples_of_a_batch_are_independent(room, magnitude):
    two = np.concatenate([magnitude[:, :40], 2 * magnitude[:, 40:80]])
    together = np.asarray(room.griffin_lim(two, SPEC, iterations=3))
    alone = np.asarray(room.griffin_lim(two[1:], SPEC, iterations=3))
    np.testing.assert_allclose(together[1:], alone, atol=1e-5)


@both
def test_silence_stays_silent(room):
    waveform = np.asarray(room.griffin_lim(np.zeros((1, 20, SPEC.n_bins), np.float32), SPEC, iterations=4))
    assert waveform.shape == (1, 19 * SPEC.hop_samples)
    np.testing.assert_array_equal(waveform, 0)


def test_it_lives_in_a_graph_of_any_length(magnitude):
    graph = tf.function(
        lambda m, n: griffin_lim.griffin_lim(m, SPEC, iterations=n),
        input_signature=[tf.TensorSpec([None, None, SPEC.n_bins]), tf.TensorSpec([], tf.int32)],
        autograph=False,
    )
    for n_frames in (1, 2, 30):
        eager = griffin_lim.griffin_lim(tf.constant(magnitude[:, :n_frames]), SPEC, iterations=2).numpy()
        np.testing.assert_allclose(graph(magnitude[:, :n_frames], 2).numpy(), eager, atol=1e-5)


@both
def test_an_unknown_start_is_refused(room):
    with pytest.raises(ValueError, match="phase_start is 'guess'"):
        room.griffin_lim(np.zeros((1, 2, SPEC.n_bins), np.float32), SPEC, phase_start="guess")


@pytest.mark.parametrize("shape", [(4, 1025), (1, 4, 513)])
@both
def test_a_magnitude_that_does_not_fit_the_spec_is_refused(room, shape):
    with pytest.raises(ValueError, match=r"expected \[batch, frames, 1025\]"):
        room.griffin_lim(np.zeros(shape), SPEC)


@both
def test_it_takes_numpy_of_any_precision_and_another_spec(room):
    spec = FeatureSpec(sample_rate_hz=22050, n_fft=1024, hop_samples=128)
    assert room.griffin_lim(np.ones((3, 9, 513)), spec, iterations=1).shape == (3, 8 * 128)
    assert np.asarray(room.griffin_lim(np.ones((3, 9, 513)), spec, iterations=1)).dtype == np.float32
    with pytest.raises(ValueError, match="magnitude is complex64, expected real numbers"):
        room.griffin_lim(np.zeros((1, 9, 513), np.complex64), spec)


# --- blocks


def in_blocks(room, magnitude, *, n_settled, n_ahead, iterations=8, **settings):
    """The sound of a magnitude, block by block; float32 [1, samples] as from `griffin_lim`."""
    n_frames, pieces, carry = magnitude.shape[1], [], room.nothing_before(magnitude, SPEC)
    padded = np.pad(magnitude, ((0, 0), (0, 2 * n_settled + n_ahead), (0, 0)))
    settings = {"seed": 0, "phase_start": "spsi"} | settings
    number = tf.constant if room is griffin_lim else int
    for first in range(0, n_frames + SPEC.n_fft // SPEC.hop_samples // 2, n_settled):
        sound, carry = room.invert_block(
            padded[:, first : first + n_settled + n_ahead],
            SPEC,
            n_settled=n_settled,
            before=carry,
            first_frame=number(first),
            iterations=number(iterations),
            **settings,
        )
        pieces.append(np.asarray(sound))
    start = SPEC.n_fft // 2
    return np.concatenate(pieces, axis=1)[:, start : start + SPEC.n_samples(n_frames)]


@pytest.mark.parametrize("start", phase_start.PHASE_STARTS)
@both
def test_in_blocks_it_comes_as_near_as_in_one_go(room, magnitude, start):
    whole = np.asarray(room.griffin_lim(magnitude, SPEC, iterations=8, phase_start=start))
    joined = in_blocks(room, magnitude, n_settled=48, n_ahead=16, phase_start=start)
    assert joined.shape == whole.shape
    assert convergence_db(joined, magnitude) < convergence_db(whole, magnitude) + 1.0


@both
def test_without_iterations_blocks_give_the_very_samples_of_the_whole(room, magnitude):
    """Phase is carried on, each frame has one, and overlap-add knows no block; a frame ahead shows the slope over time."""
    whole = np.asarray(room.griffin_lim(magnitude, SPEC, iterations=0))
    joined = in_blocks(room, magnitude, n_settled=40, n_ahead=1, iterations=0)
    # In blocks the sound goes on in silence after its end, alone it ends there.
    np.testing.assert_allclose(joined[:, : -SPEC.n_fft], whole[:, : -SPEC.n_fft], atol=2e-5)


@both
def test_a_steady_sound_has_no_seam_where_blocks_meet(room):
    """Level and spectrum of a chord that is inverted in blocks: no frame at a border stands out from the others."""
    time_sec = np.arange(3 * SPEC.sample_rate_hz) / SPEC.sample_rate_hz
    chord = sum(np.sin(2 * np.pi * f * k * time_sec) / k for f in (293.7, 440.3, 554.4) for k in (1, 2, 3))
    magnitude = tf.abs(stft.stft(tf.constant(0.05 * chord[None], tf.float32), SPEC)).numpy()
    sound = in_blocks(room, magnitude, n_settled=64, n_ahead=16)
    spectra = tf.abs(stft.stft(tf.constant(sound), SPEC)).numpy()[0]
    beyond_db = 10 * np.log10(np.square(spectra).sum(axis=1) / np.square(magnitude[0, : len(spectra)]).sum(axis=1))
    steps_db = np.abs(np.diff(beyond_db))
    flux = np.linalg.norm(np.diff(spectra, axis=0), axis=1)
    n_frames = len(spectra)
    near = np.abs(np.arange(n_frames - 1)[:, None] - np.arange(64, n_frames, 64)).min(axis=1) <= 4
    inside = (np.arange(n_frames - 1) > 16) & (np.arange(n_frames - 1) < n_frames - 17)
    assert steps_db[near & inside].max() < 0.3
    assert np.percentile(flux[near & inside], 95) <= 1.2 * np.percentile(flux[~near & inside], 95)


def test_a_block_is_the_same_in_a_graph_with_xla(magnitude):
    def block(m):
        sound, carry = griffin_lim.invert_block(
            m,
            SPEC,
            n_settled=32,
            before=griffin_lim.nothing_before(m, SPEC),
            first_frame=tf.constant(0),
            iterations=tf.constant(2),
            seed=tf.constant(0),
            phase_start="spsi",
        )
        return sound, carry.sound

    given = tf.constant(magnitude[:, :40])
    for eager, compiled in zip(block(given), tf.function(block, jit_compile=True)(given), strict=True):
        np.testing.assert_allclose(eager, compiled, atol=1e-4)
