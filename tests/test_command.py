"""Exit codes, one-line messages and help of the wrapper around every command."""

import configparser
import errno
import pathlib
import subprocess
import sys

import pytest
from absl import flags as absl_flags
from absl import logging

import pnet_tf
from pnet_tf import command
from pnet_tf.errors import InputError, UsageError

set_up = configparser.ConfigParser()
set_up.read(pathlib.Path(__file__).resolve().parent.parent / "setup.cfg", encoding="utf-8")


class ResourceExhaustedError(Exception):
    """Bears the name of TensorFlow's error."""


class PermissionDeniedError(Exception):
    """Bears the name of TensorFlow's error."""


def define_flags(flags):
    absl_flags.DEFINE_string("out", None, "where the result goes", required=True, flag_values=flags)
    absl_flags.DEFINE_integer("steps", 3, "how many", lower_bound=1, flag_values=flags)
    absl_flags.DEFINE_float("rate", 0.5, "how fast", short_name="r", flag_values=flags)
    absl_flags.DEFINE_boolean("plot", False, "whether to draw", flag_values=flags)
    absl_flags.DEFINE_multi_string("score", [], "what to play", flag_values=flags)
    absl_flags.DEFINE_enum("preset", "paper", ["paper", "small"], "which model", flag_values=flags)


def run(*argv, main=lambda flags: None, **options):
    return command.run(define_flags, main, list(argv), **options)


def failure(capsys, *argv, main=lambda flags: None, **options):
    """The exit code and the one line on stderr, without the program's name."""
    code = run(*argv, main=main, **options)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1, captured.err
    program, _, message = captured.err.rstrip("\n").partition(": ")
    assert program == "test_command"
    return code, message


def raises(error):
    def main(flags):
        raise error

    return main


def test_main_gets_the_parsed_flags_and_success_is_0(capsys):
    seen = {}
    code = run(
        "--out=x", "--steps=7", "--plot", "--score=a", "--score=b", main=lambda f: seen.update(f.flag_values_dict())
    )
    assert code == 0
    assert seen == {"out": "x", "steps": 7, "rate": 0.5, "r": 0.5, "plot": True, "score": ["a", "b"], "preset": "paper"}
    assert capsys.readouterr() == ("", "")


def test_two_calls_share_no_flags():
    seen = []
    assert run("--out=x", "--steps=7", main=lambda flags: seen.append(flags.steps)) == 0
    assert run("--out=x", main=lambda flags: seen.append(flags.steps)) == 0
    assert seen == [7, 3]


@pytest.mark.parametrize("argument", ["--help", "-h", "--helpfull", "-help"])
def test_help_is_on_stdout_with_every_flag_its_default_and_exit_code_0(capsys, argument):
    assert run(argument, main=raises(AssertionError("main ran"))) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("Exit codes, one-line messages and help of the wrapper around every command.\n")
    assert "usage: test_command [--flag=value ...]\n" in out
    assert "  --out=<text>\n      where the result goes (required)\n" in out
    assert "  --steps=<integer>\n      how many (default: 3)\n" in out
    assert "  --[no]plot\n      whether to draw (default: false)\n" in out
    assert "<paper|small>: which model (default: paper)" in out
    assert "(default: none)" in out
    assert "--flagfile=FILE" in out
    assert "--r=" not in out


def test_the_version_is_on_stdout_whatever_else_is_asked_for(capsys):
    assert run("--steps=0", "--version", main=raises(AssertionError("main ran"))) == 0
    assert capsys.readouterr() == (f"test_command (pnet_tf) {pnet_tf.__version__}\n", "")


def test_help_after_two_dashes_is_an_argument():
    seen = []
    main = lambda flags, arguments: seen.extend(arguments)  # noqa: E731
    assert run("--out=x", "--", "--help", main=main, allow_positional=True) == 0
    assert seen == ["--help"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--out=x", "--step=3"], "unknown flag --step; did you mean --steps? (see --help)"),
        (["--out=x", "--zzzzzz=3"], "unknown flag --zzzzzz (see --help)"),
        (["--out=x", "--noplott"], "unknown flag --noplott; did you mean --noplot? (see --help)"),
        (["--out=x", "--steps=0"], "flag --steps=0: 0 is not a positive integer (see --help)"),
        (["--out=x", "--steps=many"], "flag --steps=many: invalid literal for int() with base 10: 'many' (see --help)"),
        (["--out=x", "--preset=big"], "flag --preset=big: value should be one of <paper|small> (see --help)"),
        (["--out=x", "--steps"], "Missing value for flag --steps (see --help)"),
        (["--out=x", "--noplot=1"], "--noplot=1 does not take an argument (see --help)"),
        (["--steps=3"], "--out is required (see --help)"),
        (["--out=x", "y"], "unexpected argument 'y': flags are written --name=value (see --help)"),
        (["y", "--out=x"], "unexpected argument 'y': flags are written --name=value (see --help)"),
        (
            ["--out=x", "--flagfile=no/such.flags"],
            "cannot open the flag file 'no/such.flags' (No such file or directory)",
        ),
        (["--out=x", "--flagfile="], "--flagfile= names no file"),
    ],
)
def test_wrong_usage_is_one_line_and_2(capsys, argv, message):
    assert failure(capsys, *argv) == (2, message)


def test_flag_files_nest_and_what_comes_later_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inner.flags").write_text("--rate=0.25\n--steps=5\n")
    (tmp_path / "outer.flags").write_text("# a comment\n\n--flagfile=inner.flags\n--steps=6\n--out=file\n")
    seen = []
    main = lambda flags: seen.append((flags.out, flags.steps, flags.rate))  # noqa: E731
    assert run("--flagfile=outer.flags", main=main) == 0
    assert run("--flagfile=outer.flags", "--steps=7", main=main) == 0
    assert run("--flagfile", "outer.flags", "--out=line", main=main) == 0
    assert seen == [("file", 6, 0.25), ("file", 7, 0.25), ("line", 6, 0.25)]


def test_an_unknown_flag_of_a_flag_file_is_refused_and_placed(tmp_path, capsys):
    path = tmp_path / "some.flags"
    path.write_text("--out=x\n--stepps=6\n")
    message = "unknown flag --stepps in a flag file; did you mean --steps? (see --help)"
    assert failure(capsys, f"--flagfile={path}") == (2, message)


def test_a_flag_file_that_is_no_text_is_refused(tmp_path, capsys):
    path = tmp_path / "some.flags"
    path.write_bytes(b"\xff\xfe\x00\x80")
    code, message = failure(capsys, "--out=x", f"--flagfile={path}")
    assert code == 2
    assert message.startswith("a flag file is not text")


def test_positional_arguments_reach_a_command_that_takes_them(capsys):
    seen = []
    code = run("a", "--out=x", "b", main=lambda flags, arguments: seen.extend(arguments), allow_positional=True)
    assert (code, seen) == (0, ["a", "b"])
    run("--help", allow_positional=True)
    assert "usage: test_command [--flag=value ...] ARGUMENT ..." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (InputError("x.mid: no notes\n  found in it"), 1, "x.mid: no notes found in it"),
        (UsageError("--width must be above 0"), 2, "--width must be above 0"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_a_persons_mistake_ends_in_its_exit_code(capsys, error, code, message):
    assert failure(capsys, "--out=x", main=raises(error)) == (code, message)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "out.wav"),
        OSError("Can't write data (file write failed: errno = 28, error message = 'No space left on device')"),
        ResourceExhaustedError("{{function_node x}} out.wav; No space left on device [Op:WriteFile]"),
    ],
)
def test_a_full_disk_is_one_line_and_1(capsys, error):
    code, message = failure(capsys, "--out=x", main=raises(error))
    assert code == 1
    assert message.startswith("no space left on the disk: free some and start again (")
    assert "{{" not in message and "[Op" not in message


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, "Permission denied", "out.wav"),
        OSError(errno.EROFS, "Read-only file system", "out.wav"),
        PermissionDeniedError("out.wav; Permission denied"),
    ],
)
def test_a_missing_permission_is_one_line_and_1(capsys, error):
    code, message = failure(capsys, "--out=x", main=raises(error))
    assert code == 1
    assert message.startswith("not allowed to write or read here: choose another place (") and "out.wav" in message


@pytest.mark.parametrize(
    ("missing", "options", "asks"),
    [
        ("tensorflow.python", {}, 'needs tensorflow, which is not installed: pip install "pnet_tf[tf]"'),
        ("apache_beam", {}, 'needs apache_beam, which is not installed: pip install "pnet_tf[beam]"'),
        ("keras", {"lighter_extra": "play"}, 'pip install "pnet_tf[play]" for the shipped voices, or pip install "pnet_tf[tf]"'),
        ("librosa", {"lighter_extra": "play"}, 'needs librosa, which is not installed: pip install "pnet_tf[tf]"'),
    ],
)
def test_a_package_that_an_extra_brings_is_one_line_and_1(capsys, missing, options, asks):
    error = ModuleNotFoundError(f"No module named {missing!r}", name=missing)
    code, message = failure(capsys, "--out=x", main=raises(error), **options)
    assert code == 1 and asks in message


def test_every_extra_that_a_message_names_brings_the_package():
    brought = {
        requirement.partition(" ")[0].split(">")[0].split("=")[0].replace("-", "_"): extra
        for extra in set(command._EXTRA_OF.values())
        for requirement in set_up["options.extras_require"][extra].split("\n")
    }
    distribution = {"grpc": "grpcio", "google": "protobuf"}
    assert {name: brought.get(distribution.get(name, name)) for name in command._EXTRA_OF} == command._EXTRA_OF


@pytest.mark.parametrize("error", [ModuleNotFoundError("No module named 'tensorflow'"), ImportError("x", name="tensorflow")])
def test_what_is_not_plainly_missing_keeps_its_traceback(error):
    """A TensorFlow that is there and cannot start, for one."""
    with pytest.raises(ImportError):
        run("--out=x", main=raises(error))


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("ours"), OSError(errno.EIO, "broken"), ResourceExhaustedError("OOM when allocating")]
)
def test_any_other_error_is_ours_and_keeps_its_traceback(error):
    with pytest.raises(type(error)):
        run("--out=x", main=raises(error))


def test_messages_go_to_stderr_while_a_command_runs_and_settings_come_back(capsys):
    before = logging.get_verbosity()

    def main(flags):
        logging.info("12 recordings")
        logging.warning("one is short")

    assert run("--out=x", main=main) == 0
    assert capsys.readouterr() == ("", "test_command: 12 recordings\ntest_command: warning: one is short\n")
    assert logging.get_verbosity() == before


PROGRAM = """
import sys
sys.modules["tensorflow"] = None
from absl import flags as absl_flags, logging
import pnet_tf
from pnet_tf import command

def define_flags(flags):
    absl_flags.DEFINE_string("out", None, "where", flag_values=flags)

def main(flags):
    logging.info("hello")
    import os
    print(os.environ["TF_CPP_MIN_LOG_LEVEL"], flags.out)
    open(flags.out, "wb", buffering=0).write(b"x")

sys.exit(command.run(define_flags, main))
"""


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["--out=/dev/null"], 0, "thing: hello\n"),
        (["--out=/dev/full"], 1, "thing: hello\nthing: no space left on the disk: free some and start again "),
        (["--outt=x"], 2, "thing: unknown flag --outt; did you mean --out? (see --help)\n"),
    ],
)
def test_a_process_of_its_own(tmp_path, pytestconfig, arguments, code, error):
    script = tmp_path / "thing.py"
    script.write_text(PROGRAM)
    environment = {"PYTHONPATH": str(pytestconfig.rootpath)}
    done = subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, env=environment, timeout=60
    )
    assert done.returncode == code
    assert done.stderr.startswith(error)
    assert done.stdout in ("", f"3 {arguments[0][6:]}\n")


@pytest.mark.parametrize("number", [errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST])
def test_a_name_that_no_file_can_have_is_one_line(number, capsys):
    code, message = failure(capsys, "--out=x", main=raises(OSError(number, "not this one", "some/name")))
    assert code == 1
    assert message.startswith("no file or folder can have this name here: choose another (")
    assert "some/name" in message
