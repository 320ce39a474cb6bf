"""The training loop: one for one device and for many, with validation, the schedule, checkpoints and curves."""

import contextlib
import dataclasses
import itertools
import math
import pathlib
import re
import time
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf
import tqdm
from absl import logging

from pnet_tf import checkpoint, dataset, loss, unet
from pnet_tf.baseline import MeanSpectrum
from pnet_tf.checkpoint import Progress
from pnet_tf.errors import InputError
from pnet_tf.run_folder import BEST_WEIGHTS_NAME, Run, start_run
from pnet_tf.schedule import Plateau
from pnet_tf.shard_set import COMPLETED_NAME, ShardSet, open_shard_set
from pnet_tf.summaries import Summaries
from pnet_tf.unet import ModelConfig

Batch = dict[str, tf.Tensor]
STRATEGIES = ("mirrored", "one")
_MIN_LEARNING_RATE = 1e-6
_REASON_CHARACTERS = 120
# Windows that the mean spectrum per note is learnt from, at most: some 40 minutes.
_BASELINE_WINDOWS = 480


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to train; fields as the flags of `train`, which say what each means.

    `what_is_learnt` holds those that must be the same when a training goes on.
    """

    data: pathlib.Path
    run_dir: pathlib.Path
    config: ModelConfig
    instrument: str | None = None
    epochs: int = 300
    steps: int | None = None
    test_every: int = 10
    batch_size: int = 16
    window_frames: int = 864
    loss: str = "mse"
    learning_rate: float = 1e-3
    plateau_factor: float = 0.5
    plateau_patience: int = 3
    seed: int = 0
    strategy: str = "mirrored"
    log_every: int = 20

    def what_is_learnt(self) -> dict[str, str | int | float]:
        """The settings that decide what is learnt from the data, by flag name."""
        names = ("batch_size", "window_frames", "loss", "learning_rate", "plateau_factor", "plateau_patience", "seed")
        return {name: getattr(self, name) for name in names}


def train(settings: Settings, *, flag_text: str = "") -> pathlib.Path:
    """Trains a network, or goes on where the same run stopped.

    Args:
      settings: data, run folder, network and recipe.
      flag_text: the resolved flags, kept in the run folder.

    Returns:
      The run folder.

    Raises:
      InputError: data or run folder cannot be used, or the loss is no number any more.
    """
    shards = open_shard_set(settings.data)
    _require_instrument(shards, settings)
    run = Run(
        folder=settings.run_dir,
        spec=shards.spec,
        config=settings.config,
        training=settings.what_is_learnt(),
        voice={
            "instrument": shards.manifest.instrument,
            "pitch_frames": list(shards.manifest.trained_pitch_frames()),
            "window_frames": settings.window_frames,
        },
    )
    plan = dataset.plan_windows(shards, "train", window_frames=settings.window_frames)
    strategy = open_strategy(settings.strategy)
    # Before the folder is begun: with another batch size it could not go on.
    _require_equal_shares(settings, strategy)
    start_run(run, flag_text=flag_text)
    trainer = Trainer(settings, shards, plan, strategy=strategy)
    try:
        with _shards_named(shards):
            trainer.run()
    finally:
        trainer.summaries.close()
    return settings.run_dir


def open_strategy(name: str) -> tf.distribute.Strategy:
    """The distribution strategy of a name: `mirrored` over every GPU (or the CPU where there is none), or `one` device."""
    if name == "one":
        return tf.distribute.OneDeviceStrategy("/gpu:0" if tf.config.list_logical_devices("GPU") else "/cpu:0")
    return tf.distribute.MirroredStrategy()


def make_train_step(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    example_loss: loss.Loss,
    *,
    strategy: tf.distribute.Strategy,
    batch_size: int,
) -> Callable[[Batch], tf.Tensor]:
    """One optimizer step over all devices of a strategy, as a graph.

    Args:
      model: built in the strategy's scope.
      optimizer: built there too.
      example_loss: loss of each example, from `loss.LOSSES`.
      strategy: where to compute.
      batch_size: of the global batch.

    Returns:
      A function of a (distributed) batch, as `dataset.training_windows` gives, to its mean loss, float32 [].
    """

    def learn(batch: Batch) -> tf.Tensor:
        """The step on one device: its share of the batch's mean loss, float32 []."""
        with tf.GradientTape() as tape:
            losses = example_loss(batch["log_power"], _predict(model, batch, training=True))
            # Each device weighs by the global batch: the optimizer then sums the gradients over the devices.
            share = tf.reduce_sum(losses) / batch_size
        gradients = tape.gradient(share, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return share

    @tf.function(autograph=False, reduce_retracing=True)
    def train_step(batch: Batch) -> tf.Tensor:
        """The step on all devices: mean loss, float32 []."""
        shares = strategy.run(learn, args=(batch,))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, shares, axis=None)

    return train_step


def make_loss_sum(model: keras.Model, example_loss: loss.Loss) -> Callable[[Batch], tf.Tensor]:
    """The summed loss of a batch, as a graph: a batch as `dataset.fixed_windows` gives -> float32 []."""

    @tf.function(autograph=False, reduce_retracing=True)
    def loss_sum(batch: Batch) -> tf.Tensor:
        """Summed loss of a batch, float32 []."""
        return tf.reduce_sum(example_loss(batch["log_power"], _predict(model, batch, training=False)))

    return loss_sum


def _predict(model: keras.Model, batch: Batch, *, training: bool) -> tf.Tensor:
    return model({"pianoroll": batch["pianoroll"], "onset_offset": batch["onset_offset"]}, training=training)


def _require_instrument(shards: ShardSet, settings: Settings) -> None:
    if settings.instrument not in (None, shards.manifest.instrument):
        raise InputError(
            f"{shards.folder}: holds {shards.manifest.instrument}, and --instrument={settings.instrument}; give other --data"
        )


def _require_equal_shares(settings: Settings, strategy: tf.distribute.Strategy) -> None:
    if settings.batch_size % strategy.num_replicas_in_sync:
        raise InputError(
            f"--batch_size={settings.batch_size} is the batch of all devices together and must be a multiple of their "
            f"number, {strategy.num_replicas_in_sync}"
        )


@contextlib.contextmanager
def _shards_named(shards: ShardSet) -> Iterator[None]:
    """What reading damaged shards raises, wherever in a graph it does, as an error that names the shard set."""
    try:
        yield
    except (tf.errors.DataLossError, tf.errors.NotFoundError, tf.errors.OutOfRangeError) as error:
        reason = " ".join(re.sub(r"\{\{.*?\}\}|\[Op:.*?\]", "", error.message).split())[:_REASON_CHARACTERS]
        raise InputError(
            f"{shards.folder}: a shard was changed or damaged after it was prepared ({reason}); python "
            f"tools/inspect_shards.py --verify {shards.folder} says which: delete it and {COMPLETED_NAME}, and run the "
            "same prepare again"
        ) from error


class Trainer:
    """One run: the network, its optimizer, and the loop over them."""

    def __init__(
        self,
        settings: Settings,
        shards: ShardSet,
        plan: dataset.WindowPlan,
        *,
        strategy: tf.distribute.Strategy | None = None,
    ) -> None:
        """Builds network and optimizer, from the newest checkpoint if there is one.

        Args:
          settings: as for `train`.
          shards: the opened data.
          plan: its training windows.
          strategy: where to compute; by default what the settings name.
        """
        self.settings, self.shards, self.plan = settings, shards, plan
        self.strategy = strategy or open_strategy(settings.strategy)
        _require_equal_shares(settings, self.strategy)
        self.steps_per_epoch = max(1, round(plan.epoch_windows / settings.batch_size))
        self.last_step = settings.steps if settings.steps is not None else settings.epochs * self.steps_per_epoch
        self.summaries = Summaries(settings.run_dir)
        self.validation_plan = dataset.plan_windows(shards, "validation", window_frames=settings.window_frames)
        keras.utils.set_random_seed(settings.seed)
        with self.strategy.scope():
            self.model = unet.build_performance_net(shards.spec, settings.config)
            self.optimizer = keras.optimizers.Adam(
                settings.learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, weight_decay=None
            )
            self.optimizer.build(self.model.trainable_variables)
        restored = checkpoint.restore_newest(self._checkpoints, self.model, self.optimizer)
        self.progress = restored or Progress(step=0, plateau=Plateau(settings.learning_rate))
        example_loss = loss.LOSSES[settings.loss]
        self._train_step = make_train_step(
            self.model, self.optimizer, example_loss, strategy=self.strategy, batch_size=settings.batch_size
        )
        self._loss_sum = make_loss_sum(self.model, example_loss)

    @property
    def _best_weights(self) -> pathlib.Path:
        return self.settings.run_dir / BEST_WEIGHTS_NAME

    @property
    def _checkpoints(self) -> pathlib.Path:
        return self.settings.run_dir / "checkpoints"

    def run(self) -> None:
        """Trains up to the last step, with validations on the way."""
        if self.progress.step >= self.last_step:
            logging.info("%s: all %d steps are done", self.settings.run_dir, self.last_step)
            return
        logging.info(
            "%d parameters, %d windows an epoch, steps %d to %d, on %d device(s)",
            self.model.count_params(),
            self.plan.epoch_windows,
            self.progress.step,
            self.last_step,
            self.strategy.num_replicas_in_sync,
        )
        self._say_baseline()
        self.optimizer.learning_rate.assign(self.progress.plateau.learning_rate)
        test_steps = self.settings.test_every * self.steps_per_epoch
        bar = tqdm.tqdm(initial=self.progress.step, total=self.last_step, unit="step", desc="training", smoothing=0.05)
        batches = iter(self._batches())
        try:
            with bar:
                while self.progress.step < self.last_step:
                    next_test = (self.progress.step // test_steps + 1) * test_steps
                    self._train_until(min(next_test, self.last_step), batches, bar)
                    self._validate()
        except KeyboardInterrupt:
            # Between two points of the curves the optimizer alone knows how many steps were taken.
            self.progress = dataclasses.replace(self.progress, step=int(self.optimizer.iterations.numpy()))
            self._save()
            raise

    def _batches(self) -> tf.data.Dataset:
        """Global batches, divided over the devices."""
        windows = dataset.training_windows(
            self.shards,
            self.plan,
            batch_size=self.settings.batch_size,
            seed=self.settings.seed,
            first_step=self.progress.step,
        )
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        return self.strategy.experimental_distribute_dataset(windows.with_options(options))

    def _train_until(self, end: int, batches: object, bar: tqdm.tqdm) -> None:
        """Takes steps up to `end`, and writes the curves of the training loss and of the speed."""
        while self.progress.step < end:
            n_steps = min(self.settings.log_every - self.progress.step % self.settings.log_every, end - self.progress.step)
            started, losses = time.perf_counter(), []
            for batch in itertools.islice(batches, n_steps):
                losses.append(self._train_step(batch))
                bar.update()
            mean = float(tf.reduce_mean(tf.stack(losses)))
            self.progress = dataclasses.replace(self.progress, step=self.progress.step + n_steps)
            self._require_finite(mean)
            speed = n_steps * self.settings.batch_size / (time.perf_counter() - started)
            bar.set_postfix({"loss": f"{mean:.4f}", "windows/s": f"{speed:.1f}"})
            curves = {
                "loss/training": mean,
                "learning_rate": self.progress.plateau.learning_rate,
                "windows_per_second": speed,
            }
            self.summaries.curves(curves, step=self.progress.step)

    def _require_finite(self, mean_loss: float) -> None:
        if not math.isfinite(mean_loss):
            raise InputError(
                f"{self.settings.run_dir}: the training loss is {mean_loss} at step {self.progress.step}; the last "
                "checkpoint is kept: train again into another folder with a lower --learning_rate"
            )

    def _validate(self) -> None:
        """Measures the validation loss, keeps the best weights, moves the schedule and saves."""
        if self.validation_plan.epoch_windows:
            value = self.validation_loss()
            before = self.progress.plateau
            plateau = before.after(
                value,
                patience=self.settings.plateau_patience,
                factor=self.settings.plateau_factor,
                min_learning_rate=_MIN_LEARNING_RATE,
            )
            if value < before.best_loss:
                checkpoint.save_weights(self._best_weights, self.model)
            self.progress = dataclasses.replace(self.progress, plateau=plateau)
            self.optimizer.learning_rate.assign(plateau.learning_rate)
            self.summaries.curves({"loss/validation": value}, step=self.progress.step)
            logging.info("step %d: validation loss %.4f (best %.4f)", self.progress.step, value, plateau.best_loss)
        else:
            checkpoint.save_weights(self._best_weights, self.model)
        self._save()

    def validation_loss(self) -> float:
        """Mean loss over the validation windows, each of equal weight."""
        windows = dataset.fixed_windows(self.shards, self.validation_plan, batch_size=self.settings.batch_size)
        total = math.fsum(float(self._loss_sum(batch)) for batch in windows)
        return total / self.validation_plan.epoch_windows

    def _say_baseline(self) -> None:
        """Says what the mean spectrum per note reaches, the loss that a network has to beat."""
        if not self.validation_plan.epoch_windows or self.settings.loss != "mse":
            return
        n_pitches, n_bins = self.shards.spec.n_pitches, self.shards.spec.n_bins
        simplest = MeanSpectrum(n_pitches, n_bins)
        learnt_from = dataset.fixed_windows(self.shards, self.plan, batch_size=1).take(_BASELINE_WINDOWS)
        simplest.learn(learnt_from)
        value = simplest.squared_error(dataset.fixed_windows(self.shards, self.validation_plan, batch_size=1))
        logging.info("validation loss of the mean spectrum per note: %.4f", value)
        self.summaries.curves({"loss/mean_spectrum_per_note": value}, step=self.progress.step)

    def _save(self) -> None:
        checkpoint.save_checkpoint(self._checkpoints, self.model, self.optimizer, self.progress)
