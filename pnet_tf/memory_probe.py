"""Whether a device has room to learn from so many windows at once, tried on windows of zeros."""

import dataclasses

import numpy as np
import tensorflow as tf

from pnet_tf import lanes, loss, train_step
from pnet_tf.cluster import open_cluster
from pnet_tf.learner import Learner, build_learner
from pnet_tf.settings import Settings
from pnet_tf.spec import FeatureSpec

# MemoryError and SystemError: what Python itself says when there is nothing left.
_FULL = (tf.errors.ResourceExhaustedError, MemoryError, SystemError)

# Batches that are held while one is tried: what the pipeline reads ahead, the windows it is made of, and some to spare.
_N_READ_AHEAD = 8


@dataclasses.dataclass(frozen=True)
class Probe:
    """What is tried: a network and recipe, the spec of its data, and how many windows of it at once."""

    settings: Settings
    spec: FeatureSpec
    n_windows: int


def fits(probe: Probe, learner: Learner) -> bool:
    """Whether a device can compute the gradients of so many windows.

    A GPU's memory is this process's, so it is tried with the network that is there. What a failed step took of a
    machine's memory may not come back, and the next may crash: there it is tried in a process of its own.
    """
    if tf.config.list_logical_devices("GPU"):
        return can_learn(probe, learner)
    ((_, result),) = lanes.run_in_lanes(can_learn_anew, iter([probe]), n_workers=1, set_up=_nothing)
    return result is True


def can_learn_anew(probe: Probe) -> bool:
    """Whether this process can take a step with so many windows, and read as far ahead as a training does."""
    cluster = open_cluster("one")
    try:
        learner = build_learner(probe.settings, probe.spec, cluster)
        example_loss = loss.make_loss(probe.settings.loss, **probe.settings.loss_weights)
        step = train_step.make_train_step(
            learner.model, learner.optimizer, example_loss, _options(probe), strategy=cluster.strategy, averaged=learner.averaged
        )
        batches = [_batch_of_zeros(probe) for _ in range(_N_READ_AHEAD)]
        return all(step(batch, tf.constant(0.0)).numpy().size for batch in batches[:2])
    except _FULL:
        return False


def can_learn(probe: Probe, learner: Learner) -> bool:
    """Whether this process can compute the gradients of so many windows on its first device."""
    example_loss = loss.make_loss(probe.settings.loss, **probe.settings.loss_weights)
    gradients = train_step.make_gradients(learner.model, learner.optimizer, example_loss, _options(probe))
    try:
        tf.function(gradients, autograph=False)(_batch_of_zeros(probe))[0].numpy()
    except _FULL:
        return False
    return True


def _options(probe: Probe) -> train_step.StepOptions:
    return train_step.StepOptions(probe.n_windows, ema_decay=probe.settings.ema_decay, jit=probe.settings.jit)


def _batch_of_zeros(probe: Probe) -> train_step.Batch:
    shape, spec = [probe.n_windows, probe.settings.window_frames], probe.spec
    widths = {"pianoroll": spec.n_pitches, "onset_offset": spec.n_pitches, "log_power": spec.n_bins}
    # Made by NumPy, which gives each batch memory of its own.
    batch = {name: tf.constant(np.zeros([*shape, width], np.float32)) for name, width in widths.items()}
    return {**batch, "recording": tf.constant(np.zeros(probe.n_windows, np.int32))}


def _nothing() -> None:
    """A process of its own needs no set-up."""
