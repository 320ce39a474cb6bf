"""Paths on file systems that only TensorFlow reaches (gs://, s3://, hdfs://, ram://), with the methods of `pathlib.Path`.

Only what this package calls is here. TensorFlow is imported when such a path is first used, never for local ones.
`etils.epath` offers the same for gs://, s3:// and az://, but knows no hdfs:// and no ram://, and its status of a file
lacks the nanoseconds by which a preparation sees that its source has changed.
"""

import contextlib
import ctypes
import dataclasses
import errno
import fnmatch
import functools
import io
import os
import pathlib
import posixpath
import re
import shutil
import sys
import types
import uuid
from collections.abc import Iterator
from typing import Any, BinaryIO

from pnet_tf.errors import InputError

_URL = re.compile(r"([a-z][a-z0-9+.-]*)://(.*)", re.IGNORECASE | re.DOTALL)
_BUFFER_BYTES = 1 << 20


class RemoteError(OSError):
    """A file system out of reach: no credentials, no network, or a service that answers with an error."""


@dataclasses.dataclass(frozen=True)
class Status:
    """What a file system tells of a file.

    Attributes:
      st_size: in bytes.
      st_mtime_ns: when it was last changed, in nanoseconds.
    """

    st_size: int
    st_mtime_ns: int


@dataclasses.dataclass(frozen=True, order=True)
class RemotePath:
    """A path such as `gs://bucket/folder/file`; its methods do, and raise, what those of `pathlib.Path` do.

    It is no `os.PathLike` on purpose: what opens local files alone must refuse it instead of opening `gs:/bucket`.
    """

    url: str

    def __str__(self) -> str:
        """The URL."""
        return self.url

    def __truediv__(self, name: str) -> "RemotePath":
        """A path below this one."""
        return RemotePath(f"{self.url.rstrip('/')}/{name}")

    @property
    def name(self) -> str:
        """What follows the last slash."""
        return posixpath.basename(self.url)

    @property
    def suffix(self) -> str:
        """The ending of the name, with its dot."""
        return pathlib.PurePosixPath(self.name).suffix

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return pathlib.PurePosixPath(self.name).stem

    @property
    def parent(self) -> "RemotePath":
        """The folder that holds it."""
        return RemotePath(posixpath.dirname(self.url))

    def with_name(self, name: str) -> "RemotePath":
        """The path of a neighbour."""
        return self.parent / name

    def exists(self) -> bool:
        """Whether there is such a file or folder."""
        with _as_os_error(self.url) as gfile:
            return gfile.exists(self.url) or gfile.isdir(self.url)

    def is_dir(self) -> bool:
        """Whether it is a folder."""
        with _as_os_error(self.url) as gfile:
            return gfile.isdir(self.url)

    def is_file(self) -> bool:
        """Whether it is a file."""
        with _as_os_error(self.url) as gfile:
            return gfile.exists(self.url) and not gfile.isdir(self.url)

    def iterdir(self) -> Iterator["RemotePath"]:
        """What a folder holds; nothing where there is none, for an object store has a folder while a file is in it."""
        try:
            with _as_os_error(self.url) as gfile:
                names = gfile.listdir(self.url)
        except FileNotFoundError:
            names = []
        # Object stores end the names of folders with a slash, and may list a folder in itself.
        return (self / name for name in sorted({name.strip("/") for name in names} - {""}))

    def glob(self, pattern: str) -> Iterator["RemotePath"]:
        """What a folder holds under names of a pattern without slashes."""
        return (path for path in self.iterdir() if fnmatch.fnmatchcase(path.name, pattern))

    def stat(self) -> Status:
        """Size and time of a file."""
        with _as_os_error(self.url) as gfile:
            found = gfile.stat(self.url)
        return Status(found.length, found.mtime_nsec)

    def open(self, mode: str = "rb") -> BinaryIO:
        """A file to be read or written as bytes; what is written is there when it is closed."""
        if mode not in ("rb", "wb"):
            raise ValueError(f"mode {mode!r}: remote files are read and written as bytes alone")
        with _as_os_error(self.url) as gfile:
            if mode == "rb":
                # TensorFlow notices at the first read that a file is not there.
                gfile.stat(self.url)
            raw = _Raw(gfile.GFile(self.url, mode), self.url)
        return io.BufferedReader(raw, _BUFFER_BYTES) if mode == "rb" else io.BufferedWriter(raw, _BUFFER_BYTES)

    def read_bytes(self) -> bytes:
        """The whole content."""
        with self.open("rb") as file:
            return file.read()

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The whole content as text."""
        return self.read_bytes().decode(encoding, errors)

    def write_bytes(self, data: bytes) -> None:
        """Writes the whole content."""
        with self.open("wb") as file:
            file.write(data)

    def write_text(self, text: str, encoding: str = "utf-8") -> None:
        """Writes the whole content as text."""
        self.write_bytes(text.encode(encoding))

    def mkdir(self, *, parents: bool = False, exist_ok: bool = False) -> None:
        """Makes a folder with those above it, as every one of these file systems does."""
        if not (parents and exist_ok):
            raise ValueError("remote folders are made with parents, and may exist")
        with _as_os_error(self.url) as gfile:
            if gfile.exists(self.url) and not gfile.isdir(self.url):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), self.url)
            gfile.makedirs(self.url)

    def unlink(self, *, missing_ok: bool = False) -> None:
        """Removes a file."""
        try:
            with _as_os_error(self.url) as gfile:
                gfile.remove(self.url)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def replace(self, target: "RemotePath") -> None:
        """Renames a file; an object store copies it whole, and a file of that name is there old or new, never half."""
        with _as_os_error(self.url) as gfile:
            gfile.rename(self.url, target.url, overwrite=True)


AnyPath = pathlib.Path | RemotePath


def path_of(text: str | AnyPath) -> AnyPath:
    """The path that a person gave: remote where it is a URL, local otherwise.

    Args:
      text: a path, or a URL; `file://` is local. What is a path already is given back.

    Raises:
      InputError: a URL of nothing but its scheme.
    """
    if not isinstance(text, str):
        return text if isinstance(text, RemotePath) else pathlib.Path(text)
    match = _URL.fullmatch(text)
    if match is None:
        return pathlib.Path(text)
    if match[1].lower() == "file":
        return pathlib.Path("/" + match[2].lstrip("/"))
    if not match[2].strip("/"):
        raise InputError(f"{text}: names no bucket or host, expected one such as {match[1]}://bucket/folder")
    return RemotePath(f"{match[1].lower()}://{match[2].rstrip('/')}")


def absolute(path: AnyPath) -> AnyPath:
    """The path as any working folder finds it."""
    return path if isinstance(path, RemotePath) else pathlib.Path(os.path.abspath(path))


def copy_whole(source: AnyPath, target: AnyPath, *, landing: AnyPath) -> None:
    """Copies a file so that it appears whole or not at all, whoever else copies it at the same time.

    Args:
      source: the file.
      target: where it goes; its folder exists.
      landing: a folder of the same file system as `target`, for the copy while it is under way.

    Raises:
      OSError: it cannot be read or written.
    """
    partial = landing / f"{uuid.uuid4().hex}.partial"
    try:
        with source.open("rb") as reader, partial.open("wb") as writer:
            shutil.copyfileobj(reader, writer, _BUFFER_BYTES)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def remove_tree(folder: AnyPath) -> None:
    """Removes a folder with all that is in it; a remote one may be gone with the last file that was in it."""
    if isinstance(folder, pathlib.Path):
        shutil.rmtree(folder)
        return
    with contextlib.suppress(FileNotFoundError), _as_os_error(folder.url) as gfile:
        gfile.rmtree(folder.url)


class _Raw(io.RawIOBase):
    """TensorFlow's file as one of Python's, so that gzip, zipfile and hashlib take it."""

    def __init__(self, file: Any, url: str) -> None:
        super().__init__()
        self._file, self._url = file, url

    def readable(self) -> bool:
        """Whether it was opened for that."""
        return self._file.mode == "rb"

    def writable(self) -> bool:
        """Whether it was opened for that."""
        return self._file.mode == "wb"

    def seekable(self) -> bool:
        """Reading can go anywhere."""
        return self.readable()

    def readinto(self, buffer: memoryview) -> int:
        """Fills the buffer as far as the file goes."""
        with _as_os_error(self._url):
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: memoryview) -> int:
        """Takes all of the data."""
        with _as_os_error(self._url):
            self._file.write(bytes(data))
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves to a place, and says which."""
        with _as_os_error(self._url):
            self._file.seek(offset, whence)
            return self._file.tell()

    def tell(self) -> int:
        """Where the next byte is."""
        with _as_os_error(self._url):
            return self._file.tell()

    def close(self) -> None:
        """Closes it, which for a file that is written may be when it is sent."""
        if not self.closed:
            try:
                with _as_os_error(self._url):
                    self._file.close()
            finally:
                super().close()


@functools.lru_cache(maxsize=32)
def _gfile_for(scheme: str) -> types.ModuleType:
    """`tf.io.gfile`, once it knows the scheme; tensorflow-io brings the file systems that TensorFlow does not have."""
    import tensorflow as tf

    if scheme not in tf.io.gfile.get_registered_schemes():
        import tensorflow_io  # noqa: F401  (registers s3, az, hdfs)

        if scheme not in tf.io.gfile.get_registered_schemes():
            known = ", ".join(f"{name}://" for name in sorted(filter(None, tf.io.gfile.get_registered_schemes())))
            raise InputError(f"{scheme}://: no file system that TensorFlow opens; expected a local path or one of {known}")
    if scheme == "s3" and sys.platform == "linux":
        # tensorflow-io 0.37.1 aborts after the last line of a program that used s3://, when C++ clears up; so what comes
        # after Python's own end is left out, and the exit code stays.
        libc = ctypes.CDLL(None)
        libc.on_exit(libc._exit, None)
    return tf.io.gfile


@contextlib.contextmanager
def _as_os_error(url: str) -> Iterator[types.ModuleType]:
    """Gives `tf.io.gfile`, and turns what TensorFlow raises into what `pathlib` would."""
    gfile = _gfile_for(url.partition("://")[0])
    from tensorflow import errors

    try:
        yield gfile
    except errors.NotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), url) from error
    except (errors.PermissionDeniedError, errors.UnauthenticatedError) as error:
        raise PermissionError(errno.EACCES, _one_line(error), url) from error
    except errors.ResourceExhaustedError as error:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), url) from error
    except errors.OpError as error:
        raise RemoteError(errno.EIO, _one_line(error), url) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
