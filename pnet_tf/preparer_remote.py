"""One recording between places that other machines see: its audio fetched, prepared in local scratch, and brought home."""

import dataclasses
import json
import pathlib
import tempfile
from fractions import Fraction
from typing import Any

from pnet_tf import preparer
from pnet_tf.errors import DAMAGED, InputError
from pnet_tf.remote import AnyPath, RemotePath, copy_whole, path_of
from pnet_tf.score import Note, Score
from pnet_tf.shard_set import RecordingEntry
from pnet_tf.spec import FeatureSpec

_PLAIN_FIELDS = ("name", "split", "label_source", "max_bad_labels", "made_from", "max_audio_sec")


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

    def to_json(self) -> str:
        """JSON, which `from_json` reads; no pickle, which whoever can write beside the shards could have a worker run."""
        fields = {name: getattr(self.job, name) for name in _PLAIN_FIELDS}
        paths = {"audio": self.job.audio, "folder": self.job.folder, "landing": self.landing, "base": self.base}
        fields |= {name: str(path) for name, path in paths.items()}
        fields |= {"spec": self.job.spec.to_json(), "score": _score_to_fields(self.job.score)}
        return json.dumps(fields) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, *, where: str) -> "Errand":
        """The errand that `to_json` wrote.

        Args:
          text: JSON.
          where: the file it came from, for messages.

        Raises:
          InputError: it is none.
        """
        try:
            fields = json.loads(text)
            job = preparer.Job(
                audio=path_of(fields["audio"]),
                folder=path_of(fields["folder"]),
                spec=FeatureSpec.from_json(fields["spec"], where=where),
                score=_score_from_fields(fields["score"]),
                **{name: fields[name] for name in _PLAIN_FIELDS},
            )
            return cls(job, landing=path_of(fields["landing"]), base=pathlib.Path(fields["base"]))
        except (*DAMAGED, RecursionError) as error:
            raise InputError(f"{where}: no job of a preparation ({error!r}); run the same prepare again") from error


def _score_to_fields(score: Score | InputError) -> dict[str, Any]:
    """A score, or what is wrong with it, as JSON has it; times as numerator and denominator."""
    if isinstance(score, InputError):
        return {"refused": str(score)}
    notes = [(*note.start_sec.as_integer_ratio(), *note.end_sec.as_integer_ratio(), note.pitch) for note in score.notes]
    bars = [bar.as_integer_ratio() for bar in score.bars_sec]
    return {"name": score.name, "part": score.part, "ignored": dict(score.ignored), "notes": notes, "bars_sec": bars}


def _score_from_fields(fields: dict[str, Any]) -> Score | InputError:
    if "refused" in fields:
        return InputError(fields["refused"])
    notes = [Note(Fraction(*note[:2]), Fraction(*note[2:4]), note[4]) for note in fields["notes"]]
    bars = tuple(Fraction(*bar) for bar in fields["bars_sec"])
    return Score(fields["name"], tuple(notes), fields["part"], bars, fields["ignored"])


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
