"""Writing files so that they appear whole or not at all."""

import errno
import pathlib
import shutil

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
