"""Measures this machine's speed at each stage, beside a peer in the same run: a table, and JSON with --json.

    python tools/bench.py prepare [--audio=FILE --score=FILE]
    python tools/bench.py step [--width=0.25] [--batch_size=4] [--data=DIR | --source=CORPUS]
    python tools/bench.py input [--data=DIR | --source=CORPUS]
    python tools/bench.py perform [--model=DIR] [--score=FILE]
    python tools/bench.py phase [--audio=FILE] [--model=DIR [--score=FILE]]
    python tools/bench.py length [--minutes=60] [--model=DIR] [--score=FILE]
    python tools/bench.py joins [--model=DIR] [--score=FILE]
    python tools/bench.py start [--model=VOICE] [--score=FILE]

Without input of your own each makes some. Every figure is the median of several rounds, in which stage and peer take
turns; imports and tracing are left out, but of start, which is about them.
"""

import dataclasses
import json
import pathlib
import sys
import tempfile
from collections.abc import Callable, Sequence

from absl import flags as absl_flags

from pnet_tf import command
from pnet_tf.bench_timing import Figure
from pnet_tf.errors import UsageError
from pnet_tf.files import write_whole

WHAT = ("prepare", "step", "input", "perform", "phase", "length", "joins", "start")


def define_flags(flags: absl_flags.FlagValues) -> None:
    """Defines the flags of this command."""
    absl_flags.DEFINE_string("audio", None, "Recording for prepare and phase; its first --seconds.", flag_values=flags)
    absl_flags.DEFINE_string("score", None, "Score for every stage that performs or prepares.", flag_values=flags)
    absl_flags.DEFINE_string("data", None, "Shard set for input and step.", flag_values=flags)
    absl_flags.DEFINE_string("source", None, "Corpus to prepare for input and step, where no --data is.", flag_values=flags)
    absl_flags.DEFINE_string("instrument", "violin", "Of --source.", flag_values=flags)
    absl_flags.DEFINE_string(
        "model", None, "SavedModel for perform, phase, length and joins; voice folder for start.", flag_values=flags
    )
    absl_flags.DEFINE_string("json", None, "File to write the figures to.", flag_values=flags)
    absl_flags.DEFINE_float(
        "seconds", None, "Seconds of audio; default 60 for prepare, 30 for phase.", lower_bound=5, flag_values=flags
    )
    absl_flags.DEFINE_float("minutes", 60.0, "Minutes of the long score of length.", lower_bound=1, flag_values=flags)
    absl_flags.DEFINE_float("width", None, "Of the network; default 0.25 for step, 0.125 otherwise.", flag_values=flags)
    absl_flags.DEFINE_integer("batch_size", 4, "Of step and input.", lower_bound=1, flag_values=flags)
    absl_flags.DEFINE_integer("iterations", 32, "Of Griffin-Lim.", lower_bound=0, flag_values=flags)
    absl_flags.DEFINE_integer("rounds", 5, "Rounds to take the median of.", lower_bound=1, flag_values=flags)


def main(flags: absl_flags.FlagValues, arguments: Sequence[str]) -> None:
    """Measures what the one argument names.

    Raises:
      UsageError: it names nothing known.
    """
    if len(arguments) != 1 or arguments[0] not in WHAT:
        raise UsageError(f"expected one of {', '.join(WHAT)}, got {' '.join(arguments) or 'nothing'}")
    from pnet_tf import bench_length, bench_phase, bench_stages, bench_start, bench_step  # bring TensorFlow

    measure: Callable[[absl_flags.FlagValues, pathlib.Path], list[Figure]] = {
        "prepare": bench_stages.measure_prepare,
        "step": bench_step.measure_step,
        "input": bench_stages.measure_input,
        "perform": bench_stages.measure_perform,
        "phase": bench_phase.measure_phase,
        "length": bench_length.measure_length,
        "joins": bench_length.measure_joins,
        "start": bench_start.measure_start,
    }[arguments[0]]
    with tempfile.TemporaryDirectory(prefix="pnet-bench-") as scratch:
        figures = measure(flags, pathlib.Path(scratch))
    sys.stdout.write("\n".join(f"{figure.name:<88}{figure.value:>10.3f} {figure.unit}" for figure in figures) + "\n")
    if flags.json:
        record = {"bench": arguments[0], "figures": [dataclasses.asdict(figure) for figure in figures]}
        write_whole(pathlib.Path(flags.json), json.dumps(record | bench_stages.machine(), indent=1) + "\n")


def console() -> None:
    """`tools/bench.py`."""
    sys.exit(command.run(define_flags, main, allow_positional=True))


if __name__ == "__main__":
    console()
