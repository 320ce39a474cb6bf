"""The step that the bench measures is the trainer's own, and so is the loop."""

import pytest

from pnet_tf import bench, bench_step, command


def test_the_step_measured_learns_and_uses_no_fallback():
    step, batch, convolutions = bench_step.training_step(1 / 64, 1)
    losses = [float(step(batch)[0]) for _ in range(4)]
    assert losses[-1] < losses[0]
    # 16 encoder and condition convolutions, 4 up, 8 decoder, 2 in each band of 4 blocks, 1 out; each with its gradients.
    assert convolutions.n_plain > 2 * (16 + 4 + 8 + 2 * (2 + 4 + 8 + 16) + 1)
    assert convolutions.n_fallbacks == 0


def test_a_grouped_convolution_would_be_counted():
    import tensorflow as tf

    graph = tf.function(lambda x, k: tf.nn.conv1d(x, k, 1, "SAME")).get_concrete_function(
        tf.TensorSpec([1, 16, 8]), tf.TensorSpec([3, 2, 8])
    )
    assert sum(map(bench_step._is_fallback, graph.graph.get_operations())) == 1


def test_the_work_of_a_step_is_that_of_the_network_s_plan():
    """Three times the forward pass, two operations for a multiply-add: 39.4, 3.00 and 0.93 GMAC at these widths."""
    for width, gmac in ((1.0, 39.4), (0.25, 3.00), (0.125, 0.93)):
        assert bench_step.STEP_GFLOP[width] == pytest.approx(6 * gmac, rel=0.01)


@pytest.mark.slow
def test_the_loop_is_measured_beside_its_step(capsys):
    arguments = ["step", "--width=0.015625", "--batch_size=1", "--rounds=1"]
    assert command.run(bench.define_flags, bench.main, arguments, allow_positional=True) == 0
    figures = {line[:64].strip(): float(line[64:].split()[0]) for line in capsys.readouterr().out.splitlines()}
    assert 0.5 < figures["loop / step alone"] < 5
    assert figures["a step of the loop"] > 0 and figures["training waits for a checkpoint"] > 0
