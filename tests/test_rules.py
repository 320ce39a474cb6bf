"""Each feature rule has a test that fails when the rule is broken: every break of `rule_breaks`, on a copy.

The slow test takes the copies through pytest, several at a time. A row is wrong when its text is no longer in the code.
"""

import ast
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
import rule_breaks

ROOT = pathlib.Path(__file__).resolve().parent.parent
NEEDED = ("pnet_tf", "tests", "examples", "configs", "tools", "setup.cfg")
BREAKS = [(rule, row) for rule, rows in rule_breaks.RULES.items() for row in rows]
TIMEOUT_SEC = 1200
# Put at the root of each copy: the tests must see the copy, and not the package that is installed.
ORIGIN_CHECK = """
import pathlib

import pnet_tf

assert pathlib.Path(pnet_tf.__file__).resolve().parent.parent == pathlib.Path(__file__).resolve().parent
"""
# A test that fails on one of these has met a break that is no program, and proves nothing.
NO_BREAK = re.compile(r"^E +(NameError|ImportError|ModuleNotFoundError|SyntaxError|IndentationError)\b", re.MULTILINE)


def copy_tree(folder: pathlib.Path) -> pathlib.Path:
    """A copy of what the tests need, without shipped voices."""
    leave_out = shutil.ignore_patterns("__pycache__", "voices", ".*")
    for name in NEEDED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=leave_out)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / name)
    (folder / "conftest.py").write_text(ORIGIN_CHECK)
    return folder


def break_rule(row: rule_breaks.Break, folder: pathlib.Path) -> None:
    """Puts the break of a row into a copy."""
    path = folder / row.file
    text = path.read_text(encoding="utf-8")
    assert text.count(row.old) == 1, f"{row.file}: {row.old!r} occurs {text.count(row.old)} times"
    path.write_text(text.replace(row.old, row.new), encoding="utf-8")


def run_tests(folder: pathlib.Path, nodes: list[str]) -> subprocess.CompletedProcess:
    """Takes nodes of a copy through pytest, up to the first failure."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", *nodes]
    # Two processes share few cores: threads of their own would only be in each other's way.
    threads = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    environment = {**os.environ, **threads, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT_SEC, check=False
    )


def what_is_wrong(rule: str, row: rule_breaks.Break, folder: pathlib.Path) -> str:
    """Breaks a rule in a copy of its own; says what is wrong where no test fails by it, else nothing."""
    break_rule(row, copy_tree(folder))
    done = run_tests(folder, list(row.nodes))
    shutil.rmtree(folder)
    noticed = done.returncode == 1 and " failed" in done.stdout and not NO_BREAK.search(done.stdout)
    if noticed:
        return ""
    return f"{rule}: {row.file}: {row.new!r} is not noticed by {', '.join(row.nodes)} (exit code {done.returncode})" + (
        "\n" + done.stdout[-1500:] + done.stderr[-500:] if done.returncode else ""
    )


@pytest.mark.slow
def test_every_rule_has_a_test_that_fails_when_it_is_broken(tmp_path):
    """And the same tests pass on a copy that nobody broke."""
    nodes = sorted({node for _, row in BREAKS for node in row.nodes})
    with concurrent.futures.ThreadPoolExecutor(max(2, len(os.sched_getaffinity(0)))) as pool:
        whole = pool.submit(run_tests, copy_tree(tmp_path / "whole"), nodes)
        tries = [pool.submit(what_is_wrong, rule, row, tmp_path / str(k)) for k, (rule, row) in enumerate(BREAKS)]
        wrong = [message for one in tries if (message := one.result())]
    done = whole.result()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert not wrong, "\n".join([f"{len(wrong)} of {len(BREAKS)} breaks:", *wrong])


def test_every_rule_has_a_break():
    assert len(rule_breaks.RULES) >= 50
    assert not [rule for rule, rows in rule_breaks.RULES.items() if not rows]
    assert all(row.nodes and row.old != row.new for _, row in BREAKS)


@pytest.mark.parametrize("row", [row for _, row in BREAKS], ids=[f"{k}-{row.file}" for k, (_, row) in enumerate(BREAKS)])
def test_the_text_to_break_is_in_the_code_once(row):
    """And what stands in its place is Python."""
    text = (ROOT / row.file).read_text(encoding="utf-8")
    assert text.count(row.old) == 1, f"{row.old!r}: the code has changed; bring its row in rule_breaks.py up to date"
    compile(text.replace(row.old, row.new), row.file, "exec")


def test_the_tests_that_should_fail_exist_and_are_quick():
    for path, names in _names_by_file().items():
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert names <= set(functions), f"{path}: {sorted(names - set(functions))}"
        slow = [name for name in names if any("slow" in ast.unparse(mark) for mark in functions[name].decorator_list)]
        assert not slow, f"{path}: {slow} would be left out"


def _names_by_file() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for _, row in BREAKS:
        for node in row.nodes:
            path, _, name = node.partition("::")
            found.setdefault(path, set()).add(name)
    return found
