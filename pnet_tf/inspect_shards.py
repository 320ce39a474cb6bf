"""Says what a shard set holds, and with --verify checks every byte of it.

    python tools/inspect_shards.py data/violin
"""

import hashlib
import sys
from collections.abc import Sequence

import tqdm
from absl import flags as absl_flags

from pnet_tf import command
from pnet_tf.errors import InputError, UsageError
from pnet_tf.remote import path_of
from pnet_tf.shard_set import SPLITS, ShardSet, open_shard_set


def define_flags(flags: absl_flags.FlagValues) -> None:
    """Defines the flags of this command."""
    absl_flags.DEFINE_bool("verify", False, "Read every shard and compare its SHA-256.", flag_values=flags)


def main(flags: absl_flags.FlagValues, arguments: Sequence[str]) -> None:
    """Prints a table of the shard set that the one argument names.

    Raises:
      UsageError: not one argument.
      InputError: no whole shard set, or a damaged shard.
    """
    if len(arguments) != 1:
        raise UsageError(f"expected one folder, got {len(arguments)} arguments (see --help)")
    try:
        shards = open_shard_set(path_of(arguments[0]))
    except OSError as error:
        raise InputError(f"{arguments[0]}: cannot be opened ({error.strerror})") from error
    sys.stdout.write("\n".join(describe(shards)) + "\n")
    if flags.verify:
        verify(shards)
        sys.stdout.write("every shard is as the manifest says\n")


def describe(shards: ShardSet) -> list[str]:
    """The lines that say what a shard set holds."""
    manifest, spec = shards.manifest, shards.spec
    heard = [pitch for pitch, n_frames in enumerate(manifest.trained_pitch_frames()) if n_frames]
    lines = [
        f"instrument  {manifest.instrument} (from a source of kind {manifest.source_kind})",
        f"spec        {spec.sample_rate_hz} Hz, {spec.n_fft}/{spec.hop_samples}, gain {spec.target_gain:g}, "
        f"digest {spec.digest()[:12]}",
        *(f"{split:<11} {manifest.seconds(split, spec) / 60:.2f} min" for split in SPLITS),
        f"pitches     {len(heard)} heard in training, MIDI {heard[0]} to {heard[-1]}" if heard else "pitches     none",
        f"size        {sum(entry.size_bytes for entry in manifest.recordings) / 1e6:.1f} MB",
        "",
        f"{'recording':<24}{'split':<7}{'seconds':>9}{'notes':>7}{'onsets fit':>12}{'tuning':>8}  validation",
    ]
    for entry in manifest.recordings:
        fit, cents = entry.alignment.get("onset_share", 0.0), entry.alignment.get("tuning_cents", 0.0)
        spans = entry.ranges.get("validation", ())
        validation = ", ".join(
            f"{float(first / spec.frame_rate_hz):.1f}-{float(end / spec.frame_rate_hz):.1f} s" for first, end in spans
        )
        lines.append(
            f"{entry.name:<24}{entry.split:<7}{entry.seconds:>9.1f}{entry.n_notes:>7}{fit:>12.0%}{cents:>6.0f} c  {validation}"
        )
    lines += [f"left out: {what} ({why})" for what, why in manifest.skipped.items()]
    return lines


def verify(shards: ShardSet) -> None:
    """Compares the SHA-256 of every shard with the manifest.

    Raises:
      InputError: naming the first shard that differs.
    """
    for entry in tqdm.tqdm(shards.manifest.recordings, unit="shard"):
        path = shards.folder / entry.shard
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != entry.sha256:
            raise InputError(
                f"{path}: damaged (its SHA-256 is not the manifest's); delete it with COMPLETED and run the same prepare again"
            )


def console() -> None:
    """`pnet-inspect-shards`."""
    sys.exit(command.run(define_flags, main, allow_positional=True))


if __name__ == "__main__":
    console()
