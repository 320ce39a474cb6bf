"""Says how near performed scores are to recordings, beside ceilings and controls: a table, JSON, and a page to listen to.

    python tools/evaluate.py --model=models/violin --source=musicnet.tar.gz --out=report.json --html=report

A source is whatever `prepare` reads. Every score of its test part is performed and compared with its recording, and so are
the recording itself, the recording through the network's features and back, the recording 3 s late, the mean spectrum per
note, and a soundfont where FluidSynth is installed.
"""

import json
import math
import pathlib
import sys

from absl import flags as absl_flags
from absl import logging

from pnet_tf import command, corpus, evaluation_plan, limits
from pnet_tf.errors import InputError, UsageError
from pnet_tf.evaluation_plan import CONTROLS
from pnet_tf.files import write_whole
from pnet_tf.remote import path_of


def define_flags(flags: absl_flags.FlagValues) -> None:
    """Defines the flags of this command."""
    absl_flags.DEFINE_multi_string(
        "model", None, "A SavedModel, voice folder or shipped voice; again, or with commas, for several.",
        flag_values=flags, required=True,
    )
    absl_flags.DEFINE_string("source", None, "Recordings with scores, as prepare takes them.", flag_values=flags, required=True)
    absl_flags.DEFINE_string("out", None, "The JSON to write.", flag_values=flags, required=True)
    absl_flags.DEFINE_string("html", None, "Folder for a page with sounds and pictures; must not exist.", flag_values=flags)
    absl_flags.DEFINE_enum("split", "test", ["test", "train"], "Which part of the source.", flag_values=flags)
    absl_flags.DEFINE_list("recordings", [], "Only these recordings of the part.", flag_values=flags)
    absl_flags.DEFINE_float("seconds", None, "Only so many seconds from the beginning of each recording.", flag_values=flags)
    absl_flags.DEFINE_string("instrument", None, "Of the recordings; default: the models'.", flag_values=flags)
    absl_flags.DEFINE_string("part", None, "The part that plays, where your own scores have several.", flag_values=flags)
    absl_flags.DEFINE_integer(
        "iterations", 32, "Iterations of Griffin-Lim.", lower_bound=0, upper_bound=100_000, flag_values=flags
    )
    absl_flags.DEFINE_list("seed", ["0"], "Seeds to perform with; several, with commas, give their spread.", flag_values=flags)
    absl_flags.DEFINE_list(
        "controls", list(CONTROLS), f"Beside the models: some of {','.join(CONTROLS)}.", flag_values=flags
    )
    absl_flags.DEFINE_string("soundfont", None, "For that control; default: one of this system's.", flag_values=flags)
    absl_flags.DEFINE_enum(
        "resampling", "auto", ["auto", "recordings", "segments"],
        "Units of the bootstrap intervals; auto: recordings where there are at least 8.", flag_values=flags,
    )
    absl_flags.DEFINE_float("segment_sec", 10.0, "Length of a segment, about.", flag_values=flags)
    absl_flags.DEFINE_integer(
        "resamples", 1000, "Resamples for the intervals; 0 for none.", lower_bound=0, upper_bound=100_000, flag_values=flags
    )
    absl_flags.DEFINE_float("excerpt_sec", 30.0, "What the page lets hear and see of each recording.", flag_values=flags)
    limits.define_flags(flags, audio=True)


def main(flags: absl_flags.FlagValues) -> None:
    """Evaluates as the flags say.

    Raises:
      UsageError: a flag's value cannot be used.
      InputError: a model or the source cannot be used; of a few bad recordings the others are finished and reported.
    """
    plan = _plan(flags)
    out = pathlib.Path(flags.out)
    if not plan.source.exists():
        raise InputError(f"{plan.source}: does not exist; --source takes an archive or a folder (see --help)")
    evaluation_plan.require_places(out, plan.html)
    from pnet_tf import evaluation, evaluation_report  # bring TensorFlow

    with command.unwinding_on_sigterm(), limits.raised_to(limits.of_flags(flags)):
        report = evaluation.evaluate(plan)
    # First what cannot fail: hours of work should not be lost to a full disk.
    sys.stdout.write("\n".join(evaluation_report.table(report)) + "\n")
    write_whole(out, json.dumps(report, indent=1, default=str, allow_nan=False) + "\n")
    logging.info("%s: the figures%s", out, f"; {plan.html / 'index.html'}: the page" if plan.html else "")
    if bad := report["not_compared"]:
        raise InputError(
            f"{len(bad)} of {len(bad) + len(report['compared'])} recordings cannot be used ({'; '.join(bad.values())}); "
            f"{out} is about the others"
        )


def _plan(flags: absl_flags.FlagValues) -> evaluation_plan.Plan:
    """The flags, checked.

    Raises:
      UsageError: a value cannot be used.
    """
    for name in ("seconds", "segment_sec", "excerpt_sec"):
        value = flags[name].value
        if value is not None and not (math.isfinite(value) and value >= 0.1):
            raise UsageError(f"--{name}={value:g}: expected a number of seconds, at least 0.1")
    return evaluation_plan.Plan(
        models=evaluation_plan.parse_models(flags.model),
        source=path_of(flags.source),
        split=flags.split,
        recordings=tuple(flags.recordings),
        seconds=flags.seconds,
        instrument=corpus.require_instrument(flags.instrument) if flags.instrument else "",
        part=flags.part,
        iterations=flags.iterations,
        seeds=evaluation_plan.parse_seeds(flags.seed),
        controls=evaluation_plan.parse_controls(flags.controls),
        soundfont=pathlib.Path(flags.soundfont) if flags.soundfont else None,
        resampling=flags.resampling,
        segment_sec=flags.segment_sec,
        resamples=flags.resamples,
        html=pathlib.Path(flags.html) if flags.html else None,
        excerpt_sec=flags.excerpt_sec,
    )


def console() -> None:
    """`pnet-evaluate`."""
    sys.exit(command.run(define_flags, main))


if __name__ == "__main__":
    console()
