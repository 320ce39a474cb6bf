"""Turns recordings and their scores into a shard set for training.

    python -m pnet_tf.prepare --instrument=violin --source=musicnet.tar.gz --out=data/violin

A source is a musicnet.tar.gz, a musicnet.npz, an unpacked MusicNet folder, or a folder of your own pairs (name.wav
beside name.mid, name.musicxml or name.csv). A preparation that was stopped goes on where it was when it is started again.

Source and out may be URLs (gs://, s3://, hdfs://), and --runner prepares on a cluster, with Apache Beam.
"""

import contextlib
import errno
import math
import sys

from absl import flags as absl_flags
from absl import logging

from pnet_tf import command, corpus, limits
from pnet_tf.errors import InputError, UsageError
from pnet_tf.processors import n_processors
from pnet_tf.remote import RemoteError, path_of
from pnet_tf.spec import FeatureSpec

# A name that no file can have, or something else than expected in its place.
_WRONG_PLACE = (errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOENT, errno.ELOOP)


def define_flags(flags: absl_flags.FlagValues) -> None:
    """Defines the flags of this command; only here have the numbers of the feature spec flags."""
    default = FeatureSpec()
    absl_flags.DEFINE_string(
        "instrument", None, f"One of {', '.join(corpus.INSTRUMENTS)}.", flag_values=flags, required=True
    )
    absl_flags.DEFINE_string("source", None, "Where the recordings are; may be a URL.", flag_values=flags, required=True)
    absl_flags.DEFINE_string("out", None, "Folder of the shard set, made if missing; or a URL.", flag_values=flags, required=True)
    absl_flags.DEFINE_float(
        "target_gain",
        default.target_gain,
        "Factor before the logarithm of the target; 1 is the paper's.",
        lower_bound=1e-3,
        upper_bound=1e6,
        flag_values=flags,
    )
    absl_flags.DEFINE_integer(
        "workers",
        None,
        "Processes; default: one a core. 0 works in this process. With --runner only for DirectRunner, default 0.",
        lower_bound=0,
        upper_bound=1024,
        flag_values=flags,
    )
    absl_flags.DEFINE_float(
        "max_bad_labels",
        0.01,
        "Share of a recording's notes that may lie past the end of its audio.",
        lower_bound=0,
        upper_bound=1,
        flag_values=flags,
    )
    absl_flags.DEFINE_float(
        "validation_share",
        0.1,
        "Share of the training recordings' frames that is for validation.",
        lower_bound=0,
        upper_bound=0.5,
        flag_values=flags,
    )
    absl_flags.DEFINE_integer(
        "window_frames",
        864,
        "Length of a training window, kept free on both sides of a validation part.",
        lower_bound=16,
        flag_values=flags,
    )
    absl_flags.DEFINE_string(
        "part", None, "The part that plays, by name or number, where your own scores have several.", flag_values=flags
    )
    absl_flags.DEFINE_bool(
        "skip_bad", False, "Finish without the recordings that cannot be used.", flag_values=flags
    )
    limits.define_flags(flags, audio=True)
    _define_beam_flags(flags)


def _define_beam_flags(flags: absl_flags.FlagValues) -> None:
    absl_flags.DEFINE_string(
        "runner",
        None,
        "Apache Beam runner to prepare on, such as DirectRunner, FlinkRunner, SparkRunner or DataflowRunner; needs the "
        'extra: pip install "pnet_tf[beam]". Without it the processes of this machine do the work.',
        flag_values=flags,
    )
    absl_flags.DEFINE_multi_string(
        "runner_options",
        [],
        "An option of Beam for the runner, as Beam writes it, again for each: --runner_options=--flink_master=host:8081 "
        "--runner_options=--parallelism=8",
        flag_values=flags,
    )


def main(flags: absl_flags.FlagValues) -> None:
    """Prepares a corpus as the flags say.

    Raises:
      UsageError: a flag's value cannot be used.
      InputError: the source cannot be used, or some of its recordings cannot.
    """
    for name in ("target_gain", "max_bad_labels", "validation_share"):
        if math.isnan(flags[name].value):
            raise UsageError(f"--{name}=nan is not a number")
    for name in ("source", "out"):
        if not flags[name].value or "\0" in flags[name].value:
            raise UsageError(f"--{name}={flags[name].value!r} names no file or folder")
    instrument = corpus.require_instrument(flags.instrument)
    runner, options = _runner(flags)
    # A runner's own processes and threads may not let go: there SIGTERM ends this one on the spot.
    ending = command.unwinding_on_sigterm() if runner is None else contextlib.nullcontext()
    try:
        with ending, limits.raised_to(limits.of_flags(flags)):
            _prepare(flags, instrument, runner, options)
    except RemoteError as error:
        raise InputError(f"{error.filename}: {error.strerror}; see whether that place can be reached from here") from error
    except OSError as error:
        if error.errno not in _WRONG_PLACE:
            raise
        raise InputError(
            f"{error.filename2 or error.filename}: {error.strerror}; see what is there, and give another --out if in doubt"
        ) from error


def _runner(flags: absl_flags.FlagValues) -> tuple[str | None, tuple[str, ...]]:
    """The Beam runner that the flags name and its options, checked; None for the processes of this machine."""
    if flags.runner is None:
        if flags.runner_options:
            raise UsageError("--runner_options without --runner: say which runner they are for")
        return None, ()
    from pnet_tf import preparation_beam  # brings TensorFlow

    runner, options = preparation_beam.require_runner(flags.runner), list(flags.runner_options)
    if flags.workers is not None and runner != "DirectRunner":
        raise UsageError(f"--workers is for processes of this machine; {runner} has options of its own (--runner_options)")
    if flags.workers:
        options = [f"--direct_num_workers={flags.workers}", "--direct_running_mode=multi_processing", *options]
    preparation_beam.require_options(runner, options)
    return runner, tuple(options)


def _prepare(flags: absl_flags.FlagValues, instrument: str, runner: str | None, options: tuple[str, ...]) -> None:
    source = path_of(flags.source)
    if not source.exists():
        raise InputError(f"{source}: does not exist; --source takes an archive or a folder (see --help)")
    from pnet_tf import preparation  # brings TensorFlow

    plan = preparation.Plan(
        instrument=instrument,
        source=source,
        folder=path_of(flags.out),
        spec=FeatureSpec(target_gain=flags.target_gain),
        n_workers=n_processors() if flags.workers is None else flags.workers,
        max_bad_labels=flags.max_bad_labels,
        validation_share=flags.validation_share,
        window_frames=flags.window_frames,
        skip_bad=flags.skip_bad,
        part=flags.part,
        runner=runner,
        runner_options=options,
    )
    manifest = preparation.prepare_corpus(plan)
    minutes = {split: manifest.seconds(split, plan.spec) / 60 for split in ("train", "validation", "test")}
    logging.info(
        "%s: %d recordings, %s",
        plan.folder,
        len(manifest.recordings),
        ", ".join(f"{split} {value:.1f} min" for split, value in minutes.items()),
    )


def console() -> None:
    """`pnet-prepare`."""
    sys.exit(command.run(define_flags, main))


if __name__ == "__main__":
    console()
