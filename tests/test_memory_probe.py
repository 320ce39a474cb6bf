"""Whether so many windows fit is tried with the network itself, on a CPU in a process that may die."""

import dataclasses
import pathlib

import pytest
import tensorflow as tf

from pnet_tf import memory_probe, train_step
from pnet_tf.cluster import open_cluster
from pnet_tf.learner import build_learner
from pnet_tf.settings import Settings
from pnet_tf.spec import FeatureSpec
from pnet_tf.unet import ModelConfig

SETTINGS = Settings(pathlib.Path("data"), pathlib.Path("run"), ModelConfig(width=1 / 128, bands=(2,)), window_frames=32)


def probe_of(n_windows):
    return memory_probe.Probe(SETTINGS, FeatureSpec(), n_windows)


@pytest.mark.parametrize("error", [tf.errors.ResourceExhaustedError(None, None, "OOM"), MemoryError(), SystemError()])
def test_what_there_is_no_room_for_does_not_fit(error, monkeypatch):
    """Windows of a device that holds three."""
    learner, make_gradients = build_learner(SETTINGS, FeatureSpec(), open_cluster("one")), train_step.make_gradients

    def make_bounded(*arguments):
        gradients = make_gradients(*arguments)

        def bounded(batch):
            if batch["log_power"].shape[0] > 3:
                raise error
            return gradients(batch)

        return bounded

    monkeypatch.setattr(train_step, "make_gradients", make_bounded)
    assert [memory_probe.can_learn(probe_of(n), learner) for n in (1, 3, 4)] == [True, True, False]


def test_on_a_cpu_it_is_tried_in_a_process_of_its_own():
    assert memory_probe.fits(probe_of(2), learner=None)


def test_a_network_that_knows_recordings_is_tried_as_well():
    config = ModelConfig(width=1 / 128, bands=(2,), note_spectra=(60, 62), recordings=("a", "b"))
    probe = memory_probe.Probe(dataclasses.replace(SETTINGS, config=config), FeatureSpec(), 2)
    assert memory_probe.can_learn_anew(probe)


def test_a_process_that_dies_of_it_did_not_fit(monkeypatch):
    monkeypatch.setattr(memory_probe, "can_learn_anew", abort)
    assert not memory_probe.fits(probe_of(2), learner=None)


def abort(probe):
    """What native code does when it cannot allocate."""
    import os

    os.abort()
