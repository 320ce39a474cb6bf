"""`serve` as a person meets it before a browser does: flags, a taken port, a missing Gradio."""

import os
import socket
import sys

import pytest

from pnet_tf import command, serve_command


def failure(capsys, *arguments):
    """Exit code and what is said on stderr, in one line."""
    code = command.run(serve_command.define_flags, serve_command.main, list(arguments))
    said = capsys.readouterr().err
    assert "Traceback" not in said and said.count("\n") == 1
    return code, said.strip().removeprefix("serve_command: ")


@pytest.fixture(autouse=True)
def _environment_as_it_was(monkeypatch):
    monkeypatch.setattr(os, "environ", os.environ.copy())


@pytest.mark.parametrize("flag", ["--max_minutes=0", "--max_minutes=nan", "--max_upload_mb=65", "--max_upload_mb=-1"])
def test_limits_out_of_range_are_wrong_usage(flag, capsys):
    code, said = failure(capsys, flag)
    assert code == 2 and said.startswith(flag.partition("=")[0]) and "expected above 0" in said


def test_a_port_in_use_is_one_line(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, said = failure(capsys, f"--port={port}")
    assert code == 1
    assert said == f"127.0.0.1:{port} cannot be listened on (Address already in use); give another --port or --host"


def test_an_address_that_is_none_is_one_line(capsys):
    code, said = failure(capsys, "--host=no.such.name.invalid", "--port=0")
    assert code == 1 and "no such address" in said


def test_without_gradio_it_says_what_to_install(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    code, said = failure(capsys, "--port=0")
    assert code == 1 and 'pip install "pnet_tf[demo]"' in said


def test_a_folder_that_is_no_voice_is_one_line_before_it_listens(capsys, tmp_path):
    code, said = failure(capsys, "--port=0", f"--voice={tmp_path}")
    assert code == 1 and "nor a voice folder" in said


def test_gradio_is_told_to_tell_nobody_anything():
    serve_command._be_private()
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False" and os.environ["HF_HUB_OFFLINE"] == "1"


def test_it_listens_on_loopback_alone_by_default():
    from absl import flags as absl_flags

    flags = absl_flags.FlagValues()
    serve_command.define_flags(flags)
    assert (flags["host"].default, flags["port"].default) == ("127.0.0.1", 7860)
    with serve_command._listening("127.0.0.1", 0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
