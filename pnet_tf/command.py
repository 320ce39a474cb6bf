"""The wrapper around every command's `main`: flags in, an exit code out, and one line for a person's mistake.

Exit codes: 0 success and `--help`; 2 wrong usage; 1 a wrong file, a full disk or a missing permission; 130 interrupted;
143 terminated.
A package that is not installed and that an extra of this one brings is one line too, with exit code 1.
Anything else that is raised is a fault of this program and keeps its traceback.
"""

import contextlib
import difflib
import errno
import inspect
import logging
import os
import pathlib
import re
import signal
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from absl import flags as absl_flags
from absl import logging as absl_logging

from pnet_tf import __version__
from pnet_tf.errors import InputError, UsageError

_HELP_FLAGS = ("-h", "-help", "--help", "-helpfull", "--helpfull", "-helpshort", "--helpshort")
_HELP_COLUMNS = 100
_KINDS = {
    "int": "integer",
    "float": "number",
    "string": "text",
    "multi string": "text",
    "string enum": "choice",
    "comma separated list of strings": "a,b,...",
}
_FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
_NO_PERMISSION = (errno.EACCES, errno.EPERM, errno.EROFS)
# What a plain `pip install` leaves out, by the extra of setup.cfg that brings it.
_EXTRA_OF = {name: "tf" for name in ("tensorflow", "tensorflow_io", "keras", "librosa", "mir_eval", "intervaltree")}
_EXTRA_OF |= {"apache_beam": "beam", "grpc": "serving", "google": "serving", "onnxruntime": "play", "gradio": "demo"}
_IMPOSSIBLE_NAME = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP)


def run(
    define_flags: Callable[[absl_flags.FlagValues], None],
    main: Callable[..., None],
    argv: Sequence[str] | None = None,
    *,
    allow_positional: bool = False,
    lighter_extra: str = "",
) -> int:
    """Parses the flags of one command, calls its `main` and turns what happens into an exit code.

    Args:
      define_flags: defines the command's flags (`absl.flags.DEFINE_*(..., flag_values=flags)`) on a fresh FlagValues.
      main: called as `main(flags)`, or as `main(flags, arguments)` with the positional arguments, a list of str, if
        `allow_positional`. The first paragraph of its module's docstring is the command's description in `--help`.
      argv: the arguments without the program's name; those of this process if None.
      allow_positional: whether the command takes arguments that are no flags.
      lighter_extra: an extra of the package that does for this command where TensorFlow is not installed.

    Returns:
      The exit code; see the module's docstring.
    """
    # Read by TensorFlow's C++ side when it is first imported, which only `main` does. Below 3 every start on a machine
    # without a GPU prints three lines about CUDA factories as errors; real ones also arrive as Python exceptions.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    program = _program_name(main, argv)
    arguments = list(sys.argv[1:] if argv is None else argv)
    flags = absl_flags.FlagValues()
    flags.set_gnu_getopt(True)
    define_flags(flags)
    if _asks_for_help(arguments):
        sys.stdout.write(_help_text(flags, main, program, allow_positional=allow_positional))
        return 0
    if "--version" in _before_dashes(arguments):
        sys.stdout.write(f"{program} (pnet_tf) {__version__}\n")
        return 0
    with _logging_to_stderr(program):
        try:
            positional = _parse(flags, arguments)
            if positional and not allow_positional:
                raise UsageError(f"unexpected argument {positional[0]!r}: flags are written --name=value (see --help)")
            main(flags, positional) if allow_positional else main(flags)
        except InputError as error:
            return _fail(program, str(error), error.exit_code)
        except KeyboardInterrupt:
            return _fail(program, "interrupted", 130)
        except Terminated:
            return _fail(program, "terminated", 143)
        except Exception as error:
            reason = _what_to_install(error, lighter_extra) or _reason_of_the_machine(error)
            if reason is None:
                raise
            return _fail(program, reason, InputError.exit_code)
    return 0


class Terminated(BaseException):
    """SIGTERM came; as KeyboardInterrupt, nobody's error."""


@contextlib.contextmanager
def unwinding_on_sigterm() -> Iterator[None]:
    """Lets SIGTERM unwind a command as Ctrl-C does, so that temporary files go before it ends, with exit code 143."""

    def leave(number: int, frame: object) -> None:
        """Ends what is being done."""
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _program_name(main: Callable[..., None], argv: Sequence[str] | None) -> str:
    """`prepare`, `pnet-prepare` or `export_savedmodel`: what was called, without folder and ending."""
    if argv is None:
        return pathlib.PurePath(sys.argv[0]).name.removesuffix(".py") or "python"
    return main.__module__.rpartition(".")[2]


def _fail(program: str, message: str, exit_code: int) -> int:
    sys.stderr.write(f"{program}: {_one_line(message)}\n")
    return exit_code


def _one_line(message: str) -> str:
    return re.sub(r"\s*[\r\n]+\s*", " ", message.strip())


# --- flags


def _parse(flags: absl_flags.FlagValues, arguments: Sequence[str]) -> list[str]:
    """Fills `flags` from `arguments` and the flag files named there.

    Returns:
      The positional arguments.

    Raises:
      UsageError: for whatever absl refuses, in one line.
    """
    if "--flagfile=" in arguments:
        raise UsageError("--flagfile= names no file")
    try:
        return flags(["", *arguments])[1:]
    except absl_flags.UnrecognizedFlagError as error:
        raise UsageError(_unknown_flag(flags, error.flagname, arguments)) from error
    except (absl_flags.Error, ValueError) as error:
        raise UsageError(_refused_flag(str(error))) from error


def _refused_flag(message: str) -> str:
    if missing := re.search(r"Flag (--\w+) must have a value other than None", message):
        return f"{missing[1]} is required (see --help)"
    if unopened := re.search(r"Unable to open flagfile: \[Errno \d+\] (.*): (.*)$", message):
        return f"cannot open the flag file {unopened[2]} ({unopened[1]})"
    if "codec can't decode" in message:
        return f"a flag file is not text ({message})"
    return f"{message} (see --help)"


def _unknown_flag(flags: absl_flags.FlagValues, name: str, arguments: Sequence[str]) -> str:
    known = (
        {other for other in flags} | {f"no{other}" for other in flags if flags[other].boolean} | {"flagfile", "help"}
    )
    message = f"unknown flag --{name}"
    if not any(argument.lstrip("-").partition("=")[0] == name for argument in arguments):
        message += " in a flag file"
    if close := difflib.get_close_matches(name, sorted(known), n=1):
        message += f"; did you mean --{close[0]}?"
    return message + " (see --help)"


# --- help


def _asks_for_help(arguments: Sequence[str]) -> bool:
    return any(argument in _HELP_FLAGS for argument in _before_dashes(arguments))


def _before_dashes(arguments: Sequence[str]) -> Sequence[str]:
    return arguments[: arguments.index("--")] if "--" in arguments else arguments


def _help_text(flags: absl_flags.FlagValues, main: Callable[..., None], program: str, *, allow_positional: bool) -> str:
    """Description, usage and every flag with its default, in the order of their definition."""
    paragraph = (inspect.getdoc(inspect.getmodule(main)) or "").split("\n\n")[0]
    rows = [_flag_help(flags[name]) for name in flags if flags[name].name == name]
    rows.append(_entry("--flagfile=FILE", "reads further flags from FILE, one a line; what comes later wins"))
    rows.append(_entry("--help", "shows this text"))
    rows.append(_entry("--version", "shows the version of pnet_tf"))
    usage = f"usage: {program} [--flag=value ...]" + (" ARGUMENT ..." if allow_positional else "")
    return "\n\n".join([textwrap.fill(" ".join(paragraph.split()), _HELP_COLUMNS), usage, "\n".join(rows)]) + "\n"


def _flag_help(flag: absl_flags.Flag) -> str:
    if flag.boolean:
        head = f"--[no]{flag.name}"
    else:
        head = f"--{flag.name}=<{_KINDS.get(flag.flag_type(), flag.flag_type())}>"
    default = "required" if _is_required(flag) else f"default: {_default_text(flag)}"
    return _entry(head, f"{flag.help or ''} ({default})")


def _is_required(flag: absl_flags.Flag) -> bool:
    """absl keeps a required flag as a validator that None does not pass."""
    return flag.default is None and any(not _passes(validator, flag) for validator in flag.validators)


def _passes(validator: Any, flag: absl_flags.Flag) -> bool:
    names = list(validator.get_flags_names())
    if names != [flag.name]:
        return True
    return bool(validator.checker(None))


def _default_text(flag: absl_flags.Flag) -> str:
    if flag.default is None or flag.default == []:
        return "none"
    return flag.default_as_str.strip("'") or "empty"


def _entry(head: str, text: str) -> str:
    indent = " " * 6
    body = textwrap.fill(" ".join(text.split()), _HELP_COLUMNS, initial_indent=indent, subsequent_indent=indent)
    return f"  {head}\n{body}"


# --- what the machine, not the program, did wrong


def _what_to_install(error: Exception, lighter_extra: str) -> str | None:
    """A message for a package that is not installed, where an extra brings it; None for other errors."""
    missing = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if missing not in _EXTRA_OF:
        return None
    asks = f'pip install "pnet_tf[{_EXTRA_OF[missing]}]"'
    if lighter_extra and missing in ("tensorflow", "keras"):
        asks = f'pip install "pnet_tf[{lighter_extra}]" for the shipped voices, or {asks} for everything'
    return f"needs {missing}, which is not installed: {asks}"


def _reason_of_the_machine(error: Exception) -> str | None:
    """A message for a full disk, a missing permission or an impossible name, whoever noticed; None for other errors."""
    # TensorFlow's errors are known by their names: importing it for this would cost every command seconds.
    names = {kind.__name__ for kind in type(error).__mro__}
    number = error.errno if isinstance(error, OSError) else None
    text = str(error)
    if number in _FULL_DISK or ("No space left on device" in text and names & {"OSError", "ResourceExhaustedError"}):
        return f"no space left on the disk: free some and start again ({_without_graph_names(text)})"
    if number in _NO_PERMISSION or "PermissionDeniedError" in names:
        return f"not allowed to write or read here: choose another place ({_without_graph_names(text)})"
    if number in _IMPOSSIBLE_NAME:
        return f"no file or folder can have this name here: choose another ({text})"
    return None


def _without_graph_names(text: str) -> str:
    return re.sub(r"\{\{.*?\}\}\s*|\s*\[Op:\w+\]", "", text)


# --- logging


class _Formatter(logging.Formatter):
    """`prepare: message`, and `prepare: warning: message` from warnings upwards."""

    def __init__(self, program: str) -> None:
        super().__init__()
        self._program = program

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line behind the program's name."""
        level = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        return f"{self._program}: {level}{super().format(record)}"


@contextlib.contextmanager
def _logging_to_stderr(program: str) -> Iterator[None]:
    """absl's messages from info upwards go to stderr while a command runs; what was set before comes back after it."""
    # On the root: absl sets up a second, differently formatted handler there when it finds none.
    root, verbosity = logging.getLogger(), absl_logging.get_verbosity()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(program))
    root.addHandler(handler)
    absl_logging.set_verbosity(absl_logging.INFO)
    try:
        yield
    finally:
        absl_logging.set_verbosity(verbosity)
        root.removeHandler(handler)
