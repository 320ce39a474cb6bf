"""Where a training runs: strategies by name, clusters that cannot be understood, and what one worker alone agrees on."""

import json

import numpy as np
import pytest
import tensorflow as tf

from pnet_tf import cluster
from pnet_tf.cluster import Cluster
from pnet_tf.dataset import Share
from pnet_tf.errors import InputError, UsageError


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    for name in ("TF_CONFIG", "SLURM_PROCID", "SLURM_JOB_ID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_NODELIST"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", ["one", "mirrored"])
def test_one_machine_is_its_own_chief(name):
    ours = cluster.open_cluster(name)
    assert (ours.index, ours.n_workers, ours.is_chief, ours.n_replicas, ours.share) == (0, 1, True, 1, Share(0, 1, 1))


def test_several_machines_need_to_be_named():
    with pytest.raises(UsageError, match="needs TF_CONFIG, or a SLURM step started with srun; on one machine use"):
        cluster.open_cluster("multiworker")


WORKERS = {"worker": ["a:1", "b:1"]}


@pytest.mark.parametrize(
    "config",
    [
        "{",
        "[]",
        "3",
        json.dumps({"cluster": WORKERS}),
        json.dumps({"cluster": WORKERS, "task": {"type": "worker", "index": 2}}),
        json.dumps({"cluster": WORKERS, "task": {"type": "worker", "index": "x"}}),
        json.dumps({"cluster": WORKERS, "task": {"type": "chief", "index": 0}}),
        json.dumps({"cluster": WORKERS, "task": {"type": "worker", "index": 0.9}}),
        json.dumps({"cluster": WORKERS, "task": {"type": "worker", "index": True}}),
        *(
            json.dumps({"cluster": {"worker": [address]}, "task": {"type": "worker", "index": 0}})
            for address in ("a", "a:", "a:b", "a:99999", 3)
        ),
        json.dumps({"cluster": {**WORKERS, "ps": ["c:1"]}, "task": {"type": "worker", "index": 0}}),
    ],
)
def test_a_tf_config_that_cannot_be_understood_is_one_line_with_an_example(config, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(UsageError, match=r'TF_CONFIG .*expected \{"cluster": \{"worker"') as refused:
        cluster.open_cluster("multiworker")
    assert "\n" not in str(refused.value)


def test_a_slurm_step_that_says_too_little_is_one_line(monkeypatch):
    monkeypatch.setenv("SLURM_PROCID", "0")
    with pytest.raises(UsageError, match="cannot read the SLURM step .*; start it with srun"):
        cluster.open_cluster("multiworker")


def test_the_workers_of_a_slurm_step_listen_side_by_side(monkeypatch):
    """In the order of SLURM's ranks, which is by number: n2 before n10."""
    step = {"PROCID": "2", "JOB_ID": "15007", "STEP_NUM_TASKS": "3", "STEP_NODELIST": "n[2,10]", "STEP_TASKS_PER_NODE": "1,2"}
    for name, value in step.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    resolver = cluster._resolver()
    assert resolver.cluster_spec().as_dict() == {"worker": ["n2:12007", "n10:12007", "n10:12008"]}
    assert (resolver.task_type, resolver.task_id) == ("worker", 2)


def test_alone_a_worker_agrees_with_itself():
    ours = Cluster(tf.distribute.OneDeviceStrategy("/cpu:0"))
    np.testing.assert_array_equal(ours.sum_of(np.array([1.0, 2.5])), [1.0, 2.5])
    assert ours.text_from_chief('{"step": 3}') == '{"step": 3}'
    (array,) = ours.arrays_from_chief([np.arange(3)])
    np.testing.assert_array_equal(array, [0, 1, 2])
    with ours.together():
        pass
    with pytest.raises(InputError, match="mine"), ours.together():
        raise InputError("mine")


def test_a_worker_that_is_gone_is_one_line_where_there_are_several():
    lost = tf.errors.UnavailableError(None, None, "socket closed")
    several = Cluster(tf.distribute.OneDeviceStrategy("/cpu:0"), index=1, n_workers=2)
    with pytest.raises(InputError, match="worker 1 of 2 lost another one .*; start again"), several.peers_watched("start again"):
        raise lost
    with pytest.raises(tf.errors.UnavailableError), cluster.open_cluster("one").peers_watched(""):
        raise lost


def test_batches_are_handed_to_the_devices_as_they_come():
    """In a process with one device, one batch a step."""
    ours = cluster.open_cluster("mirrored")
    batches = tf.data.Dataset.range(6).batch(2)
    assert [batch.numpy().tolist() for batch in ours.distribute(batches)] == [[0, 1], [2, 3], [4, 5]]


def test_a_batch_that_the_devices_cannot_share_is_refused_and_those_they_can_are_named():
    class Two:
        num_replicas_in_sync = 2

    for size, near in ((3, "--batch_size=2 or --batch_size=4"), (1, "--batch_size=2")):
        with pytest.raises(InputError, match=f"must be a multiple of their number, 2: {near}$"):
            Cluster(Two()).require_equal_shares(size)
    Cluster(Two()).require_equal_shares(4)
