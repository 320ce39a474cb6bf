"""Trains a network on a shard set.

    python -m pnet_tf.train --flagfile=configs/violin.flags --data=data/violin

Started again with the same flags, a training goes on where it stopped. Curves: tensorboard --logdir=runs
"""

import math
import pathlib
import sys

from absl import flags as absl_flags
from absl import logging

from pnet_tf import command
from pnet_tf.corpus import INSTRUMENTS
from pnet_tf.errors import InputError, UsageError


def define_flags(flags: absl_flags.FlagValues) -> None:
    """Defines the flags of this command."""
    _define_places(flags)
    _define_model(flags)
    _define_recipe(flags)


def _define_places(flags: absl_flags.FlagValues) -> None:
    absl_flags.DEFINE_enum(
        "instrument", None, sorted(INSTRUMENTS), "What the data must hold; default: whatever it holds.", flag_values=flags
    )
    absl_flags.DEFINE_string("data", None, "The shard set that prepare --out wrote.", flag_values=flags, required=True)
    absl_flags.DEFINE_string("experiment", "default", "Name of the run.", flag_values=flags)
    absl_flags.DEFINE_string("run_dir", None, "Run folder; default: runs/<experiment>.", flag_values=flags)


def _define_model(flags: absl_flags.FlagValues) -> None:
    absl_flags.DEFINE_string("preset", "paper", "Plan of the network's layers.", flag_values=flags)
    absl_flags.DEFINE_float("width", 1.0, "Factor on every number of hidden channels.", flag_values=flags)
    absl_flags.DEFINE_list("bands", "2,4,8,16", "Bands of each multi-band residual block.", flag_values=flags)


def _define_recipe(flags: absl_flags.FlagValues) -> None:
    def integer(name: str, default: int | None, lower: int, text: str, *, upper: int = 2**31 - 1) -> None:
        """A whole number of at least `lower`."""
        absl_flags.DEFINE_integer(name, default, text, lower_bound=lower, upper_bound=upper, flag_values=flags)

    def number(name: str, default: float, text: str, *, upper: float | None = None) -> None:
        """A number of at least 0."""
        absl_flags.DEFINE_float(name, default, text, lower_bound=0.0, upper_bound=upper, flag_values=flags)

    integer("epochs", 300, 1, "Epochs to train.")
    integer("steps", None, 1, "Optimizer steps to train, instead of --epochs.")
    integer("test_every", 10, 1, "Epochs between validations; each also saves a checkpoint.")
    integer("batch_size", 16, 1, "Windows in a batch, over all devices together.")
    integer("window_frames", 864, 16, "Length of a window; 864 frames are 5 seconds.")
    integer("plateau_patience", 3, 0, "Validations without a new best before the learning rate falls.")
    integer("seed", 0, 0, "Of the first weights and of the order of windows.")
    integer("log_every", 20, 1, "Steps between points of the curves.")
    number("learning_rate", 1e-3, "Of Adam, at the start.")
    number("plateau_factor", 0.5, "What the learning rate falls by.", upper=1.0)
    absl_flags.DEFINE_enum("loss", "mse", ["mse", "mae"], "Loss on log power.", flag_values=flags)
    absl_flags.DEFINE_enum(
        "strategy", "mirrored", ["mirrored", "one"], "mirrored: every GPU there is; one: one device.", flag_values=flags
    )


def main(flags: absl_flags.FlagValues) -> None:
    """Trains as the flags say.

    Raises:
      UsageError: a flag's value cannot be used.
      InputError: data or run folder cannot be used.
    """
    try:
        bands = tuple(int(number) for number in flags.bands)
    except ValueError as error:
        raise UsageError(f"--bands={','.join(flags.bands)}: expected whole numbers, such as 2,4,8,16") from error
    for name in ("learning_rate", "plateau_factor"):
        if not math.isfinite(flags[name].value):
            raise UsageError(f"--{name}={flags[name].value}: expected a number")
    from pnet_tf import trainer, unet  # bring TensorFlow

    try:
        config = unet.ModelConfig(preset=flags.preset, width=flags.width, bands=bands)
    except InputError as error:
        raise UsageError(str(error)) from error
    run_dir = pathlib.Path(flags.run_dir or pathlib.Path("runs") / flags.experiment)
    names = ("instrument", "epochs", "steps", "test_every", "batch_size", "window_frames", "loss", "learning_rate")
    names += ("plateau_factor", "plateau_patience", "seed", "strategy", "log_every")
    settings = trainer.Settings(
        data=pathlib.Path(flags.data),
        run_dir=run_dir,
        config=config,
        **{name: flags[name].value for name in names},
    )
    trainer.train(settings, flag_text=flags.flags_into_string())
    logging.info("%s: export it with python tools/export_savedmodel.py --run_dir=%s --out=DIR", run_dir, run_dir)


def console() -> None:
    """`pnet-train`."""
    sys.exit(command.run(define_flags, main))


if __name__ == "__main__":
    console()
