"""Writing files so that they appear whole or not at all, and by one process at a time; reading no more than there may be."""

import contextlib
import errno
import os
import pathlib
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, BinaryIO

from absl import logging

from pnet_tf.errors import InputError
from pnet_tf.remote import AnyPath, RemotePath

if TYPE_CHECKING:
    import numpy as np

_BLOCK_BYTES = 2**20
_SMALL_BYTES = 64 * 2**20


def write_whole(path: AnyPath, text: str) -> None:
    """Writes a text file under a temporary name and renames it; a failure leaves what was there.

    Args:
      path: the file; its folder exists.
      text: its content, written as UTF-8.

    Raises:
      OSError: it cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def temporary_beside(path: pathlib.Path) -> pathlib.Path:
    """A new empty file in the folder of another, for a library that writes files by name.

    Args:
      path: where the file is wanted in the end; its folder is made when it is missing.

    Raises:
      OSError: the folder or the file cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    return pathlib.Path(name)


def put_in_place(temporary: pathlib.Path, path: pathlib.Path) -> None:
    """Renames what `temporary_beside` made, and makes it as readable as other new files are.

    Args:
      temporary: the whole file.
      path: its name from now on; what was there is replaced.

    Raises:
      OSError: it cannot be renamed.
    """
    mask = os.umask(0)
    os.umask(mask)
    temporary.chmod(0o666 & ~mask)
    os.replace(temporary, path)


def require_space(folder: pathlib.Path, n_bytes: int) -> None:
    """Checks for room before a library writes that takes a full disk badly.

    Args:
      folder: an existing folder of the disk.
      n_bytes: what is going to be written.

    Raises:
      OSError: ENOSPC, there is less room than that.
    """
    if (free := shutil.disk_usage(folder).free) < n_bytes:
        raise OSError(errno.ENOSPC, f"{n_bytes / 1e6:.1f} MB wanted, {free / 1e6:.1f} MB free", str(folder))


def write_arrays(path: pathlib.Path, arrays: "Mapping[str, np.ndarray]") -> None:
    """Writes arrays as the uncompressed zip that `numpy.load` reads; numpy's own writer goes on talking on a full disk.

    Args:
      path: the file, by its own name or by one that it bears until it is whole.
      arrays: any [...] by name.

    Raises:
      OSError: it cannot be written; a part of it may be there.
    """
    import numpy as np

    require_space(path.parent, sum(array.nbytes for array in arrays.values()))
    with path.open("wb") as file:
        with zipfile.ZipFile(file, "w") as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def held(path: pathlib.Path, *, taken: str) -> Iterator[None]:
    """Keeps a file or folder to one process at a time, on file systems that know locks; a killed one leaves none behind.

    Args:
      path: what is there already; nothing is written to it.
      taken: what is said where another process holds it.

    Raises:
      InputError: another process holds it.
      OSError: it cannot be opened.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(taken) from error
        except OSError as error:
            logging.warning("%s: this file system has no locks (%s); let only one process work there", path, error.strerror)
        yield
    finally:
        os.close(handle)


# --- reading


def is_regular(path: AnyPath) -> bool:
    """Whether a path leads, over links, to what has an end: no pipe, device or socket; what is remote always does.

    Raises:
      OSError: there is nothing, or nothing that may be looked at.
    """
    return isinstance(path, RemotePath) or stat.S_ISREG(path.stat().st_mode)


def open_regular(path: AnyPath) -> BinaryIO:
    """Opens a file that a person names, to be read as bytes; one that is no regular file may be waited for in vain.

    Raises:
      OSError: it cannot be opened, or is not a regular file.
    """
    if isinstance(path, pathlib.Path) and not path.is_dir() and not is_regular(path):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return path.open("rb")


def read_up_to(file: BinaryIO, n_bytes: int) -> bytes:
    """The next bytes of a file, fewer only at its end; the memory taken is that of what is there, not of what is asked for."""
    blocks = []
    while n_bytes > 0 and (block := file.read(min(n_bytes, _BLOCK_BYTES))):
        blocks.append(block)
        n_bytes -= len(block)
    return b"".join(blocks)


def read_small(path: AnyPath, limit_bytes: int = _SMALL_BYTES) -> bytes:
    """The content of a file that this package writes small.

    Args:
      path: local or remote.
      limit_bytes: the most that it may hold.

    Raises:
      InputError: it is larger, or not a regular file.
      OSError: it cannot be read.
    """
    if not path.is_dir() and not is_regular(path):
        raise InputError(f"{path}: not a regular file, expected one of at most {limit_bytes >> 20} MiB")
    with path.open("rb") as file:
        data = read_up_to(file, limit_bytes + 1)
    if len(data) > limit_bytes:
        raise InputError(f"{path}: larger than {limit_bytes >> 20} MiB, no such file is")
    return data
