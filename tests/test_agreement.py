"""Devices, machines and interruptions change nothing: each training in processes of its own, by its own commands.

In float32 two equal trainings part: a sum in another order differs by 1e-7, Adam makes a step of full size of a gradient
that is little more than such rounding, and ten steps later weights differ by 1e-2, on one device too. In float64 the
recipe itself is compared, nothing damped; in float32 with an epsilon that keeps Adam's steps in proportion.
"""

import contextlib
import json
import os
import pathlib
import random
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from pnet_tf import checkpoint

ROOT = pathlib.Path(__file__).resolve().parent.parent
TRAIN = [sys.executable, "-m", "pnet_tf.train"]
RECIPE = ["--width=0.015625", "--bands=2,4", "--batch_size=4", "--window_frames=64", "--pictures=0", "--test_every=1"]
# Everything that a step can do: clipping and averaging too, and a rate that changes.
RECIPE += ["--clip_norm=5", "--ema_decay=0.9", "--warmup_steps=3", "--plateau_patience=0"]

TWO_REPLICAS = """
import sys
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from pnet_tf import cluster, command, train

mirrored = tf.distribute.MirroredStrategy
cluster.tf.distribute.MirroredStrategy = lambda: mirrored(["/cpu:0", "/cpu:1"])
sys.exit(command.run(train.define_flags, train.main, sys.argv[1:]))
"""

# The same in float32: dense windows, and an epsilon in proportion to the gradients.
DAMPED = """
import json, pathlib, sys
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from pnet_tf import cluster, dataset, settings, shard_set, trainer, unet

shards = shard_set.open_shard_set(pathlib.Path(sys.argv[1]))
plan = dataset.plan_windows(shards, "train", window_frames=64)

def dense_windows(shards, plan, *, batch_size, pitch_shift, seed, first_step, share):
    random = np.random.default_rng(seed)
    rolls = (random.random((2, 10 * batch_size, 256, 128)) < 0.05).astype(np.float32)
    log_power = 5 * random.random((10 * batch_size, 256, 1025), np.float32)
    rows = {"pianoroll": rolls[0], "onset_offset": rolls[1], "log_power": log_power}
    return tf.data.Dataset.from_tensor_slices(rows).batch(share.replica_batch_size(batch_size))

dataset.training_windows = dense_windows

def learn(name, strategy):
    folder = pathlib.Path(sys.argv[2], name)
    folder.mkdir()
    ours = trainer.Trainer(
        settings.Settings(
            shards.folder, folder, unet.ModelConfig(width=1 / 64, bands=(2, 4)), steps=10, batch_size=4,
            window_frames=64, loss="mae", pictures=0,
        ),
        shards, plan, cluster=cluster.Cluster(strategy),
    )
    before = ours.learner.model.get_weights()
    ours.learner.optimizer.epsilon = 0.1
    ours.run()
    ours.close()
    return before, ours.learner.model.get_weights()

def furthest(a, b):
    return max(float(np.abs(x.astype(np.float64) - y).max()) for x, y in zip(a, b, strict=True))

first, one = learn("one", tf.distribute.OneDeviceStrategy("/cpu:0"))
_, two = learn("two", tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"]))
print(json.dumps({"apart": furthest(one, two), "moved": furthest(first, one)}))
"""


def flags_for(shards, run_dir, *more):
    return [f"--data={shards}", f"--run_dir={run_dir}", *RECIPE, *more]


def train(shards, run_dir, *more, program=TRAIN):
    done = subprocess.run(
        [*program, *flags_for(shards, run_dir, *more)], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def kept(run_dir):
    """The arrays of the newest checkpoint, averaged weights and optimizer too, and the progress."""
    parts, progress = checkpoint.newest_whole(run_dir / "checkpoints", seed=0)
    return {f"{part}/{name}": array for part, arrays in parts.items() for name, array in arrays.items()}, progress


def furthest(run_dir, other, *, parts=("model", "averaged")):
    """The largest distance between two numbers of the same name, and how far the first run's weights moved from 0 at all."""
    (ours, _), (theirs, _) = kept(run_dir), kept(other)
    assert ours.keys() == theirs.keys()
    return max(float(np.abs(ours[name] - theirs[name]).max()) for name in ours if name.partition("/")[0] in parts)


@pytest.fixture(scope="module")
def one_process(tiny_shards, tmp_path_factory):
    """Ten steps of the recipe in float64, on one device."""
    run_dir = tmp_path_factory.mktemp("agreement") / "one"
    train(tiny_shards, run_dir, "--steps=10", "--precision=float64", "--strategy=one")
    return run_dir


@pytest.mark.slow
def test_two_replicas_learn_what_one_learns(one_process, tiny_shards, tmp_path):
    """Ten steps with the same global batch, the recipe as it is, and its validations."""
    program = [sys.executable, "-c", TWO_REPLICAS]
    train(tiny_shards, tmp_path / "two", "--steps=10", "--precision=float64", "--strategy=mirrored", program=program)
    assert furthest(one_process, tmp_path / "two") <= 1e-5
    ours, theirs = kept(one_process)[1], kept(tmp_path / "two")[1]
    assert theirs.plateau.best_loss == pytest.approx(ours.plateau.best_loss, rel=1e-6)


@pytest.mark.slow
def test_two_replicas_learn_what_one_learns_in_float32(tiny_shards, tmp_path):
    """Ten steps, with Adam's epsilon at 0.1; the weights themselves move hundreds of times as far."""
    done = subprocess.run(
        [sys.executable, "-c", DAMPED, str(tiny_shards), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["apart"] <= 1e-6
    assert found["moved"] > 1e-4


# --- several processes


def free_ports(count, *, candidates=(0,)):
    """Ports that nobody listens on now: any, or side by side from one of the candidates on."""
    for first in candidates:
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
            try:
                for number, one in enumerate(sockets):
                    one.bind(("localhost", first + number if first else 0))
            except OSError:
                continue
            return [one.getsockname()[1] for one in sockets]
    pytest.fail("no free ports")


def by_tf_config(n_workers):
    addresses = [f"localhost:{port}" for port in free_ports(n_workers)]
    return [
        {"TF_CONFIG": json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}})}
        for index in range(n_workers)
    ]


def by_slurm(n_workers):
    """What srun gives to the tasks of a step on one node; the job's number decides the ports."""
    first, *_ = free_ports(n_workers, candidates=random.Random(os.getpid()).sample(range(12000, 27000 - n_workers), 50))
    step = {"SLURM_JOB_ID": str(first - 12000), "SLURM_STEP_NUM_TASKS": str(n_workers)}
    step |= {"SLURM_STEP_NODELIST": "localhost", "SLURM_STEP_TASKS_PER_NODE": str(n_workers)}
    return [{**step, "SLURM_PROCID": str(index)} for index in range(n_workers)]


class Workers:
    """Trainings in several processes; they are killed at the end, whatever happens."""

    def __init__(self, environments, flags):
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("TF_CONFIG", "SLURM_"))}
        self.processes = [
            subprocess.Popen(
                [*TRAIN, *flags, "--strategy=multiworker"],
                cwd=ROOT,
                env={**clean, **environment},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for environment in environments
        ]

    def __enter__(self):
        return self

    def __exit__(self, *details):
        for process in self.processes:
            process.kill()
            process.communicate()

    def wait(self, *, timeout=240):
        """What each said, and its exit code."""
        said = [process.communicate(timeout=timeout)[1] for process in self.processes]
        return said, [process.returncode for process in self.processes]


def wait_for_a_checkpoint(run_dir, *, after=-1, timeout=180):
    """Waits until there is a checkpoint of a step behind `after`."""
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        steps = [int(path.stem[5:]) for path in checkpoint.checkpoints_in(run_dir / "checkpoints")]
        if steps and steps[-1] > after:
            return steps[-1]
        time.sleep(0.2)
    pytest.fail("no checkpoint came")


@pytest.mark.slow
@pytest.mark.parametrize("environments", [by_tf_config, by_slurm])
def test_two_processes_learn_what_one_learns(environments, one_process, tiny_shards, tmp_path):
    flags = flags_for(tiny_shards, tmp_path / "two", "--steps=10", "--precision=float64")
    with Workers(environments(2), flags) as workers:
        said, codes = workers.wait()
    assert codes == [0, 0], said
    assert furthest(one_process, tmp_path / "two") <= 1e-5
    assert "steps 0 to 10, on 2 device(s) of 2 machine(s)" in said[0]
    assert "machine(s)" not in said[1] and "%|" not in said[1], "the chief alone speaks"
    assert len(list((tmp_path / "two").glob("events.*"))) == 1, "the chief alone writes"


@pytest.mark.slow
def test_two_processes_begin_with_the_weights_of_the_chief(tiny_voice, tiny_shards, tmp_path):
    """One step from a voice learns the same."""
    more = ["--steps=1", "--precision=float64", f"--init_from={tiny_voice}"]
    train(tiny_shards, tmp_path / "one", *more, "--strategy=one")
    with Workers(by_tf_config(2), flags_for(tiny_shards, tmp_path / "two", *more)) as workers:
        said, codes = workers.wait()
    assert codes == [0, 0], said
    assert furthest(tmp_path / "one", tmp_path / "two") <= 1e-5


@pytest.mark.slow
def test_a_worker_that_is_asked_to_stop_stops_all_and_they_go_on_together(one_process, tiny_shards, tmp_path):
    """The second of two gets SIGTERM; both save at one step and end well, and ten steps later all is as ever."""
    run_dir = tmp_path / "two"
    with Workers(by_tf_config(2), flags_for(tiny_shards, run_dir, "--steps=4000", "--checkpoint_minutes=0")) as workers:
        wait_for_a_checkpoint(run_dir)
        workers.processes[1].terminate()
        said, codes = workers.wait()
    assert codes == [0, 0], said
    assert "asked to stop: saved at step" in said[0]
    steps = kept(run_dir)[1].step
    with Workers(by_tf_config(2), flags_for(tiny_shards, run_dir, f"--steps={steps + 10}")) as workers:
        said, codes = workers.wait()
    assert codes == [0, 0], said
    assert f"steps {steps} to {steps + 10}" in said[0]
    assert kept(run_dir)[1].step == steps + 10


@pytest.mark.slow
def test_a_worker_that_dies_ends_the_others_in_one_line(tiny_shards, tmp_path):
    run_dir = tmp_path / "two"
    with Workers(by_tf_config(2), flags_for(tiny_shards, run_dir, "--steps=4000", "--checkpoint_minutes=0")) as workers:
        wait_for_a_checkpoint(run_dir)
        workers.processes[1].kill()
        said, codes = workers.wait()
    assert codes == [1, -9]
    assert "Traceback" not in said[0]
    assert "train: worker 0 of 2 lost another one" in said[0]
    assert kept(run_dir)[1].step >= 1


@pytest.mark.slow
@pytest.mark.parametrize("flag", ["--seed", "--steps"])
def test_workers_with_other_flags_are_refused_together(flag, tiny_shards, tmp_path):
    environments, flags = by_tf_config(2), flags_for(tiny_shards, tmp_path / "two")
    with Workers(environments[:1], [*flags, f"{flag}=3"]) as one, Workers(environments[1:], [*flags, f"{flag}=4"]) as other:
        said, codes = zip(one.wait(), other.wait(), strict=True)
    assert codes == ([1], [1])
    assert all(lines.splitlines()[-1].startswith("train: the workers' flags differ") for (lines,) in said)
    assert not (tmp_path / "two").exists()


@pytest.mark.slow
@pytest.mark.parametrize("place", [0, 1])
def test_a_worker_is_asked_to_stop_before_the_first_step(place, tiny_shards, tmp_path):
    """Nothing is swallowed: it ends well, and the other one does not wait for ever."""
    run_dir = tmp_path / "two"
    with Workers(by_tf_config(2), flags_for(tiny_shards, run_dir, "--steps=100000")) as workers:
        until = time.monotonic() + 120
        while not (run_dir / "run.json").exists() and time.monotonic() < until:
            time.sleep(0.05)
        workers.processes[place].terminate()
        said, codes = workers.wait()
    assert codes[place] == 0 and "asked to stop" in said[place]
    assert codes[1 - place] in (0, 1) and "Traceback" not in said[1 - place]


@pytest.mark.slow
def test_workers_with_other_data_or_a_taken_folder_are_refused_together(tiny_shards, tmp_path):
    """What one worker finds wrong ends all: the chief's folder here."""
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.tex").write_text("x")
    with Workers(by_tf_config(2), flags_for(tiny_shards, tmp_path / "taken", "--steps=2")) as workers:
        said, codes = workers.wait()
    assert codes == [1, 1]
    assert "not empty, and not a run folder" in said[0].splitlines()[-1]
    assert "worker 0 of 2 cannot start; its own message says why" in said[1].splitlines()[-1]


# --- interruptions


@pytest.mark.slow
def test_killed_at_five_random_moments_it_ends_with_the_same_bits(tiny_shards, tmp_path):
    """kill -9, from the first second on; weights, averages, optimizer, schedule and best weights equal an unbroken run's."""
    more = ["--steps=300", "--checkpoint_minutes=0.003", "--strategy=one", "--log_every=7"]
    started = time.monotonic()
    train(tiny_shards, tmp_path / "whole", *more)
    length = time.monotonic() - started
    moments = random.Random(0)
    for number in range(5):
        process = subprocess.Popen(
            [*TRAIN, *flags_for(tiny_shards, tmp_path / "parts", *more)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        if number == 0:
            time.sleep(moments.uniform(0, 0.5 * length))
        else:
            before = checkpoint.checkpoints_in(tmp_path / "parts" / "checkpoints")
            wait_for_a_checkpoint(tmp_path / "parts", after=int(before[-1].stem[5:]) if before else -1)
            time.sleep(moments.uniform(0, 0.1 * length))
        process.kill()
        process.wait()
    killed_at = [int(path.stem[5:]) for path in checkpoint.checkpoints_in(tmp_path / "parts" / "checkpoints")]
    assert killed_at and killed_at[-1] < 300, "it was over before it was killed"
    train(tiny_shards, tmp_path / "parts", *more)
    (whole, progress), (parts, same_progress) = kept(tmp_path / "whole"), kept(tmp_path / "parts")
    assert same_progress == progress
    for name in whole:
        assert whole[name].tobytes() == parts[name].tobytes(), name
    assert (tmp_path / "whole" / "best.weights.npz").read_bytes() == (tmp_path / "parts" / "best.weights.npz").read_bytes()
    assert not list((tmp_path / "parts").rglob("*.partial"))
