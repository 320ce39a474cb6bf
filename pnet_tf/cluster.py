"""Where a training runs: one device, the GPUs of one machine, or several machines that must agree on what they do."""

import contextlib
import dataclasses
import functools
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf
from absl import logging

from pnet_tf.dataset import Share
from pnet_tf.errors import InputError, UsageError

# Ports that a job's workers listen on begin at a place that its number decides, so that jobs on one node do not meet.
_SLURM_FIRST_PORT, _SLURM_PORTS = 12000, 15000
_MAX_NUMBERS = 4096
_ADDRESS = re.compile(r"[^\s:]+:[1-9][0-9]{0,4}|\[[0-9a-fA-F:]+\]:[1-9][0-9]{0,4}")
# What the errors of collectives and of the connections between machines are, when one of them is gone.
_PEER_ERRORS = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """A distribution strategy, and this process's place in it.

    Attributes:
      strategy: where to compute.
      index: of this worker; worker 0 is the chief, the only one that writes files.
      n_workers: processes that train together.
    """

    strategy: tf.distribute.Strategy
    index: int = 0
    n_workers: int = 1

    @property
    def is_chief(self) -> bool:
        """Whether this worker writes files, draws and speaks."""
        return self.index == 0

    @property
    def n_replicas(self) -> int:
        """Devices of all workers together."""
        return self.strategy.num_replicas_in_sync

    @property
    def share(self) -> Share:
        """The part of each global batch that this worker reads."""
        return Share(self.index, self.n_workers, self.n_replicas // self.n_workers)

    def require_equal_shares(self, batch_size: int) -> None:
        """Raises InputError unless the devices can share a batch equally; names the nearest that they can."""
        n = self.n_replicas
        if batch_size % n:
            near = " or ".join(f"--batch_size={k * n}" for k in (batch_size // n, batch_size // n + 1) if k)
            raise InputError(
                f"--batch_size={batch_size} is the batch of all devices together and must be a multiple of their number, {n}: "
                f"{near}"
            )

    def distribute(self, windows: tf.data.Dataset) -> tf.data.Dataset:
        """Hands the batches of `share` on to the devices of this worker, one each, as elements for `strategy.run`."""
        return self.strategy.distribute_datasets_from_function(lambda context: windows)

    def sum_of(self, values: np.ndarray) -> np.ndarray:
        """The sum over the workers of a few numbers of each: float64 [numbers] -> the same."""
        padded = np.zeros(_MAX_NUMBERS)
        padded[: len(values)] = values
        # Always one length: another would be another graph.
        return self._sums_of([padded])[0][: len(values)]

    def arrays_from_chief(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The chief's arrays, in every worker; of what others give the shapes [...] and types alone count."""
        return self._sums_of(arrays if self.is_chief else [np.zeros_like(array) for array in arrays])

    def text_from_chief(self, text: str) -> str:
        """The chief's text of at most 4096 bytes, in every worker; what others give is not looked at."""
        data = np.zeros(_MAX_NUMBERS)
        data[: len(text.encode())] = list(text.encode())
        return self.sum_of(data if self.is_chief else 0 * data).astype(np.uint8).tobytes().rstrip(b"\0").decode()

    def _sums_of(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The sums over the workers of arrays of equal shapes [...] and of any number types."""
        if self.n_workers == 1:
            return list(arrays)
        return [total.numpy() for total in self._totals([tf.constant(array) for array in arrays])]

    @functools.cached_property
    def _totals(self) -> Callable[[list[tf.Tensor]], list[tf.Tensor]]:
        first = self.index * (self.n_replicas // self.n_workers)

        def mine(arrays: list[tf.Tensor]) -> list[tf.Tensor]:
            """The worker's arrays, any shapes [...], on its first device, zeros on the others."""
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            return [tf.where(tf.equal(replica, first), array, tf.zeros_like(array)) for array in arrays]

        @tf.function(autograph=False, reduce_retracing=True)
        def totals(arrays: list[tf.Tensor]) -> list[tf.Tensor]:
            """The sums, any shapes [...], in every worker."""
            summands = self.strategy.run(mine, (arrays,))
            return [self.strategy.reduce(tf.distribute.ReduceOp.SUM, summand, axis=None) for summand in summands]

        return totals

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """A block that succeeds in all workers or in none.

        Raises:
          InputError: the block's own, or one that names the worker in which it was raised.
        """
        error = None
        try:
            yield
        except InputError as raised:
            error = raised
        failed = np.zeros(self.n_workers)
        failed[self.index] = error is not None
        failed = np.flatnonzero(self.sum_of(failed)).tolist()
        if error:
            raise error
        if failed:
            raise InputError(f"worker {failed[0]} of {self.n_workers} cannot start; its own message says why")

    @contextlib.contextmanager
    def peers_watched(self, advice: str) -> Iterator[None]:
        """What is raised when another worker is gone, as one line.

        Args:
          advice: what to do about it.

        Raises:
          InputError: another worker died, or cannot be reached.
        """
        try:
            yield
        except _PEER_ERRORS as error:
            if self.n_workers == 1:
                raise
            raise InputError(
                f"worker {self.index} of {self.n_workers} lost another one (it died, stopped or cannot be reached); {advice}"
            ) from error


def open_cluster(name: str) -> Cluster:
    """The devices that a training runs on.

    Args:
      name: `mirrored`, every GPU there is, or the CPU where there is none; `one` device; or `multiworker`, all devices of
        all machines that `TF_CONFIG` or a SLURM step names: to be opened before anything else of TensorFlow is used.

    Raises:
      UsageError: `multiworker` without a cluster, or with one that cannot be understood.
    """
    if name == "one":
        return Cluster(tf.distribute.OneDeviceStrategy("/gpu:0" if tf.config.list_logical_devices("GPU") else "/cpu:0"))
    if name == "mirrored":
        return Cluster(tf.distribute.MirroredStrategy())
    resolver = _resolver()
    workers = resolver.cluster_spec().as_dict()["worker"]
    index = resolver.task_id or 0
    logging.info("worker %d of %d: waits for the others at %s", index, len(workers), ", ".join(workers))
    strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    return Cluster(strategy, index, len(workers))


def _resolver() -> tf.distribute.cluster_resolver.ClusterResolver:
    if os.environ.get("TF_CONFIG"):
        _require_workers(os.environ["TF_CONFIG"])
        return tf.distribute.cluster_resolver.TFConfigClusterResolver()
    if "SLURM_PROCID" in os.environ:
        return _slurm_resolver()
    raise UsageError(
        "--strategy=multiworker needs TF_CONFIG, or a SLURM step started with srun; on one machine use --strategy=mirrored"
    )


def _slurm_resolver() -> tf.distribute.cluster_resolver.ClusterResolver:
    """The workers of a SLURM step, in the order of its ranks; GPUs are left as SLURM gives them to each task."""
    resolvers = tf.distribute.cluster_resolver
    try:
        port = _SLURM_FIRST_PORT + int(os.environ.get("SLURM_JOB_ID", "0")) % _SLURM_PORTS
        # It hands out GPUs too, and knows as many tasks as it has GPUs for: more than there are, and none is set.
        read = resolvers.SlurmClusterResolver(port_base=port, gpus_per_node=2**20, gpus_per_task=1, auto_set_gpu=False)
        # It sorts hosts as text, n10 before n2; SLURM's ranks go by number.
        workers = sorted(read.cluster_spec().as_dict()["worker"], key=_by_number)
        rank = int(os.environ["SLURM_PROCID"])
    except (RuntimeError, ValueError) as error:
        raise UsageError(f"--strategy=multiworker: cannot read the SLURM step ({error}); start it with srun") from error
    spec = tf.train.ClusterSpec({"worker": workers})
    return resolvers.SimpleClusterResolver(spec, task_type="worker", task_id=rank, rpc_layer="grpc")


def _by_number(address: str) -> list[tuple[int, str]]:
    """A key that sorts `n2:1` before `n10:1`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", address)]


def _require_workers(text: str) -> None:
    """Raises UsageError unless TF_CONFIG names workers, and this process as one of them."""
    example = '{"cluster": {"worker": ["host0:12345", "host1:12345"]}, "task": {"type": "worker", "index": 0}}'
    try:
        config = json.loads(text)
        workers, task = config["cluster"]["worker"], config["task"]
        is_one = type(task["index"]) is int and 0 <= task["index"] < len(workers)
        fits = is_one and list(config["cluster"]) == ["worker"] and task["type"] == "worker"
        fits = fits and all(_ADDRESS.fullmatch(address) and int(address.rpartition(":")[2]) < 2**16 for address in workers)
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"TF_CONFIG cannot be read ({error!r}); expected {example}") from error
    if not fits:
        raise UsageError(f"TF_CONFIG does not name workers alone and this one among them; expected {example}")
