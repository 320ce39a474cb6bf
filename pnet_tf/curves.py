"""Draws the loss curves of a training run as one picture, and prints the figures.

    python tools/draw_curves.py --run_dir=runs/violin --out=curves.png
"""

import pathlib
import sys

import numpy as np
from absl import flags as absl_flags

from pnet_tf import command
from pnet_tf.errors import InputError
from pnet_tf.picture import draw_curve

BASELINE = "loss/mean_spectrum_per_note"
_CURVES = {"loss/training": "training", "loss/validation": "validation"}


def define_flags(flags: absl_flags.FlagValues) -> None:
    """Defines the flags of this command."""
    absl_flags.DEFINE_string("run_dir", None, "Run folder of a training.", flag_values=flags, required=True)
    absl_flags.DEFINE_string("out", None, "The png to write.", flag_values=flags, required=True)
    absl_flags.DEFINE_string("title", "", "Line above the curves.", flag_values=flags)


def main(flags: absl_flags.FlagValues) -> None:
    """Draws and prints as the flags say.

    Raises:
      InputError: no run folder, or one without curves.
    """
    points = read_curves(pathlib.Path(flags.run_dir))
    missing = [name for name in _CURVES if name not in points]
    if missing:
        raise InputError(f"{flags.run_dir}: has no curve {', '.join(missing)}; give a --run_dir that has been validated")
    steps = sorted({step for name in _CURVES for step in points[name]})
    curves = {label: [points[name].get(step, np.nan) for step in steps] for name, label in _CURVES.items()}
    baseline = next(iter(points.get(BASELINE, {}).values()), None)
    reference = None if baseline is None else ("mean spectrum per note, on validation", baseline)
    draw_curve(flags.out, steps, curves, title=flags.title, value_label="mean squared error", reference=reference)
    sys.stdout.write("\n".join(describe(points)) + "\n")


def read_curves(run_dir: pathlib.Path) -> dict[str, dict[int, float]]:
    """The scalars of a run's event files.

    Returns:
      By name, the value at each step; what a killed training wrote of steps that were taken again is left out.

    Raises:
      InputError: there is no event file.
    """
    if not any(run_dir.glob("events.out.tfevents.*")):
        raise InputError(f"{run_dir}: holds no TensorBoard event file; give the --run_dir of a training")
    from tensorboard.backend.event_processing import plugin_event_accumulator
    from tensorboard.util import tensor_util

    events = plugin_event_accumulator.EventAccumulator(
        str(run_dir), size_guidance={plugin_event_accumulator.TENSORS: 0}
    )
    events.Reload()
    return {
        name: {event.step: float(tensor_util.make_ndarray(event.tensor_proto)) for event in events.Tensors(name)}
        for name in events.Tags()["tensors"]
        if not name.startswith(("run/", "windows/", "audio/"))
    }


def describe(points: dict[str, dict[int, float]]) -> list[str]:
    """The figures of the curves, a line each."""
    validation = points["loss/validation"]
    best_step = min(validation, key=validation.__getitem__)
    best = validation[best_step]
    lines = [f"validation loss    {best:.4f} at its lowest, step {best_step} of {max(points['loss/training'])}"]
    if BASELINE in points:
        baseline = next(iter(points[BASELINE].values()))
        lines += [
            f"mean spectrum      {baseline:.4f} on the same windows",
            f"difference         {100 * (best / baseline - 1):+.1f} %",
        ]
    if "windows_per_second" in points:
        lines.append(f"windows a second   {np.median(list(points['windows_per_second'].values())):.1f} in the median")
    return lines


def console() -> None:
    """`tools/draw_curves.py`."""
    sys.exit(command.run(define_flags, main))


if __name__ == "__main__":
    console()
