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


class InputError(Exception):
    """A file, folder or value that a person gave cannot be used (exit code 1).

    The message is one line: what was got, what was expected, where, and what to do.
    """

    exit_code = 1


class UsageError(InputError):
    """A command was called in a wrong way: an unknown flag, a missing one, a value out of range (exit code 2)."""

    exit_code = 2
