"""The training loop: one for one device, many and many machines, with validation, schedule, checkpoints and curves."""

import contextlib
import dataclasses
import math
import signal
import time
from collections.abc import Iterator
from typing import NoReturn

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from pnet_tf import dataset, device_memory, loss, memory_probe, train_step
from pnet_tf.checkpoint import Writer
from pnet_tf.cluster import Cluster, open_cluster
from pnet_tf.errors import InputError
from pnet_tf.learner import build_learner, restore_learner
from pnet_tf.progress_line import ProgressLine
from pnet_tf.run_folder import BEST_WEIGHTS_NAME, made_with
from pnet_tf.schedule import annealed, warmed_up
from pnet_tf.settings import Settings
from pnet_tf.shard_set import ShardSet
from pnet_tf.stop_request import StopRequest
from pnet_tf.summaries import Summaries
from pnet_tf.validation import ShownWindow, Validation

CHECKPOINTS_NAME = "checkpoints"
_MIN_LEARNING_RATE = 1e-6
# Steps in a row whose gradient is not finite, under loss scaling, before it is no longer the scale that is wrong.
_MAX_OVERFLOWS = 50


class Trainer:
    """One run: what learns, and the loop over its steps."""

    def __init__(
        self,
        settings: Settings,
        shards: ShardSet,
        plan: dataset.WindowPlan,
        *,
        cluster: Cluster | None = None,
        stop: StopRequest | None = None,
    ) -> None:
        """Builds network and optimizer, from the newest whole checkpoint if there is one.

        Args:
          settings: as for `training.train`.
          shards: the opened data.
          plan: its training windows.
          cluster: where to compute; by default what the settings name.
          stop: what listens to signals; by default one that listens while `run` does.
        """
        self.settings, self.shards, self.plan = settings, shards, plan
        self.cluster = cluster or open_cluster(settings.strategy)
        self.cluster.require_equal_shares(settings.batch_size)
        self.steps_per_epoch = max(1, round(plan.epoch_windows / settings.batch_size))
        self.last_step = settings.steps if settings.steps is not None else settings.epochs * self.steps_per_epoch
        self.learner = build_learner(settings, shards.spec, self.cluster)
        checkpoints = settings.run_dir / CHECKPOINTS_NAME
        self.progress = restore_learner(self.learner, settings, checkpoints, self.cluster)
        self._saved = self.progress if self.progress.step else None
        self._options = train_step.StepOptions(
            settings.batch_size, clip_norm=settings.clip_norm, ema_decay=settings.ema_decay, jit=settings.jit
        )
        self.train_step = train_step.make_train_step(
            self.learner.model,
            self.learner.optimizer,
            loss.make_loss(settings.loss, **settings.loss_weights),
            self._options,
            strategy=self.cluster.strategy,
            averaged=self.learner.averaged,
        )
        # Without the loud weight: with it the value would fall where bins in doubt are drawn quiet.
        self._validated_loss = loss.make_loss(settings.loss, **settings.loss_weights | {"loud_weight": 0.0})
        self.validation = Validation(
            shards,
            self.learner.for_use,
            self._validated_loss,
            window_frames=settings.window_frames,
            batch_size=settings.batch_size,
            cluster=self.cluster,
        )
        going_on_from = self.progress.step
        self.summaries = Summaries(settings.run_dir, going_on_from=going_on_from) if self.cluster.is_chief else Summaries.silent()
        self.writer = Writer(checkpoints, keep=settings.keep)
        self._stop, self._is_stopping = stop or StopRequest(), False
        self._asked_in_step: int | None = None
        self._unseen: tuple[int, tf.Tensor] | None = None
        self._rate: float | None = None
        self._n_overflows, self._is_profiling = 0, False

    def close(self) -> None:
        """Waits for what is still being written."""
        try:
            self.writer.close()
        finally:
            self.summaries.close()

    def run(self, *, flag_text: str = "") -> bool:
        """Trains up to the last step, with validations on the way.

        Args:
          flag_text: the resolved flags, to show.

        Returns:
          Whether the training is at its end; otherwise it was asked to stop.

        Raises:
          InputError: the loss is no number any more, or the batch does not fit into a device.
          KeyboardInterrupt: a person interrupted it; the state is saved.
        """
        if self._is_over():
            self._say("%s: all %d steps are done", self.settings.run_dir, self.progress.step)
            return True
        self._begin(flag_text)
        shown = self.validation.shown_windows(self.settings.pictures) if self.cluster.is_chief else []
        memory = device_memory.batch_that_fits_named(
            self._fits, batch_size=self.settings.batch_size, n_replicas=self.cluster.n_replicas
        )
        line = ProgressLine(self.progress.step, self.last_step, is_shown=self.cluster.is_chief)
        with self._stop if not self._stop.is_listening else contextlib.nullcontext(), line, memory:
            self._stop.note_only()
            self._go_on(shown, line)
            # The others stay until the chief has written everything: without them its cluster would be broken.
            self.writer.finish()
            self.cluster.sum_of(np.zeros(1))
        return self._end()

    def _go_on(self, shown: list[ShownWindow], line: ProgressLine) -> None:
        """Steps and validations, up to the end or until there is a reason to stop."""
        batches = iter(self.batches())
        while not (self._is_over() or self._is_stopping):
            if self._validation_is_due():
                self._validate(shown)
            else:
                self.take_steps(batches, line)
        self.save()

    # --- what comes next

    @property
    def _test_steps(self) -> int:
        return self.settings.test_every * self.steps_per_epoch

    def _is_over(self) -> bool:
        is_flat = 0 < self.settings.early_stopping <= self.progress.plateau.n_since_best
        return (is_flat or self.progress.step >= self.last_step) and not self._validation_is_due()

    def _validation_is_due(self) -> bool:
        step = self.progress.step
        return (step % self._test_steps == 0 or step == self.last_step) and step > self.progress.validated_step

    def _next_point(self) -> int:
        """The step after which something else comes than a step: a point of the curves, a validation, the end."""
        step, log_every = self.progress.step, self.settings.log_every
        return min((step // log_every + 1) * log_every, (step // self._test_steps + 1) * self._test_steps, self.last_step)

    def batches(self) -> tf.data.Dataset:
        """This worker's part of each global batch, a batch a device."""
        windows = dataset.training_windows(
            self.shards,
            self.plan,
            batch_size=self.settings.batch_size,
            seed=self.settings.seed,
            first_step=self.progress.step,
            share=self.cluster.share,
            pitch_shift=self.settings.pitch_shift,
        )
        return self.cluster.distribute(windows)

    # --- steps

    def take_steps(self, batches: Iterator[train_step.Batch], line: ProgressLine) -> None:
        """Takes steps up to the next point of the curves, and writes it.

        The result of a step is looked at while the next one is computed: no device waits for a word from here.
        """
        end, first, points, data_sec = self._next_point(), self.progress.step, [], 0.0
        started, waited_sec = time.perf_counter(), self.writer.waited_sec
        while self.progress.step < end and not self._has_to_stop():
            self._profile()
            before = time.perf_counter()
            batch = next(batches)
            data_sec += time.perf_counter() - before
            self._set_learning_rate()
            result = self.train_step(batch, tf.constant(float(self._stop.received is not None)))
            self._look_at_last(points, line)
            self._unseen = (self.progress.step, result)
            step = self.progress.step + 1
            self.progress = dataclasses.replace(self.progress, step=step, epoch=step // self.steps_per_epoch)
            self.writer.raise_failure()
            if self.cluster.is_chief and self.writer.age_sec >= 60 * self.settings.checkpoint_minutes:
                self._look_at_last(points, line)
                self.save()
        self._look_at_last(points, line)
        self._is_stopping = self._asked_in_step is not None
        seconds = time.perf_counter() - started
        speed = (self.progress.step - first) * self.settings.batch_size / seconds
        line.speed(speed)
        shares = {"data": data_sec / seconds, "checkpoints": (self.writer.waited_sec - waited_sec) / seconds}
        self._draw_curves(np.array(points), speed, shares)

    def _has_to_stop(self) -> bool:
        """Whether a worker was asked to stop, one step after it was: the chief may have looked earlier than others."""
        return self._asked_in_step is not None and self.progress.step >= self._asked_in_step + 2

    def _look_at_last(self, points: list[np.ndarray], line: ProgressLine) -> None:
        """Waits for the last step, and looks at what it gave."""
        if self._unseen is None:
            return
        (step, result), self._unseen = self._unseen, None
        values = result.numpy()
        self._require_finite(step, values)
        if values[train_step.N_STOPPING] > 0 and self._asked_in_step is None:
            self._asked_in_step = step
        points.append(values)
        line.step(float(values[train_step.LOSS]))

    def _require_finite(self, step: int, values: np.ndarray) -> None:
        """Raises InputError where the step counted from 0 has spoilt the weights: names it, and the windows it saw."""
        overflow = not math.isfinite(values[train_step.GRADIENT_NORM])
        # With loss scaling such a step was left out, and the scale is halved.
        self._n_overflows = self._n_overflows + 1 if overflow and self.settings.precision == "mixed_float16" else 0
        is_borne = not overflow or 0 < self._n_overflows <= _MAX_OVERFLOWS
        if math.isfinite(values[train_step.LOSS]) and is_borne:
            return
        what = "gradient" if math.isfinite(values[train_step.LOSS]) else "training loss"
        number = values[train_step.GRADIENT_NORM if what == "gradient" else train_step.LOSS]
        rows = self.plan.batch(self.settings.seed, step, self.settings.batch_size)
        self._end_badly(f"the {what} is {number} at step {step + 1}, on {dataset.name_windows(self.shards, rows)}")

    def _end_badly(self, what: str) -> NoReturn:
        """Raises InputError: what is no number any more, what is left, and what to do."""
        self.writer.finish()  # or what it names is not yet the last
        raise InputError(
            f"{self.settings.run_dir}: {what}; {self.writer.kept()}: train again into another folder with a lower "
            "--learning_rate, or with --clip_norm"
        )

    def _set_learning_rate(self) -> None:
        """Gives the optimizer the rate of the next step, where it is another one."""
        step, rate = self.progress.step, self.progress.plateau.learning_rate
        rate = annealed(rate, step=step, last_step=self.last_step) if self.settings.schedule == "cosine" else rate
        rate = warmed_up(rate, step=step, warmup_steps=self.settings.warmup_steps)
        if rate != self._rate:
            self.learner.optimizer.learning_rate.assign(rate)
            self._rate = rate

    def _profile(self) -> None:
        """Starts and ends the profile of the steps that were asked for, counted from 1."""
        if self.settings.profile_steps is None or not self.cluster.is_chief:
            return
        first, last = self.settings.profile_steps
        if self.progress.step + 1 == first:
            tf.profiler.experimental.start(str(self.settings.run_dir))
            self._is_profiling = True
        elif self.progress.step >= last and self._is_profiling:
            self._end_profile()

    def _end_profile(self) -> None:
        if self._is_profiling:
            tf.profiler.experimental.stop()
            self._is_profiling = False

    def _fits(self, n_windows: int) -> bool:
        """Whether one device can learn from so many windows at once."""
        return memory_probe.fits(memory_probe.Probe(self.settings, self.shards.spec, n_windows), self.learner)

    # --- between steps

    def _validate(self, shown: list[ShownWindow]) -> None:
        """Measures the validation loss, keeps the best weights, moves the schedule, saves and shows."""
        plateau, step = self.progress.plateau, self.progress.step
        best_weights = self.settings.run_dir / BEST_WEIGHTS_NAME
        if self.validation.plan.epoch_windows:
            value = self.validation.loss(go_on=self._may_go_on)
            if value is None:
                self._is_stopping = True
                return
            if not math.isfinite(value):
                self._end_badly(f"the validation loss is {value} at step {step}")
            before, plateau = plateau, plateau.after(
                value,
                patience=self.settings.plateau_patience,
                factor=1.0 if self.settings.schedule == "cosine" else self.settings.plateau_factor,
                min_learning_rate=_MIN_LEARNING_RATE,
            )
            if value < before.best_loss and self.cluster.is_chief:
                self.writer.save_weights(best_weights, self.learner.for_use)
            self.summaries.curves({"loss/validation": value}, step=step)
            self._say("step %d: validation loss %.4f (best %.4f)", step, value, plateau.best_loss)
        elif self.cluster.is_chief:
            self.writer.save_weights(best_weights, self.learner.for_use)
        # Before the checkpoint, after which a killed training would not come back to this step.
        self._show(shown)
        self.progress = dataclasses.replace(self.progress, plateau=plateau, validated_step=step)
        self.save()

    def _may_go_on(self) -> bool:
        """Whether a validation may go on: alone a worker may drop it, several have to agree, which steps alone do."""
        return self._stop.received is None or self.cluster.n_workers > 1

    def _show(self, shown: list[ShownWindow]) -> None:
        """Draws the shown windows as they are now."""
        for window in shown:
            self.summaries.window(
                window.name,
                **{name: window.batch[name][0].numpy() for name in ("pianoroll", "onset_offset")},
                target=window.batch["log_power"][0].numpy(),
                prediction=self.validation.draw(window),
                spec=self.shards.spec,
                start_sec=window.start_sec,
                title=f"{window.name}, step {self.progress.step}",
                step=self.progress.step,
            )

    def _draw_curves(self, points: np.ndarray, speed: float, shares: dict[str, float]) -> None:
        """Writes a point of each curve: what steps gave, float32 [steps, 3], and where the time went."""
        norms = points[:, train_step.GRADIENT_NORM]
        values = {
            "loss/training": float(points[:, train_step.LOSS].mean()),
            "learning_rate": self._rate,
            "gradient_norm/mean": float(norms.mean()),
            "gradient_norm/largest": float(norms.max()),
            "windows_per_second": speed,
            **{f"share_of_time_waiting/{what}": share for what, share in shares.items()},
        }
        if self.settings.precision == "mixed_float16":
            values["loss_scale"] = float(keras.ops.convert_to_numpy(self.learner.optimizer.dynamic_scale))
        self.summaries.curves(values, step=self.progress.step)

    def save(self) -> None:
        """Begins to write a checkpoint, if there is something new to write."""
        if self.cluster.is_chief and self.progress != self._saved:
            self.writer.save_checkpoint(self.learner.parts(), self.progress)
            self._saved = self.progress

    # --- what is said

    def _say(self, message: str, *values: object) -> None:
        if self.cluster.is_chief:
            logging.info(message, *values)

    def _begin(self, flag_text: str) -> None:
        """Says what is trained on what, and what there is to beat."""
        model, step = self.learner.model, self.progress.step
        self._say(
            "%d parameters, %d windows an epoch, steps %d to %d, on %d device(s) of %d machine(s)",
            model.count_params(),
            self.plan.epoch_windows,
            step,
            self.last_step,
            self.cluster.n_replicas,
            self.cluster.n_workers,
        )
        self._warn_of_flags_without_effect()
        if step or not self.cluster.is_chief:
            return
        config_json = self.settings.config.to_json()
        self.summaries.describe_run(
            flag_text=flag_text, spec=self.shards.spec, config_json=config_json, versions=made_with()
        )
        if self.validation.plan.epoch_windows and self._validated_loss is loss.squared_error:
            value = self.validation.mean_spectrum_loss(self.plan)
            self._say("validation loss of the mean spectrum per note: %.4f", value)
            self.summaries.curves({"loss/mean_spectrum_per_note": value}, step=step)

    def _warn_of_flags_without_effect(self) -> None:
        if not self.cluster.is_chief:
            return
        if not self.validation.plan.epoch_windows:
            logging.warning(
                "%s has no validation part: the rate does not fall, nothing ends the training early, no window is shown, and "
                "the last weights are the best",
                self.shards.folder,
            )
        first = self.settings.profile_steps and self.settings.profile_steps[0]
        if first and not self.progress.step < first <= self.last_step:
            steps = f"{self.progress.step + 1} to {self.last_step}"
            logging.warning("--profile_steps begins at step %d, and steps %s are taken: there will be no profile", first, steps)

    def _end(self) -> bool:
        """Says how it ended, and whether that is the end."""
        self._end_profile()
        step, received = self.progress.step, self._stop.received
        if received is signal.SIGINT:
            raise KeyboardInterrupt
        if self._is_over():
            if step < self.last_step:
                n = self.progress.plateau.n_since_best
                self._say("stopped early at step %d: %d validations without a new best", step, n)
            run_dir = self.settings.run_dir
            self._say("%s: export it with pnet-export --run_dir=%s --out=DIR", run_dir, run_dir)
            return True
        logging.info("asked to stop: saved at step %d of %d; the same command goes on from there", step, self.last_step)
        return False
