"""Writing files so that they appear whole or not at all."""

import os
import pathlib


def write_whole(path: pathlib.Path, text: str) -> None:
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
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
