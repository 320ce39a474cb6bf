"""Writes trained weights as a SavedModel that plain TensorFlow loads, without this package, for a server, or as a voice folder.

    python tools/export_savedmodel.py --run_dir=runs/violin --out=models/violin

With --format=voice, as a voice folder: its weights are float16. With --format=serving, as the next version in the folder that
TensorFlow Serving is given.
"""

import pathlib
import sys

from absl import flags as absl_flags
from absl import logging

from pnet_tf import command, remote
from pnet_tf.errors import UsageError


def define_flags(flags: absl_flags.FlagValues) -> None:
    """Defines the flags of this command."""
    absl_flags.DEFINE_string(
        "run_dir", None, "Run folder of a training, voice folder, or shipped voice.", flag_values=flags, required=True
    )
    absl_flags.DEFINE_string(
        "out", None, "Folder to write; must not exist, unless it is that of a server.", flag_values=flags, required=True
    )
    absl_flags.DEFINE_enum(
        "format",
        "savedmodel",
        ["savedmodel", "serving", "voice"],
        "savedmodel: for TensorFlow, with signatures; serving: a new version in --out, with requests to warm up with, for "
        "TensorFlow Serving; voice: a voice folder, for this package.",
        flag_values=flags,
    )
    absl_flags.DEFINE_list(
        "sounds_like",
        [],
        "Recordings that it sounds like, of a training with --per_recording; of several, or by default of all, the mean.",
        flag_values=flags,
    )
    absl_flags.DEFINE_bool(
        "levels",
        True,
        "Keep noise floor and ceiling of its recordings, and a rise of peaks; without them it sounds as the network draws.",
        flag_values=flags,
    )
    absl_flags.DEFINE_string(
        "match_peaks",
        None,
        "Shard set that it was trained on: what it draws loudest rises to the loudest that its recordings have.",
        flag_values=flags,
    )


def main(flags: absl_flags.FlagValues) -> None:
    """Exports as the flags say.

    Raises:
      UsageError: two flags ask for contrary things.
      InputError: the weights or the shard set cannot be read, or the folder is taken.
    """
    if flags.match_peaks is not None and not flags.levels:
        raise UsageError("--match_peaks and --nolevels: peaks are levels too; give one of the two")
    shards = None if flags.match_peaks is None else remote.path_of(flags.match_peaks)
    from pnet_tf import export  # brings TensorFlow

    ways = {"savedmodel": export.export_savedmodel, "serving": export.export_served, "voice": export.export_voice}
    write = ways[flags.format]
    with command.unwinding_on_sigterm():
        out = pathlib.Path(flags.out)
        folder = write(flags.run_dir, out, export.Sounding(flags.sounds_like, flags.levels, shards))
    logging.info("%s: perform a score with python tools/perform.py --model=%s --score=FILE --out=FILE.wav", folder, folder)


def console() -> None:
    """`pnet-export`."""
    sys.exit(command.run(define_flags, main))


if __name__ == "__main__":
    console()
