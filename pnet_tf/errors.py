"""A person's mistakes: each ends a command with one line on stderr and an exit code, never with a traceback."""

import struct
import tokenize
import zipfile
import zlib

# What json, numpy and zipfile raise on damaged files. TokenError: numpy on a header; RuntimeError: a flag that says
# encrypted, or an unknown compression.
DAMAGED = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, RuntimeError, SyntaxError, ArithmeticError),
    *(MemoryError, zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError),
)
_MOST_CHARACTERS = 1200
_KEPT_AT_END = 300


class InputError(Exception):
    """A file, folder or value that a person gave cannot be used (exit code 1).

    The message is one line: what was got, what was expected, where, and what to do. It may quote what a file holds, and a
    file may hold anything: lines are joined, what no terminal should print is escaped, and of a long one the midst is left out.
    """

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        """Keeps the message, as one line."""
        line = _shortened(" ".join(part.strip() for part in str(message).splitlines()))
        # An escaped character takes up to ten.
        super().__init__(_shortened("".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)))


def _shortened(line: str) -> str:
    if len(line) <= _MOST_CHARACTERS:
        return line
    return f"{line[: _MOST_CHARACTERS - _KEPT_AT_END]} ... {line[-_KEPT_AT_END:]}"


class UsageError(InputError):
    """A command was called in a wrong way: an unknown flag, a missing one, a value out of range (exit code 2)."""

    exit_code = 2
