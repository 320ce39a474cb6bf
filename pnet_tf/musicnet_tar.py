"""`musicnet.tar.gz` read as a stream: nothing is unpacked but the audio of one recording after the other."""

import collections
import contextlib
import dataclasses
import gzip
import pathlib
import re
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from absl import logging

from pnet_tf import limits
from pnet_tf.audio_file import AUDIO_SUFFIXES
from pnet_tf.corpus import (
    NO_AUDIO,
    NO_LABELS,
    SECOND_COPY,
    LabelledCorpus,
    Labels,
    Recording,
    Split,
    is_safe_name,
    require_known,
    warn_left_out,
)
from pnet_tf.errors import InputError
from pnet_tf.files import open_regular, read_up_to
from pnet_tf.remote import AnyPath

_GZIP_MAGIC = b"\x1f\x8b"
_TAR_MAGIC_AT, _TAR_MAGIC = 257, b"ustar"
_END_BLOCK = bytes(tarfile.BLOCKSIZE)
_COPY_BYTES = 1 << 20
# The folder above is `musicnet` in the official archive, and may be missing. Absolute paths and `..` do not match.
_MEMBER = re.compile(r"(?:\./)?(?:musicnet/)?(train|test)_(data|labels)/([^/]+)\.(csv|wav|flac|mp3|ogg)", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class _Member:
    name: str
    split: Split
    suffix: str

    @property
    def is_audio(self) -> bool:
        """Whether it is audio; labels otherwise."""
        return self.suffix in AUDIO_SUFFIXES


class TarCorpus(LabelledCorpus):
    """The solo recordings of a MusicNet tar; the audio of each is copied to the scratch folder as its turn comes."""

    def __init__(self, path: AnyPath, instrument: str, *, label_rate_hz: int | None = None) -> None:
        """Reads the whole archive once, for its labels.

        Args:
          path: the archive, gzipped or plain.
          instrument: a name of `INSTRUMENTS`.
          label_rate_hz: rate of the label times; None is MusicNet's.

        Raises:
          InputError: the archive is cut off or damaged, or a label file is wrong.
        """
        self._path = path
        logging.info("%s: looking for %s, which reads the whole archive once", path, instrument)
        labels: dict[tuple[str, str], Labels] = {}
        self._audio: dict[tuple[str, str], str] = {}
        skipped: collections.Counter[str] = collections.Counter()
        for member, file in _members(path):
            key = (member.split, member.name)
            if member.is_audio:
                skipped[SECOND_COPY] += key in self._audio
                self._audio.setdefault(key, member.suffix)
            else:
                skipped[SECOND_COPY] += key in labels
                where = f"{path}: {member.split}_labels/{member.name}.csv"
                labels.setdefault(key, Labels(member.name, member.split, _read_labels(file, where, path), where))
        for reason, keys in ((NO_LABELS, self._audio.keys() - labels), (NO_AUDIO, labels.keys() - self._audio)):
            warn_left_out(reason, [f"{split}/{name}" for split, name in keys])
            skipped[reason] += len(keys)
        both = (labels[key] for key in sorted(labels) if key in self._audio)
        super().__init__("tar", both, instrument, label_rate_hz=label_rate_hz, skipped=skipped)

    def source_files(self, name: str) -> tuple[AnyPath, ...]:
        """The archive."""
        return (self._path,)

    def recordings(self, names: Sequence[str], scratch: pathlib.Path) -> Iterator[Recording]:
        """The recordings asked for, in the archive's order; reads it as far as the last of them."""
        missing = require_known(self, names)
        for member, file in _members(self._path) if missing else ():
            wanted = member.name in missing and member.split == self.split_of(member.name)
            if not wanted or self._audio.get((member.split, member.name)) != member.suffix:
                continue
            audio = scratch / f"{member.name}{member.suffix}"
            _copy(file, audio, self._path)
            yield self._recording(member.name, audio)
            missing.remove(member.name)
            if not missing:
                return

    def release(self, recording: Recording) -> None:
        """Removes the audio copied for this recording."""
        recording.audio.unlink(missing_ok=True)


def is_tar(path: AnyPath) -> bool:
    """Whether a file is a tar archive, gzipped or plain."""
    try:
        with _opened(path) as file:
            return file.read(_TAR_MAGIC_AT + len(_TAR_MAGIC))[_TAR_MAGIC_AT:] == _TAR_MAGIC
    except (OSError, EOFError, zlib.error):
        return False


def _opened(path: AnyPath) -> BinaryIO:
    with open_regular(path) as file:
        is_gzip = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    if not is_gzip:
        return path.open("rb")
    return gzip.open(path if isinstance(path, pathlib.Path) else path.open("rb"))


class _Forward:
    """A file that only goes forward, and knows the last block it gave.

    tarfile ends quietly at the first header that it cannot read, so an archive cut between two members looks whole:
    the last block tells. A header that leads backwards (a negative size) would make it read in circles.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._position, self.last = file, 0, b""
        self._again = False

    def read(self, n_bytes: int) -> bytes:
        """The next bytes, fewer only at the end.

        Raises:
          tarfile.ReadError: they are more than a label file may have: tarfile reads a long name or an extended header whole,
            however long it says that it is.
        """
        if n_bytes > max(limits.current().file_bytes, _COPY_BYTES) + tarfile.BLOCKSIZE:
            raise tarfile.ReadError(f"a header of {n_bytes} bytes")
        head = self.last[-1:] if self._again else b""
        data = head + read_up_to(self._file, n_bytes - len(head))
        self._position += len(data)
        self._again, self.last = False, data or self.last
        if len(data) < n_bytes:
            self.last = data
        return data

    def tell(self) -> int:
        """Where the next byte is."""
        return self._position

    def seek(self, position: int) -> None:
        """Reads on to a position.

        Raises:
          tarfile.ReadError: it lies behind, or after the end.
        """
        if position == self._position - 1 and self.last and not self._again:
            # tarfile looks whether the byte before a header is there.
            self._again, self._position = True, position
            return
        if position < self._position:
            raise tarfile.ReadError("a header leads backwards")
        while self._position < position:
            if not self.read(min(position - self._position, _COPY_BYTES)):
                raise tarfile.ReadError("unexpected end of data")


@contextlib.contextmanager
def _reading(path: AnyPath) -> Iterator[None]:
    """Turns what a damaged archive makes gzip and tarfile raise into one line."""
    try:
        yield
    # ValueError: what tarfile lets out of the numbers of an extended header.
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError, LookupError, OverflowError) as error:
        raise InputError(f"{path}: the archive is cut off or damaged ({error}); download it again") from error
    except OSError as error:
        raise InputError(f"{path}: cannot read the archive ({error.strerror or error})") from error


def _members(path: AnyPath) -> Iterator[tuple[_Member, BinaryIO]]:
    """The labels and audio files of an archive, each with its content, to be read before the next is asked for."""
    with _reading(path), _opened(path) as raw:
        forward = _Forward(raw)
        with tarfile.open(fileobj=forward, mode="r:") as archive:
            while (info := archive.next()) is not None:
                # Links, devices and sparse files are no content of MusicNet's.
                if info.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and (member := _member(info.name)):
                    yield member, archive.extractfile(info)
                archive.members.clear()
        if forward.last[-tarfile.BLOCKSIZE :] != _END_BLOCK:
            raise tarfile.ReadError("unexpected end of data")


def _member(path: str) -> _Member | None:
    match = _MEMBER.fullmatch(path)
    if match is None or not is_safe_name(match[3]):
        return None
    suffix = f".{match[4].lower()}"
    if (match[2].lower() == "data") != (suffix in AUDIO_SUFFIXES):
        return None
    return _Member(match[3], "train" if match[1].lower() == "train" else "test", suffix)


def _read_labels(file: BinaryIO, where: str, archive: AnyPath) -> bytes:
    with _reading(archive):
        data = read_up_to(file, limits.current().file_bytes + 1)
    if len(data) > (most := limits.current().file_bytes):
        raise InputError(f"{where}: larger than {most} bytes, no label file is")
    return data


def _copy(file: BinaryIO, audio: pathlib.Path, archive: AnyPath) -> None:
    """Copies one member out of the archive, whole or not at all."""
    try:
        with audio.open("wb") as target:
            while data := _read_some(file, archive):
                target.write(data)
    except BaseException as error:
        audio.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise InputError(f"{audio}: cannot copy it from {archive} ({error.strerror}); is the disk full?") from error
        raise


def _read_some(file: BinaryIO, archive: AnyPath) -> bytes:
    with _reading(archive):
        return file.read(_COPY_BYTES)
