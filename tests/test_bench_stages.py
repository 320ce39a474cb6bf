"""What the bench measures is what it says: the trainer's own step, the input made up, the memory."""

import numpy as np
import pytest

from pnet_tf import bench_stages
from pnet_tf.spec import FeatureSpec


def test_the_step_measured_learns_and_uses_no_fallback():
    step, batch, convolutions = bench_stages._training_step(1 / 64, 1)
    losses = [float(step(batch)) for _ in range(4)]
    assert losses[-1] < losses[0]
    # 16 encoder and condition convolutions, 4 up, 8 decoder, 2 in each band of 4 blocks, 1 out; each with its gradients.
    assert convolutions.n_plain > 2 * (16 + 4 + 8 + 2 * (2 + 4 + 8 + 16) + 1)
    assert convolutions.n_fallbacks == 0


def test_a_grouped_convolution_would_be_counted():
    import tensorflow as tf

    graph = tf.function(lambda x, k: tf.nn.conv1d(x, k, 1, "SAME")).get_concrete_function(
        tf.TensorSpec([1, 16, 8]), tf.TensorSpec([3, 2, 8])
    )
    assert sum(map(bench_stages._is_fallback, graph.graph.get_operations())) == 1


def test_the_made_up_sound_has_the_score_s_pitch_and_length():
    spec = FeatureSpec()
    score = bench_stages.made_up_score(5)
    sound = bench_stages.made_up_sound(score, spec)
    assert len(sound) == 5 * spec.sample_rate_hz and sound.dtype == np.float32
    first = sound[: spec.sample_rate_hz // 4] * np.hanning(spec.sample_rate_hz // 4)
    peak_hz = 4 * int(np.argmax(np.abs(np.fft.rfft(first))))
    assert peak_hz == pytest.approx(440 * 2 ** ((score.notes[0].pitch - 69) / 12), rel=0.02)


def test_the_work_of_a_step_is_that_of_the_network_s_plan():
    """Three times the forward pass, two operations for a multiply-add: 39.4, 3.00 and 0.93 GMAC at these widths."""
    for width, gmac in ((1.0, 39.4), (0.25, 3.00), (0.125, 0.93)):
        assert bench_stages.STEP_GFLOP[width] == pytest.approx(6 * gmac, rel=0.01)


def test_memory_is_measured_from_the_last_reset():
    before = bench_stages._peak_memory_mb(reset=True)
    block = np.ones(64 * 2**20 // 8)
    grown = bench_stages._peak_memory_mb() - before
    assert 50 < grown < 120 and block.sum() > 0
