"""A prepared corpus on disk: its manifest, what marks it as whole, and opening it; no TensorFlow.

A shard set is a folder with one TFRecord file a recording, `feature_spec.json`, `manifest.json` and, written last,
`COMPLETED`.
"""

import dataclasses
import hashlib
import json
import pathlib
import typing
from collections.abc import Mapping
from typing import Any

from pnet_tf import spec as spec_room
from pnet_tf.errors import InputError
from pnet_tf.files import read_small
from pnet_tf.remote import AnyPath, path_of
from pnet_tf.spec import FeatureSpec

MANIFEST_NAME = "manifest.json"
_MANIFEST_BYTES = 2**30  # a recording takes about 2 KB
COMPLETED_NAME = "COMPLETED"
FORMAT_VERSION = 1
SPLITS = ("train", "validation", "test")
_MOST = 2**62
_LONGEST_NAME_BYTES = 255


def _require_types(record: object) -> None:
    """Raises TypeError where a field of a dataclass that was read from JSON is of another type than declared."""
    for field in dataclasses.fields(record):
        value, kind = getattr(record, field.name), typing.get_origin(field.type) or field.type
        fits = type(value) in (int, float) if kind is float else type(value) is int if kind is int else isinstance(value, kind)
        if not fits:
            raise TypeError(f"{field.name} is {value!r}")


def _require_numbers(record: object, *names: str) -> None:
    """Raises ValueError where a number is below 0, or beyond all that a shard set can hold."""
    for name in names:
        value = getattr(record, name)
        values = value if isinstance(value, tuple) else (value,)
        if not all(0 <= number < _MOST for number in values):
            raise ValueError(f"{name} is {value!r}")


@dataclasses.dataclass(frozen=True)
class RecordingEntry:
    """One recording of a shard set.

    Attributes:
      name: as in the corpus.
      split: `train` or `test`, that of the whole recording.
      shard: file name in the folder.
      n_frames: frames of the recording, all of them stored.
      n_notes: notes after labels past the end of the audio were cut or dropped.
      seconds: length of the audio.
      label_source: where the notes come from, `musicnet csv` for one.
      label_counts: notes `cut` and `dropped` because they lie past the audio's end.
      alignment: what `alignment.check_alignment` measured.
      level_gain: factor that brought the recording to the spec's level.
      pitch_frames: frames in which each of the MIDI pitches sounds.
      size_bytes: of the shard.
      sha256: of the shard.
      byte_offsets: where each chunk begins in the shard.
      ranges: frame ranges `[first, end)` by split; windows are cut inside one range.
    """

    name: str
    split: str
    shard: str
    n_frames: int
    n_notes: int
    seconds: float
    label_source: str
    label_counts: Mapping[str, int]
    alignment: Mapping[str, Any]
    level_gain: float
    pitch_frames: tuple[int, ...]
    size_bytes: int
    sha256: str
    byte_offsets: tuple[int, ...]
    ranges: Mapping[str, tuple[tuple[int, int], ...]] = dataclasses.field(default_factory=dict)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "RecordingEntry":
        """The entry of a JSON object; raises TypeError, KeyError or ValueError where it is none."""
        ranges = {
            split: tuple((int(first), int(end)) for first, end in spans) for split, spans in fields["ranges"].items()
        }
        tuples = {name: tuple(int(x) for x in fields[name]) for name in ("pitch_frames", "byte_offsets")}
        entry = cls(**{**fields, **tuples, "ranges": ranges})
        _require_types(entry)
        if pathlib.PurePath(entry.shard).name != entry.shard or len(entry.shard.encode()) > _LONGEST_NAME_BYTES:
            raise ValueError(f"shard {entry.shard!r} is not a plain file name")
        if entry.split not in ("train", "test") or not set(ranges) <= set(SPLITS):
            raise ValueError(f"{entry.name}: unknown split {entry.split!r} or ranges {sorted(ranges)}")
        if any(not 0 <= first < end <= entry.n_frames for spans in ranges.values() for first, end in spans):
            raise ValueError(f"{entry.name}: ranges {ranges} beyond its {entry.n_frames} frames")
        entry._require_plausible()
        return entry

    def _require_plausible(self) -> None:
        """Raises TypeError or ValueError where what is printed or read later has no numbers, or ones that cannot be."""
        _require_numbers(self, "n_frames", "n_notes", "seconds", "level_gain", "size_bytes", "pitch_frames", "byte_offsets")
        measured = {name: value for name, value in self.alignment.items() if name != "warnings"}
        if not all(type(value) in (int, float) for value in measured.values()):
            raise TypeError(f"{self.name}: alignment is {self.alignment!r}")
        if not all(type(count) is int for count in self.label_counts.values()):
            raise TypeError(f"{self.name}: label_counts is {self.label_counts!r}")
        ends = (*self.byte_offsets[1:], self.size_bytes)
        if not all(begin < end for begin, end in zip(self.byte_offsets, ends, strict=True)):
            raise ValueError(f"{self.name}: byte_offsets do not rise from chunk to chunk up to size_bytes")


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What a shard set holds.

    Attributes:
      instrument: name of the instrument.
      source_kind: shape of the corpus, `musicnet folder` for one.
      chunk_frames: frames in a record; the last of a recording may have fewer.
      guard_frames: frames left out between a validation range and what is trained on.
      recordings: entries, sorted by name.
      skipped: recordings left out, and why.
      format_version: of this layout.
    """

    instrument: str
    source_kind: str
    chunk_frames: int
    guard_frames: int
    recordings: tuple[RecordingEntry, ...]
    skipped: Mapping[str, str]
    format_version: int = FORMAT_VERSION

    def seconds(self, split: str, spec: FeatureSpec) -> float:
        """Seconds of audio that lie in the ranges of a split."""
        frames = sum(end - first for entry in self.recordings for first, end in entry.ranges.get(split, ()))
        return float(frames / spec.frame_rate_hz)

    def trained_names(self) -> tuple[str, ...]:
        """Names of the recordings that are trained on, in order."""
        return tuple(entry.name for entry in self.recordings if entry.split == "train")

    def trained_pitch_frames(self) -> tuple[int, ...]:
        """Frames in which each MIDI pitch sounds in the recordings that are trained on."""
        rows = [entry.pitch_frames for entry in self.recordings if entry.split == "train"]
        return tuple(map(sum, zip(*rows, strict=True)))

    def to_json(self) -> str:
        """JSON, sorted keys, a newline at the end."""
        return json.dumps(dataclasses.asdict(self), indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, *, where: str) -> "Manifest":
        """The manifest that `to_json` wrote.

        Args:
          text: JSON.
          where: the file it came from, for messages.

        Raises:
          InputError: no manifest of this version.
        """
        try:
            fields = json.loads(text)
            if fields["format_version"] != FORMAT_VERSION:
                raise InputError(
                    f"{where}: format_version is {fields['format_version']}, this version reads {FORMAT_VERSION}; "
                    "prepare the data again"
                )
            entries = tuple(RecordingEntry.from_dict(entry) for entry in fields["recordings"])
            if not entries:
                raise ValueError("no recordings")
            manifest = cls(**{**fields, "recordings": entries})
            _require_types(manifest)
            _require_numbers(manifest, "chunk_frames", "guard_frames")
            if len({len(entry.pitch_frames) for entry in entries}) > 1:
                raise ValueError("recordings of different numbers of pitches")
            for entry in entries:
                if len(entry.byte_offsets) != -(-entry.n_frames // manifest.chunk_frames):
                    raise ValueError(f"{entry.name}: {len(entry.byte_offsets)} chunks for {entry.n_frames} frames")
            return manifest
        except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError) as error:
            raise InputError(f"{where}: not a manifest ({error!r}); prepare the data again") from error


@dataclasses.dataclass(frozen=True)
class ShardSet:
    """An opened shard set: its folder, spec and manifest."""

    folder: AnyPath
    spec: FeatureSpec
    manifest: Manifest


def seal(folder: AnyPath) -> str:
    """What `COMPLETED` holds: the SHA-256 of spec and manifest, so that neither is edited behind a set's back."""
    names = (spec_room.FILE_NAME, MANIFEST_NAME)
    return "".join(f"{hashlib.sha256(read_small(folder / name, _MANIFEST_BYTES)).hexdigest()}  {name}\n" for name in names)


def open_shard_set(folder: AnyPath) -> ShardSet:
    """Opens a prepared corpus and checks that it is whole.

    Args:
      folder: what `prepare --out` wrote; `remote.path_of` makes it of a URL.

    Returns:
      The set; each shard exists and has the size that the manifest gives.

    Raises:
      InputError: no shard set, an unfinished one, or a shard missing or of a wrong size.
    """
    folder = path_of(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; make a shard set with python -m pnet_tf.prepare --out={folder}")
    if not (folder / spec_room.FILE_NAME).exists():
        raise InputError(f"{folder}: not a shard set (no {spec_room.FILE_NAME}); give the folder that prepare --out wrote")
    spec = FeatureSpec.read(folder)
    if not (folder / COMPLETED_NAME).exists():
        raise InputError(f"{folder}: this shard set is unfinished (no {COMPLETED_NAME}); run the same prepare again")
    path = folder / MANIFEST_NAME
    try:
        text = read_small(path, _MANIFEST_BYTES)
    except OSError as error:
        raise InputError(f"{path}: cannot read the manifest ({error.strerror}); prepare the data again") from error
    manifest = Manifest.from_json(text, where=str(path))
    for entry in manifest.recordings:
        _check_shard(folder / entry.shard, entry, spec)
    if read_small(folder / COMPLETED_NAME).decode("utf-8", "replace") != seal(folder):
        raise InputError(
            f"{folder}: {spec_room.FILE_NAME} or {MANIFEST_NAME} is not as prepare wrote it; prepare into another folder"
        )
    return ShardSet(folder, spec, manifest)


def _check_shard(path: AnyPath, entry: RecordingEntry, spec: FeatureSpec) -> None:
    advice = f"delete {COMPLETED_NAME} and that shard, and run the same prepare again"
    if not path.is_file():
        raise InputError(f"{path}: this shard is missing; {advice}")
    if (size := path.stat().st_size) != entry.size_bytes:
        raise InputError(f"{path}: the shard has {size} bytes, the manifest says {entry.size_bytes}; {advice}")
    # float16 bins, and two rolls of a byte a pitch. What the manifest says is planned with before a shard is read.
    if (needed := entry.n_frames * (2 * spec.n_bins + 2 * spec.n_pitches)) > size:
        raise InputError(f"{path}: the shard has {size} bytes, {entry.n_frames} frames of this spec need {needed}; {advice}")
