"""One recording between places that other machines see: its audio fetched, prepared in local scratch, and brought home."""

import dataclasses
import pathlib
import tempfile

from pnet_tf import preparer
from pnet_tf.errors import InputError
from pnet_tf.remote import AnyPath, RemotePath, copy_whole
from pnet_tf.shard_set import RecordingEntry


@dataclasses.dataclass(frozen=True)
class Errand:
    """A recording to prepare on whatever machine.

    Attributes:
      job: the recording; its audio and folder may be remote, or relative to `base`.
      landing: a folder of the file system that `job.folder` is on, for files on their way there.
      base: the working folder of the command, which a worker's may not be.
    """

    job: preparer.Job
    landing: AnyPath
    base: pathlib.Path


def do_errand(errand: Errand) -> RecordingEntry:
    """Prepares one recording in scratch and brings shard and then entry to their folder, each whole or not at all.

    Two workers may do one errand at the same time: both bring the same bytes.

    Args:
      errand: the recording, and what its paths are relative to.

    Returns:
      Its entry, as `preparer.prepare_recording` gives it.

    Raises:
      InputError: audio or labels cannot be used, or the audio is gone; the message names the place in the source.
      tf.errors.OpError, OSError: something cannot be fetched or written.
    """
    job, landing, folder = errand.job, _based(errand.landing, errand.base), _based(errand.job.folder, errand.base)
    # Beside a local set, so that bringing a file there is renaming it, and the next run removes what a killed one left.
    with tempfile.TemporaryDirectory(prefix="pnet_tf-", dir=None if isinstance(landing, RemotePath) else landing) as name:
        scratch = pathlib.Path(name)
        audio = _audio_here(errand, scratch)
        try:
            entry = preparer.prepare_recording(dataclasses.replace(job, audio=audio, folder=scratch))
        except InputError as error:
            raise InputError(str(error).replace(str(audio), str(job.audio))) from error
        for file in (entry.shard, f"{job.name}{preparer.ENTRY_SUFFIX}"):
            if isinstance(folder, RemotePath):
                copy_whole(scratch / file, folder / file, landing=landing)
            else:
                (scratch / file).replace(folder / file)
    return entry


def prepare_job(job: preparer.Job, *, landing: AnyPath) -> RecordingEntry:
    """Does the errand of a job on the machine, and in the working folder, of the command itself; see `do_errand`."""
    return do_errand(Errand(job, landing=landing, base=pathlib.Path.cwd()))


def _based(path: AnyPath, base: pathlib.Path) -> AnyPath:
    return path if isinstance(path, RemotePath) else base / path


def _audio_here(errand: Errand, scratch: pathlib.Path) -> pathlib.Path:
    """The audio as a local file."""
    source = errand.job.audio
    if not isinstance(source, RemotePath):
        return errand.base / source
    if isinstance(errand.job.score, InputError):
        return scratch / source.name
    audio = scratch / source.name
    try:
        copy_whole(source, audio, landing=scratch)
    except FileNotFoundError as error:
        raise InputError(f"{source}: does not exist any more, expected an audio file") from error
    return audio
