"""Phases read off a magnitude, in-graph and in NumPy: each step worked out, a heap to compare with, and blocks that go on."""

import heapq

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from pnet_tf import griffin_lim, light_griffin_lim, light_phase, phase_start, stft
from pnet_tf.spec import FeatureSpec

SPEC = FeatureSpec()
SMALL = FeatureSpec(n_fft=32, hop_samples=4)
INVERSIONS = {phase_start: griffin_lim, light_phase: light_griffin_lim}
both = pytest.mark.parametrize("room", INVERSIONS, ids=["graph", "light"])


def magnitude_of(waveform, spec=SPEC):
    return tf.abs(stft.stft(tf.constant(waveform[None], tf.float32), spec)).numpy()


@pytest.fixture(scope="module")
def magnitude():
    """Three notes with ten partials, vibrato and sharp attacks: float32 [1, frames, bins]."""
    time_sec = np.arange(SPEC.sample_rate_hz) / SPEC.sample_rate_hz
    waveform = np.zeros_like(time_sec)
    for index, frequency in enumerate((392.0, 523.3, 659.3)):
        since_sec = time_sec - 0.1 - 0.3 * index
        phase = 2 * np.pi * frequency * since_sec + 0.2 * np.sin(2 * np.pi * 5.5 * since_sec)
        waveform += (since_sec > 0) * np.exp(-6 * np.maximum(since_sec, 0)) * sum(np.sin(k * phase) / k for k in range(1, 11))
    return magnitude_of(0.1 * waveform)


def convergence_db(cycles, magnitude, *, edge=0):
    transform = tf.constant(magnitude * np.exp(2j * np.pi * np.asarray(cycles)), tf.complex64)
    rebuilt = tf.abs(stft.stft(stft.inverse_stft(transform, SPEC), SPEC)).numpy()
    inside = slice(edge, magnitude.shape[1] - edge)
    return 20 * np.log10(np.linalg.norm((rebuilt - magnitude)[:, inside]) / np.linalg.norm(magnitude[:, inside]))


def integrated_with_a_heap(magnitude):
    """Phase-gradient heap integration: float [frames, bins] -> cycles. The reference; it cannot live in a graph."""
    log_magnitude = np.log(magnitude + 1e-8)
    over_bins = np.gradient(np.pad(log_magnitude, ((0, 0), (1, 1)), "symmetric"), axis=1)[:, 1:-1]
    over_time = np.gradient(np.pad(log_magnitude, ((1, 1), (0, 0)), "symmetric"), axis=0)[1:-1]
    gamma = 0.25645 * SPEC.n_fft**2
    turns = (
        np.arange(SPEC.n_bins) * SPEC.hop_samples / SPEC.n_fft
        + over_bins * SPEC.hop_samples * SPEC.n_fft / gamma / (2 * np.pi)
    )
    rises = -over_time * gamma / (SPEC.hop_samples * SPEC.n_fft) / (2 * np.pi) - 0.5
    cycles, done = np.zeros_like(magnitude, float), magnitude < 1e-7 * magnitude.max()
    for start in np.argsort(-magnitude, axis=None):
        at = np.unravel_index(start, magnitude.shape)
        heap = [] if done[at] else [(-magnitude[at], *at)]
        done[at] = True
        while heap:
            _, t, k = heapq.heappop(heap)
            for other, gradient, sign in (
                ((t + 1, k), turns, 1), ((t - 1, k), turns, -1), ((t, k + 1), rises, 1), ((t, k - 1), rises, -1)
            ):  # fmt: skip
                if 0 <= other[0] < len(magnitude) and 0 <= other[1] < SPEC.n_bins and not done[other]:
                    cycles[other] = cycles[t, k] + sign * (gradient[t, k] + gradient[other]) / 2
                    done[other] = True
                    heapq.heappush(heap, (-magnitude[other], *other))
    return cycles


@both
def test_it_comes_near_to_integration_with_a_heap_and_far_beyond_the_plain_advance(room, magnitude):
    piece = magnitude[:, :90]
    heap = convergence_db(integrated_with_a_heap(piece[0])[None], piece)
    spsi = convergence_db(room.start_cycles(piece, SPEC), piece)
    advance = convergence_db(room.start_cycles(piece, SPEC, phase_start="advance"), piece)
    assert spsi < heap + 2.0
    assert spsi < advance - 8.0


@pytest.mark.parametrize("start", ["spsi", "advance"])
@both
def test_a_steady_tone_between_two_bins_comes_back_at_its_own_pitch(room, start):
    """Its frequency is read off the slope around its peak; the middle of the nearest bin is 1.5 Hz away."""
    time_sec = np.arange(SPEC.sample_rate_hz) / SPEC.sample_rate_hz
    magnitude = magnitude_of(0.2 * np.sin(2 * np.pi * 1000.7 * time_sec))
    back = np.asarray(INVERSIONS[room].griffin_lim(magnitude, SPEC, iterations=0, phase_start=start))[0, 8192:-8192]
    spectrum = np.abs(np.fft.rfft(back * np.hanning(len(back)), 8 * len(back)))
    peak_hz = np.argmax(spectrum) * SPEC.sample_rate_hz / (8 * len(back))
    assert abs(peak_hz - 1000.7) < 0.5


@both
def test_a_steady_tone_comes_back_almost_whole(room):
    time_sec = np.arange(SPEC.sample_rate_hz) / SPEC.sample_rate_hz
    magnitude = magnitude_of(0.2 * np.sin(2 * np.pi * 1000.7 * time_sec))
    assert convergence_db(room.start_cycles(magnitude, SPEC), magnitude, edge=16) < -35


@both
def test_the_energy_of_a_click_comes_back_where_it_was(room):
    """The slope over time shows where in a frame the energy lies. A flat spectrum has no peaks to hold it together better."""
    waveform = np.zeros(8192)
    waveform[4300] = 1
    back = np.asarray(INVERSIONS[room].griffin_lim(magnitude_of(waveform), SPEC, iterations=0))[0]
    assert np.square(back[4000:4601]).sum() > 0.7 * np.square(back).sum()


MAGNITUDES = st_numpy.arrays(np.float32, (1, 2, SMALL.n_bins), elements=st.sampled_from([0, 0.25, 0.5, 1, 2, 3]))


@both
@settings(max_examples=100, deadline=None)
@given(magnitude=MAGNITUDES)
def test_every_bin_belongs_to_the_peak_that_it_rises_to(room, magnitude):
    peaks = np.asarray(room._peaks(magnitude))
    for values, found in zip(magnitude[0], peaks[0], strict=True):
        ends = np.concatenate([[-1], values, [-1]])
        for k in range(len(values)):
            at, way = k, 1 if ends[k + 2] > max(values[k], ends[k]) or ends[k] <= values[k] else -1
            while 0 <= at + way < len(values) and values[at + way] > values[at]:
                at += way
            assert found[k] == at, (values, k)


@both
def test_a_bin_farther_than_63_bins_from_its_peak_turns_by_itself(room):
    slope = np.linspace(1, 2, SPEC.n_bins, dtype=np.float32)[None, None]
    peaks = np.asarray(room._peaks(slope))[0, 0]
    assert (peaks[-64:] == SPEC.n_bins - 1).all()
    np.testing.assert_array_equal(peaks[:-64], np.arange(SPEC.n_bins - 64))


@both
def test_phases_follow_from_frame_to_frame(room):
    random = np.random.default_rng(0)
    first, step = random.random((2, 5)).astype(np.float32), random.random((2, 7, 5)).astype(np.float32)
    source = random.integers(0, 5, (2, 7, 5)).astype(np.int32)
    found = np.asarray(room._follow(first, source, step))
    expected = [first]
    for t in range(7):
        expected.append(np.take_along_axis(expected[-1], source[:, t], axis=1) + step[:, t])
    difference = found - np.stack(expected[1:], axis=1)
    np.testing.assert_allclose(difference - np.round(difference), 0, atol=1e-5)


@pytest.mark.parametrize("start", ["spsi", "advance"])
@both
def test_a_block_goes_on_where_the_one_before_ended(room, magnitude, start):
    """The last frame of a block reads its slope over time off one frame more; hence the look-ahead of one."""
    whole = np.asarray(room.start_cycles(magnitude, SPEC, phase_start=start))
    before = room.start_cycles(magnitude[:, :41], SPEC, phase_start=start)[:, :40]
    last = room.LastFrame(magnitude[:, 39], before[:, 39])
    after = np.asarray(room.start_cycles(magnitude[:, 40:], SPEC, phase_start=start, last=last))
    difference = np.concatenate([before, after], axis=1) - whole
    np.testing.assert_allclose(difference - np.round(difference), 0, atol=1e-3)


@both
def test_random_phases_depend_on_seed_and_frame_alone(room, magnitude):
    def draw(part, first, seed=7):
        return np.asarray(room.start_cycles(part, SPEC, phase_start="random", seed=seed, first_frame=first))

    whole = draw(magnitude[:, :20], 0)
    np.testing.assert_array_equal(draw(magnitude[:, 8:20], 8), whole[:, 8:])
    assert np.abs(draw(magnitude[:, :20], 0, seed=8) - whole).mean() > 0.2
    assert whole.min() >= 0 and whole.max() < 1 and abs(whole.mean() - 0.5) < 0.01


@both
def test_silence_and_a_single_frame_are_no_trouble(room):
    for start in phase_start.PHASE_STARTS:
        for n_frames in (1, 2):
            cycles = np.asarray(room.start_cycles(np.zeros((2, n_frames, SPEC.n_bins), np.float32), SPEC, phase_start=start))
            assert cycles.shape == (2, n_frames, SPEC.n_bins)
            assert np.isfinite(cycles).all()


@both
def test_an_unknown_start_is_refused(room):
    with pytest.raises(ValueError, match="phase_start is 'guess', expected one of spsi, advance, random"):
        room.start_cycles(np.zeros((1, 2, SPEC.n_bins), np.float32), SPEC, phase_start="guess")
