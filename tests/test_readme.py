"""What the README and the documents promise exists: commands, flags, files."""

import importlib
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import textwrap
import time

import pytest
from absl import flags as absl_flags
from test_house import console_scripts

from pnet_tf import voice_folder
from tests.docs_pages import ROOT, pages

README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = pages()
MODULES = {
    "tools/download_musicnet.py": "download",
    "tools/export_savedmodel.py": "export_command",
    "tools/perform.py": "perform_command",
    "tools/serving_client.py": "serving_client",
    "tools/evaluate.py": "evaluate",
    "tools/inspect_shards.py": "inspect_shards",
    "tools/draw_curves.py": "curves",
    "tools/bench.py": "bench",
    "tools/serve.py": "serve_command",
    "pnet_tf.prepare": "prepare",
    "pnet_tf.train": "train",
}
PROGRAM = r"(?:python (?:-m )?|(?:(?<=`)|^)(?=pnet-))(tools/\w+\.py|pnet_tf\.\w+|pnet-[\w-]+)"
COMMAND = re.compile(PROGRAM + r"((?:\\\n|[^\n`])*)", re.MULTILINE)


def commands():
    """Every command of the package in the documents: program and the flags that follow it."""
    for path in DOCUMENTS:
        for program, rest in COMMAND.findall(path.read_text(encoding="utf-8")):
            yield pytest.param(program, re.findall(r"(?<![=\w])--(\w+)", rest), id=f"{path.name}-{program}")


def flags_of(program):
    """The flags of a command of the package, or of a script that is one by itself."""
    flags = absl_flags.FlagValues()
    if program in (consoles := console_scripts()):
        module = importlib.import_module(consoles[program].split(":")[0])
    elif program in MODULES:
        module = importlib.import_module(f"pnet_tf.{MODULES[program]}")
    else:
        spec = importlib.util.spec_from_file_location(pathlib.Path(program).stem, ROOT / program)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    module.define_flags(flags)
    return flags


def test_commands_are_found_under_all_their_names():
    text = "python -m pnet_tf.train --a \\\n --b\n`pnet-perform --c` python tools/bench.py x --d=--e"
    found = [(program, re.findall(r"(?<![=\w])--(\w+)", rest)) for program, rest in COMMAND.findall(text)]
    assert found == [("pnet_tf.train", ["a", "b"]), ("pnet-perform", ["c"]), ("tools/bench.py", ["d"])]


@pytest.mark.parametrize(("program", "names"), list(commands()))
def test_a_command_in_the_documents_has_the_flags_it_is_given(program, names):
    known = flags_of(program)
    switched_off = {f"no{name}" for name in known if known[name].boolean}
    assert set(names) - {"flagfile", "help", "version"} <= set(known) | switched_off


def tables():
    """The rows of all tables in the documents that begin with a flag."""
    for path in DOCUMENTS:
        yield from re.findall(r"^\| `--.*$", path.read_text(encoding="utf-8"), re.MULTILINE)


def test_flags_in_tables_of_the_documents_exist():
    everything = {name for program in MODULES for name in flags_of(program)}
    named = {name for row in tables() for name in re.findall(r"`--(\w+)", row)}
    assert len(named) > 40
    assert named <= everything


@pytest.mark.parametrize("program", ["pnet_tf.prepare", "pnet_tf.train", "tools/perform.py", "tools/evaluate.py"])
def test_every_flag_of_a_command_is_in_some_document(program):
    text = "".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    named = set(re.findall(r"--(\w+)", text))
    assert set(flags_of(program)) - named == set()


def test_the_demo_performs_with_a_voice_that_is_shipped():
    if not voice_folder.shipped():
        pytest.skip("no voice is shipped yet")
    recipe = re.search(r"^demo:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[1]
    (name,) = re.findall(r"--model=(\w+) ", recipe)
    assert name in voice_folder.shipped()


def test_the_four_arguments_of_the_original_are_flags():
    assert {"instrument", "epochs", "test_every", "experiment"} <= set(flags_of("pnet_tf.train"))


def test_every_flag_file_named_is_there():
    for name in set(re.findall(r"configs/\w+\.flags", README)):
        assert (ROOT / name).exists()


@pytest.mark.parametrize("index", [0, 1])
def test_the_pods_of_the_kubernetes_manifest_find_each_other(index):
    """Its shell line gives each pod a TF_CONFIG that a training understands, with the names that an indexed job has."""
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    manifest = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1]
    (export,) = re.findall(r"export (TF_CONFIG=.*)", manifest)
    shell = subprocess.run(
        ["bash", "-c", f'{export}; printf %s "$TF_CONFIG"'],
        env={"PATH": os.environ["PATH"], "JOB_COMPLETION_INDEX": str(index)},
        capture_output=True,
        text=True,
        check=True,
    )
    config = json.loads(shell.stdout)
    job, service = re.findall(r"^  name: (\S+)$", manifest, re.MULTILINE)[::-1]
    n_pods = int(re.search(r"completions: (\d+)", manifest)[1])
    assert [address.split(":")[0] for address in config["cluster"]["worker"]] == [f"{job}-{k}.{service}" for k in range(n_pods)]
    assert config["task"] == {"type": "worker", "index": index}
    assert f"subdomain: {service}" in manifest and f"job-name: {job}" in manifest


@pytest.mark.parametrize(("stub", "stop", "code"), [("touch $LAST", False, 0), ("exit 1", False, 1), ("sleep 20", True, 1)])
def test_a_pod_of_the_kubernetes_manifest_ends_well_only_at_the_last_step(stub, stop, code, tmp_path):
    """With a stand-in for the training that ends, fails, or is asked to stop and exits with 0."""
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    script = textwrap.dedent(re.search(r"args:\n +- \|\n(.*?)\n +resources:", text, re.DOTALL)[1])
    steps, last = re.search(r"--steps=(\d+)", script)[1], re.search(r"test -e (\S+)", script)[1]
    assert last.endswith(f"step-{int(steps):09d}.npz")
    python = tmp_path / "python"
    python.write_text(f"#!/bin/bash\ntrap 'kill %1; exit 0' TERM\ntouch {tmp_path}/begun\n({stub}) & wait %1\n")
    python.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "JOB_COMPLETION_INDEX": "0", "LAST": str(tmp_path / "last")}
    with subprocess.Popen(["bash", "-c", script.replace(last, str(tmp_path / "last"))], env=environment) as pod:
        if stop:
            while not (tmp_path / "begun").exists():
                time.sleep(0.02)
            pod.terminate()
        assert pod.wait(timeout=15) == code
