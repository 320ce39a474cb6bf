"""What `bench step` measures: a training step beside the machine's matrix product, and the loop around it."""

import dataclasses
import pathlib
import statistics
from collections.abc import Callable

import tensorflow as tf
from absl import flags as absl_flags

from pnet_tf import bench_made_up, cluster, dataset, loss, train_step, trainer, unet
from pnet_tf.bench_timing import Figure, seconds_of, take_turns
from pnet_tf.model_config import ModelConfig
from pnet_tf.progress_line import ProgressLine
from pnet_tf.settings import Settings
from pnet_tf.spec import FeatureSpec

WINDOW_FRAMES = 864
# Floating-point operations of a training step for one window of 864 frames, counted from the network's plan: three
# times the forward pass, two for a multiply-add.
STEP_GFLOP = {0.25: 18.0, 0.125: 5.6, 1.0: 236.4}
_MATRIX, _N_PRODUCTS = 2048, 10
_N_STEPS = 8


def measure_step(flags: absl_flags.FlagValues, scratch: pathlib.Path) -> list[Figure]:
    """A training step beside the machine's own matrix multiplication, and the loop beside its bare step."""
    width = 0.25 if flags.width is None else flags.width
    step, batch, convolutions = training_step(width, flags.batch_size)
    left, right = (tf.random.stateless_normal([_MATRIX, _MATRIX], [seed, 0]) for seed in (0, 1))
    multiply = tf.function(lambda: tf.matmul(left, right)[0, 0], autograph=False)

    def products() -> None:
        """Some matrix products, so that one timing is long enough."""
        for _ in range(_N_PRODUCTS):
            multiply().numpy()

    step_sec, products_sec, _ = take_turns(lambda: step(batch).numpy(), products, rounds=max(flags.rounds, 7))
    rate = _N_PRODUCTS * 2 * _MATRIX**3 / products_sec / 1e9
    work = STEP_GFLOP.get(width, 0.0) * flags.batch_size
    return [
        Figure(f"step at width {width:g}, batch {flags.batch_size}", step_sec, "s"),
        Figure("windows a second", flags.batch_size / step_sec, "1/s"),
        Figure("work of the step", work / step_sec, "GFLOP/s"),
        Figure(f"tf.matmul of {_MATRIX} x {_MATRIX}, float32", rate, "GFLOP/s"),
        Figure("step / matmul", 100 * work / step_sec / rate, "%"),
        Figure("convolutions and their gradients in the graph", convolutions.n_plain, ""),
        Figure("grouped or handed to XLA", convolutions.n_fallbacks, ""),
        *_measure_loop(flags, scratch, width),
    ]


def _measure_loop(flags: absl_flags.FlagValues, scratch: pathlib.Path, width: float) -> list[Figure]:
    """The trainer's loop, with its data, curves and checkpoints, beside its own step on one batch that lies ready."""
    shards = bench_made_up.shards_for(flags, scratch)
    settings = Settings(
        *(shards.folder, scratch / "run", ModelConfig(width=width)),
        **{"strategy": "one", "batch_size": flags.batch_size, "log_every": _N_STEPS, "steps": 10**6, "test_every": 10**6},
    )
    plan = dataset.plan_windows(shards, "train", window_frames=settings.window_frames)
    ours = trainer.Trainer(settings, shards, plan)
    batches = iter(ours.batches())
    batch = next(batches)

    def loop() -> None:
        """Some steps of the loop, and a point of the curves."""
        ours.take_steps(batches, line)

    def bare() -> None:
        """As many steps and nothing else."""
        for _ in range(_N_STEPS):
            ours.train_step(batch, tf.constant(0.0)).numpy()

    with ProgressLine(0, settings.steps, is_shown=False) as line:
        loop_sec, bare_sec, ratio = take_turns(loop, bare, rounds=flags.rounds)
        saving, without = [], []
        for _ in range(flags.rounds):
            before = ours.writer.waited_sec
            ours.save()
            pause = ours.writer.waited_sec - before
            saving.append((pause, pause + seconds_of(loop)))
            ours.writer.finish()
            without.append(seconds_of(loop))
    ours.close()
    interval_sec = 60 * settings.checkpoint_minutes
    pause_sec = statistics.median(pause for pause, _ in saving)
    slower_sec = statistics.median(total - plain for (_, total), plain in zip(saving, without, strict=True))
    return [
        Figure("a step of the loop", loop_sec / _N_STEPS, "s"),
        Figure("its step alone, in turn with it", bare_sec / _N_STEPS, "s"),
        Figure("loop / step alone", ratio, "x"),
        Figure("training waits for a checkpoint", pause_sec, "s"),
        Figure(f"of the time, one every {settings.checkpoint_minutes:g} minutes", 100 * pause_sec / interval_sec, "%"),
        Figure("steps are later for a checkpoint and its writing", slower_sec, "s"),
        Figure(f"of the time, one every {settings.checkpoint_minutes:g} minutes, all told", 100 * slower_sec / interval_sec, "%"),
    ]


@dataclasses.dataclass(frozen=True)
class Convolutions:
    """What the graph of a step computes its convolutions with.

    Attributes:
      n_plain: convolutions and their gradients, by TensorFlow's own kernels.
      n_fallbacks: grouped convolutions, and whatever is handed to XLA.
    """

    n_plain: int
    n_fallbacks: int


def training_step(width: float, batch_size: int) -> tuple[Callable, dict[str, tf.Tensor], Convolutions]:
    """The trainer's own step, a batch [batch_size, frames, ...] for it, and what its graph is made of."""
    spec, config = FeatureSpec(), ModelConfig(width=width)
    strategy = cluster.open_cluster("one").strategy
    with strategy.scope():
        model = unet.build_performance_net(spec, config)
        optimizer = train_step.make_optimizer(1e-3)
        optimizer.build(model.trainable_variables)
    step = train_step.make_train_step(
        model, optimizer, loss.squared_error, train_step.StepOptions(batch_size), strategy=strategy
    )
    shape = [batch_size, WINDOW_FRAMES]
    roll = tf.cast(tf.random.stateless_uniform([*shape, spec.n_pitches], [0, 0]) < 0.02, tf.float32)
    target = tf.random.stateless_uniform([*shape, spec.n_bins], [0, 1], maxval=6.0)
    batch = {"pianoroll": roll, "onset_offset": roll, "log_power": target}
    going_on = tf.constant(0.0)
    operations = step.get_concrete_function(batch, going_on).graph.get_operations()
    convolutions = [operation for operation in operations if operation.type.startswith("Conv2D")]
    return lambda batch: step(batch, going_on), batch, Convolutions(len(convolutions), sum(map(_is_fallback, operations)))


def _is_fallback(operation: tf.Operation) -> bool:
    if operation.type in ("XlaLaunch", "XlaCompileOnDemand") or "_XlaMustCompile" in operation.node_def.attr:
        return True
    if operation.type != "Conv2D":
        return False
    image, kernel = operation.inputs[0].shape, operation.inputs[1].shape
    return image[-1] is not None and kernel[2] is not None and image[-1] != kernel[2]
