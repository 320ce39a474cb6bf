"""CONTRIBUTING.md is true: what it names exists, and its five steps add an instrument."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
import soundfile
from conftest import run_command

from pnet_tf import perform_command

ROOT = pathlib.Path(__file__).resolve().parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
STEPS = TEXT[TEXT.index("## How to add an instrument in five steps") :]
# The same commands in seconds instead of days.
SMALL = {
    "pnet_tf.prepare": ["--window_frames=64", "--workers=1"],
    "pnet_tf.train": ["--width=0.015625", "--bands=2,4", "--batch_size=2", "--window_frames=64", "--steps=4"],
    "tools/perform.py": ["--iterations=2", "--tempo=4", "--transpose=auto"],
}


def blocks(kind):
    return [block for found, block in re.findall(r"```(\w+)\n(.*?)```", STEPS, re.DOTALL) if found == kind]


def test_there_are_five_steps():
    assert re.findall(r"^\*\*(\d)\. ", STEPS, re.MULTILINE) == list("12345")


def test_targets_and_files_that_it_names_exist():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {name for name in re.findall(r"\bmake ([\w-]+)", TEXT) if name not in targets} == set()
    for name in re.findall(r"\]\(([^)#:]+)[)#]", TEXT) + re.findall(r"`((?:pnet_tf|tests|tools)/[\w/]+\.py)`", TEXT):
        if name != "pnet_tf/X.py":
            assert (ROOT / name).exists() or name == "tests/test_X.py", name


def small(line):
    """A command of the document with flags that make it short."""
    return line + "".join(f" {flag}" for program, flags in SMALL.items() if f" {program} " in line for flag in flags)


def take_step(line, repository):
    path = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(repository), "EDITOR": "touch"}
    done = subprocess.run(["bash", "-c", line], cwd=repository, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{line}\n{done.stderr}"
    return done.stderr


@pytest.fixture
def repository(tmp_path):
    """A copy of what a contributor works on, with takes of the instrument that is to be added, made up by the demo's script."""
    for name in ("pnet_tf", "tools", "configs", "examples"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.mark.slow
def test_the_five_steps_add_an_instrument(repository):
    (line,) = blocks("python")
    name = re.search(r'"(\w+)"', line)[1]
    table = repository / "pnet_tf" / "instruments.py"
    before = table.read_text(encoding="utf-8")
    assert name not in before
    table.write_text(before.replace('        "viola"', line + '        "viola"'), encoding="utf-8")
    take_step(f"python tools/make_demo_corpus.py --instrument={name} --out=my_takes", repository)
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(lines) == 6
    said = [take_step(small(line), repository) for line in lines]
    assert f"of {name}" in said[-1], said[-1]
    assert (repository / "pnet_tf" / "voices" / name / "weights.npz").exists()
    samples, rate = soundfile.read(repository / f"{name}.wav")
    assert rate == 44100 and len(samples) > 5 * rate and abs(samples).max() > 1e-4


@pytest.mark.slow
def test_a_voice_outside_the_package_is_performed_by_its_path(tiny_voice, tmp_path):
    """As the last paragraph says."""
    asks = ["--score=example:ode_to_joy_flute", f"--out={tmp_path / 'x.wav'}", "--iterations=1", "--tempo=8"]
    assert run_command(perform_command, f"--model={shutil.copytree(tiny_voice, tmp_path / 'anywhere')}", *asks) == 0
    assert (tmp_path / "x.wav").stat().st_size > 1000
