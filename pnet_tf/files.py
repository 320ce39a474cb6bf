"""Writing files so that they appear whole or not at all."""

import errno
import os
import pathlib
import shutil
import tempfile

from pnet_tf.remote import AnyPath


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
