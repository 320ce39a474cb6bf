"""Trains a network on a shard set.

    python -m pnet_tf.train --flagfile=configs/violin.flags --data=data/violin

Started again with the same flags, a training goes on where it stopped. Curves: tensorboard --logdir=runs
"""

import dataclasses
import math
import pathlib
import sys

from absl import flags as absl_flags
from absl import logging

from pnet_tf import command, remote
from pnet_tf.corpus import INSTRUMENTS
from pnet_tf.errors import InputError, UsageError
from pnet_tf.settings import LOSS_WEIGHTS, SCHEDULES
from pnet_tf.stop_request import StopRequest, StopRequestedError


def define_flags(flags: absl_flags.FlagValues) -> None:
    """Defines the flags of this command."""
    _define_places(flags)
    _define_model(flags)
    _define_recipe(flags)
    _define_machine(flags)
    _define_keeping(flags)


def _define_places(flags: absl_flags.FlagValues) -> None:
    absl_flags.DEFINE_enum(
        "instrument", None, sorted(INSTRUMENTS), "What the data must hold; default: whatever it holds.", flag_values=flags
    )
    absl_flags.DEFINE_string("data", None, "The shard set that prepare --out wrote.", flag_values=flags, required=True)
    absl_flags.DEFINE_string("experiment", "default", "Name of the run.", flag_values=flags)
    absl_flags.DEFINE_string("run_dir", None, "Run folder; default: runs/<experiment>.", flag_values=flags)
    absl_flags.DEFINE_string(
        "init_from", None, "A run folder, voice folder or shipped voice to begin with, not with chance.", flag_values=flags
    )


def _define_model(flags: absl_flags.FlagValues) -> None:
    absl_flags.DEFINE_string("preset", "paper", "Plan of the network's layers.", flag_values=flags)
    absl_flags.DEFINE_float("width", 1.0, "Factor on every number of hidden channels.", flag_values=flags)
    absl_flags.DEFINE_list("bands", "2,4,8,16", "Bands of each multi-band residual block.", flag_values=flags)
    absl_flags.DEFINE_enum(
        "norm",
        "instance",
        ["instance", "none"],
        "What follows a convolution: instance, the paper's, loses the level over a window; none keeps it.",
        flag_values=flags,
    )
    _integer(flags, "max_channels", None, 1, "Most channels of a hidden layer; by default those of the plan.")
    absl_flags.DEFINE_bool(
        "note_spectra", False, "Learn a spectrum of each pitch as it begins, lasts and rings on, which the layers add to.",
        flag_values=flags,
    )
    absl_flags.DEFINE_bool(
        "per_recording",
        False,
        "Learn what is each recording's own, player, room and microphone, apart; an export sounds like those that are named.",
        flag_values=flags,
    )


def _define_recipe(flags: absl_flags.FlagValues) -> None:
    _integer(flags, "epochs", 300, 1, "Epochs to train.")
    _integer(flags, "steps", None, 1, "Optimizer steps to train, instead of --epochs.")
    _integer(flags, "test_every", 10, 1, "Epochs between validations; each also saves a checkpoint.")
    _integer(flags, "batch_size", 16, 1, "Windows in a batch, over all devices and machines together.")
    _integer(flags, "window_frames", 864, 16, "Length of a window; 864 frames are 5 seconds.")
    _integer(flags, "seed", 0, 0, "Of the first weights and of the order of windows.")
    absl_flags.DEFINE_enum("loss", "mse", ["mse", "mae"], "Loss on log power.", flag_values=flags)
    _number(flags, "variance_weight", 0.0, "Weight of a second loss: how far each bin moves over a window's frames. 0: none.")
    _number(flags, "level_weight", 0.0, "Weight of a third loss: a window's levels, from quietest to loudest. 0: none.")
    _number(flags, "cosine_weight", 0.0, "Weight of a fourth loss: the shape of each frame's amplitudes. 0: none.")
    _number(flags, "loud_weight", 0.0, "How much more bins weigh in the loss that are drawn loud. 0: all weigh alike.")
    _number(flags, "learning_rate", 1e-3, "Of Adam, after the warm-up.")
    _integer(flags, "warmup_steps", 0, 0, "Steps over which the learning rate rises from 0, evenly.")
    absl_flags.DEFINE_enum(
        "schedule",
        "plateau",
        list(SCHEDULES),
        "How the learning rate falls: at validations without a new best, or as half a cosine that ends with the training.",
        flag_values=flags,
    )
    _integer(flags, "plateau_patience", 3, 0, "Validations without a new best before the learning rate falls.")
    _number(flags, "plateau_factor", 0.5, "What the learning rate falls by.", upper=1.0)
    _integer(flags, "early_stopping", 0, 0, "Validations without a new best before the training ends; 0 for never.")
    _number(flags, "clip_norm", 0.0, "Longest gradient, over all weights together; longer ones are shortened. 0: none is.")
    _number(flags, "ema_decay", 0.0, "Of averaged weights, which then are validated and exported; 0: none.", upper=0.999999)
    _integer(flags, "pitch_shift", 0, 0, "Semitones that every other training window is moved by at most.", upper=12)


def _define_machine(flags: absl_flags.FlagValues) -> None:
    absl_flags.DEFINE_enum(
        "strategy",
        "mirrored",
        ["mirrored", "multiworker", "one"],
        "mirrored: every GPU of this machine; multiworker: those of all machines that TF_CONFIG or SLURM names; one: one device.",
        flag_values=flags,
    )
    absl_flags.DEFINE_enum(
        "precision",
        "float32",
        ["float32", "mixed_bfloat16", "mixed_float16", "float64"],
        "Of the computation; norms, loss and weights are never in halves. float64 is for checking that devices agree.",
        flag_values=flags,
    )
    absl_flags.DEFINE_bool("jit", False, "Let XLA compile the forward and backward pass.", flag_values=flags)
    absl_flags.DEFINE_bool(
        "deterministic",
        None,
        "Same machine, same flags, same weights to the last bit, interrupted or not. By default where there is no GPU, since "
        "there it costs nothing, and without --jit, which cannot promise it.",
        flag_values=flags,
    )


def _define_keeping(flags: absl_flags.FlagValues) -> None:
    _integer(flags, "log_every", 20, 1, "Steps between points of the curves.")
    _number(flags, "checkpoint_minutes", 10.0, "Minutes between checkpoints; 0 saves at each step.")
    _integer(flags, "keep", 2, 1, "Checkpoints that are kept.")
    _integer(flags, "pictures", 2, 0, "Validation windows that TensorBoard shows, as pictures and sound.", upper=64)
    absl_flags.DEFINE_list("profile_steps", None, "First and last step of a profile for TensorBoard.", flag_values=flags)


def _integer(
    flags: absl_flags.FlagValues, name: str, default: int | None, lower: int, text: str, *, upper: int = 2**31 - 1
) -> None:
    """Defines a whole number of at least `lower`."""
    absl_flags.DEFINE_integer(name, default, text, lower_bound=lower, upper_bound=upper, flag_values=flags)


def _number(
    flags: absl_flags.FlagValues, name: str, default: float, text: str, *, upper: float | None = None
) -> None:
    """Defines a number of at least 0."""
    absl_flags.DEFINE_float(name, default, text, lower_bound=0.0, upper_bound=upper, flag_values=flags)


def main(flags: absl_flags.FlagValues) -> None:
    """Trains as the flags say.

    Raises:
      UsageError: a flag's value cannot be used.
      InputError: data or run folder cannot be used.
    """
    try:
        with StopRequest() as stop:
            _train(flags, stop)
    except StopRequestedError:
        logging.info("asked to stop before the first step; the same command begins again")


def _train(flags: absl_flags.FlagValues, stop: StopRequest) -> None:
    bands = _whole_numbers(flags, "bands", "2,4,8,16")
    for name in (*LOSS_WEIGHTS, "learning_rate", "plateau_factor", "clip_norm", "ema_decay", "checkpoint_minutes"):
        if not math.isfinite(flags[name].value):
            raise UsageError(f"--{name}={flags[name].value}: expected a number")
    if flags.init_from == "":
        raise UsageError("--init_from= names nothing: give a run folder, a voice folder or the name of a shipped voice")
    if flags.per_recording and not flags.note_spectra:
        raise UsageError("--per_recording: a recording's own colour belongs to the notes' spectra; give --note_spectra too")
    profile_steps = _profile_steps(flags)
    import tensorflow as tf

    from pnet_tf import settings, training, unet  # bring TensorFlow

    try:
        names = ("preset", "width", "norm", "max_channels")
        config = unet.ModelConfig(bands=bands, **{name: flags[name].value for name in names})
    except InputError as error:
        raise UsageError(str(error)) from error
    if _is_deterministic(flags, has_gpu=bool(tf.config.list_physical_devices("GPU"))):
        tf.config.experimental.enable_op_determinism()
    run_dir = pathlib.Path(flags.run_dir or pathlib.Path("runs") / flags.experiment)
    names = {field.name for field in dataclasses.fields(settings.Settings)}
    chosen = settings.Settings(
        **{
            **{name: flags[name].value for name in names if name in flags},
            "data": remote.path_of(flags.data),
            "run_dir": run_dir,
            "config": config,
            "profile_steps": profile_steps,
        }
    )
    training.train(chosen, flag_text=flags.flags_into_string(), stop=stop)


def _is_deterministic(flags: absl_flags.FlagValues, *, has_gpu: bool) -> bool:
    if flags.deterministic and flags.jit:
        raise UsageError("--deterministic and --jit: XLA has no deterministic gradient of max-pooling; give one of the two")
    return flags.deterministic if flags.deterministic is not None else not (has_gpu or flags.jit)


def _whole_numbers(flags: absl_flags.FlagValues, name: str, example: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in flags[name].value)
    except ValueError as error:
        text = ",".join(flags[name].value)
        raise UsageError(f"--{name}={text}: expected whole numbers, such as {example}") from error


def _profile_steps(flags: absl_flags.FlagValues) -> tuple[int, int] | None:
    if not flags.profile_steps:
        return None
    steps = _whole_numbers(flags, "profile_steps", "100,110")
    if len(steps) != 2 or not 1 <= steps[0] <= steps[1]:
        raise UsageError(f"--profile_steps={','.join(flags.profile_steps)}: expected the first and the last step, as 100,110")
    return steps


def console() -> None:
    """`pnet-train`."""
    sys.exit(command.run(define_flags, main))


if __name__ == "__main__":
    console()
