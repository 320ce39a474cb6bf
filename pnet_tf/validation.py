"""The loss on windows that are not trained on: of the network, of the simplest learner, and the windows to show."""

import dataclasses
import math
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from pnet_tf import dataset
from pnet_tf.baseline import MeanSpectrum
from pnet_tf.cluster import Cluster
from pnet_tf.dataset import WindowPlan
from pnet_tf.loss import Loss
from pnet_tf.shard_set import ShardSet
from pnet_tf.train_step import Batch, example_losses, predict

# Windows that the mean spectrum per note is learnt from, at most: some 40 minutes.
_BASELINE_WINDOWS = 480


@dataclasses.dataclass(frozen=True)
class ShownWindow:
    """A validation window that TensorBoard shows again and again.

    Attributes:
      name: of its recording, and where in it.
      start_sec: the same place in seconds.
      batch: pianoroll, onset_offset and log_power, float32 [1, frames, ...].
    """

    name: str
    start_sec: float
    batch: Batch


class Validation:
    """The validation windows of a training."""

    def __init__(
        self,
        shards: ShardSet,
        model: keras.Model,
        example_loss: Loss,
        *,
        window_frames: int,
        batch_size: int,
        cluster: Cluster,
    ) -> None:
        """Plans the windows; reads nothing yet.

        Args:
          shards: the opened data.
          model: the network to validate, built in the cluster's scope.
          example_loss: loss of each example.
          window_frames: length of a window.
          batch_size: of a global batch.
          cluster: who takes part.
        """
        self._shards, self._model, self._cluster, self._batch_size = shards, model, cluster, batch_size
        self.plan = dataset.plan_windows(shards, "validation", window_frames=window_frames)
        self._loss_sum = make_loss_sum(model, example_loss, strategy=cluster.strategy)

    def loss(self, *, go_on: Callable[[], bool] = lambda: True) -> float | None:
        """Mean loss over all windows, each of equal weight; None where `go_on` said no on the way."""
        windows = dataset.weighted_windows(
            self._shards, self.plan, batch_size=self._batch_size, share=self._cluster.share
        )
        sums = []
        for batch in self._cluster.distribute(windows):
            if not go_on():
                return None
            sums.append(float(self._loss_sum(batch)))
        return math.fsum(sums) / self.plan.epoch_windows

    def shown_windows(self, count: int) -> list[ShownWindow]:
        """So many windows, spread over those there are."""
        rows = self.plan.fixed()
        chosen = rows[np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int))]
        shown = []
        for row, batch in zip(chosen, dataset.windows_at(self._shards, self.plan, chosen), strict=True):
            name = self._shards.manifest.recordings[row[0]].name
            start_sec = float(int(row[1]) / self._shards.spec.frame_rate_hz)
            shown.append(ShownWindow(f"{name}_{start_sec:.0f}s", start_sec, batch))
        return shown

    def draw(self, window: ShownWindow) -> np.ndarray:
        """What the network draws of a shown window: log power, float32 [frames, bins]."""
        return predict(self._model, window.batch, training=False)[0].numpy().astype(np.float32)

    def mean_spectrum_loss(self, learnt_from: WindowPlan) -> float:
        """What the mean spectrum of each note reaches in mean squared error, the loss that a network has to beat."""
        spec = self._shards.spec
        simplest = MeanSpectrum(spec.n_pitches, spec.n_bins)
        simplest.learn(dataset.fixed_windows(self._shards, learnt_from, batch_size=1).take(_BASELINE_WINDOWS))
        return simplest.squared_error(dataset.fixed_windows(self._shards, self.plan, batch_size=1))


def make_loss_sum(
    model: keras.Model, example_loss: Loss, *, strategy: tf.distribute.Strategy
) -> Callable[[Batch], tf.Tensor]:
    """The weighted sum of the losses of a batch over all devices, as a graph.

    Args:
      model: built in the strategy's scope.
      example_loss: loss of each example.
      strategy: where to compute.

    Returns:
      A function of a distributed batch, as `dataset.weighted_windows` gives, to float [].
    """

    def weighted(batch: Batch) -> tf.Tensor:
        """The sum on one device, float []."""
        losses = example_losses(model, batch, example_loss, training=False)
        return tf.reduce_sum(losses * tf.cast(batch["weight"], losses.dtype))

    @tf.function(autograph=False, reduce_retracing=True)
    def loss_sum(batch: Batch) -> tf.Tensor:
        """The sum over all devices, float []."""
        return strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(weighted, args=(batch,)), axis=None)

    return loss_sum
