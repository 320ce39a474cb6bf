"""The old `musicnet.npz`: for each recording a waveform and its labels in one Python 2 pickle."""

import collections
import pathlib
import re
import struct
import zipfile
from collections.abc import Collection, Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
import soundfile
from absl import logging

from pnet_tf.corpus import LabelledCorpus, Labels, Recording, is_safe_name, require_known
from pnet_tf.errors import DAMAGED, InputError
from pnet_tf.files import open_regular
from pnet_tf.inert_pickle import Array, IntervalTree, load_objects
from pnet_tf.remote import AnyPath
from pnet_tf.spec import FeatureSpec

_MAGIC = b"\x93NUMPY"
_OBJECT_HEADER = re.compile(rb"""['"]descr['"]\s*:\s*['"]\|?O[48]?['"]""")
_MAX_HEADER_BYTES = 1 << 16
_HOW_TO = "expected MusicNet's npz; download it again, or use musicnet.tar.gz"


class NpzCorpus(LabelledCorpus):
    """The solo recordings of a `musicnet.npz`; each waveform is written to the scratch folder as it is asked for."""

    def __init__(
        self,
        path: AnyPath,
        instrument: str,
        *,
        test_ids: Collection[str],
        label_rate_hz: int | None = None,
    ) -> None:
        """Reads every recording's labels, and for that the whole file once.

        Args:
          path: the npz.
          instrument: a name of `INSTRUMENTS`.
          test_ids: the recordings of the test split.
          label_rate_hz: rate of the waveforms and of the label times; None is MusicNet's.

        Raises:
          InputError: the file is damaged, or not what MusicNet's is.
        """
        self._path = path
        self._waveform_rate_hz = FeatureSpec().sample_rate_hz if label_rate_hz is None else label_rate_hz
        logging.info("%s: looking for %s, which reads the whole file once", path, instrument)
        labels = (
            Labels(name, "test" if name in test_ids else "train", _label_csv(tree, where), where)
            for name, _, tree, where in _entries(path)
        )
        super().__init__("npz", labels, instrument, label_rate_hz=label_rate_hz, skipped=collections.Counter())

    def source_files(self, name: str) -> tuple[AnyPath, ...]:
        """The archive."""
        return (self._path,)

    def recordings(self, names: Sequence[str], scratch: pathlib.Path) -> Iterator[Recording]:
        """The recordings asked for, each waveform as a float32 WAV in `scratch`."""
        for name, waveform, _, _ in _entries(self._path, require_known(self, names)):
            audio = scratch / f"{name}.wav"
            try:
                soundfile.write(audio, waveform, self._waveform_rate_hz, format="WAV", subtype="FLOAT")
            except (OSError, soundfile.SoundFileError) as error:
                audio.unlink(missing_ok=True)
                raise InputError(f"{audio}: cannot write the audio of {name} ({error}); is the disk full?") from error
            yield self._recording(name, audio)

    def release(self, recording: Recording) -> None:
        """Removes the WAV written for this recording."""
        recording.audio.unlink(missing_ok=True)


def is_npz(path: AnyPath) -> bool:
    """Whether a file is a zip archive that holds npy members."""
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            return any(name.endswith(".npy") for name in archive.namelist())
    except DAMAGED:
        return False


def _entries(
    path: AnyPath, wanted: Collection[str] | None = None
) -> Iterator[tuple[str, np.ndarray, IntervalTree, str]]:
    """Name, waveform float32 [samples], labels and place of each recording (or of the wanted ones)."""
    try:
        with open_regular(path) as stored, zipfile.ZipFile(stored) as archive:
            for member in archive.infolist():
                name = member.filename.removesuffix(".npy")
                if name == member.filename or not is_safe_name(name) or (wanted is not None and name not in wanted):
                    continue
                where = f"{path}: {member.filename}"
                with archive.open(member) as file:
                    _skip_header(file, where)
                    yield name, *_waveform_and_tree(load_objects(file, where=where), where), where
    except DAMAGED as error:
        raise InputError(f"{path}: damaged npz ({error}); {_HOW_TO}") from error


def _skip_header(file: BinaryIO, where: str) -> None:
    """Moves to the pickle behind an npy header; numpy's own reader warns about what Python 2 wrote there."""
    start = file.read(8)
    length_format = "<H" if start[6:7] == b"\x01" else "<I"
    length = file.read(struct.calcsize(length_format))
    if start[:6] != _MAGIC or len(length) != struct.calcsize(length_format):
        raise InputError(f"{where}: no npy data; {_HOW_TO}")
    header = file.read(min(struct.unpack(length_format, length)[0], _MAX_HEADER_BYTES))
    if not _OBJECT_HEADER.search(header):
        raise InputError(f"{where}: an array without labels; {_HOW_TO}")


def _waveform_and_tree(objects: list[Any], where: str) -> tuple[np.ndarray, IntervalTree]:
    """Checks `[waveform, IntervalTree]`: float32 [samples] and the tree."""
    if len(objects) == 2 and isinstance(objects[0], Array) and isinstance(objects[1], IntervalTree):
        waveform = objects[0].value
        if isinstance(waveform, np.ndarray) and waveform.ndim == 1 and waveform.dtype.kind == "f":
            return waveform.astype(np.float32, copy=False), objects[1]
    raise InputError(f"{where}: not a waveform with intervals; {_HOW_TO}")


def _label_csv(tree: IntervalTree, where: str) -> str:
    """The intervals as MusicNet's label csv, sorted: what every other source holds."""
    try:
        rows = sorted((int(i.begin), int(i.end), int(i.data[0]), int(i.data[1])) for i in tree.intervals)
    except (AttributeError, TypeError, ValueError, IndexError, KeyError) as error:
        raise InputError(f"{where}: an interval without instrument and note ({error}); {_HOW_TO}") from error
    lines = (",".join(map(str, row)) for row in rows)
    return "\n".join(["start_time,end_time,instrument,note", *lines, ""])
