"""The commands in the documents: each block is run, or a comment before it says who runs it or why nobody can.

    python -m tests.docs_commands

prints every block with what becomes of it. The comment right before a block is one of

    <!-- run ... -->                 tests/test_docs_commands.py runs it in a copy of the repository (make test-slow); see below
    <!-- run by tests/test_x.py -->  that test, or a target such as `make demo`, runs the same; or a page that has the same block
    <!-- not run: the reason -->     what it needs is not to be had in a test

Blocks of a page share one copy, from top to bottom. After `run` a comment may have lines that say what is
another than on the page:

    first: COMMAND            run before the block, to make what a reader has already
    instead: A -> B           B where the block says A
    add: PROGRAM FLAGS        flags behind each command of PROGRAM, where they win
    skip: START (REASON)      commands that begin so are left out
    until: TEXT               the block does not end by itself: it is stopped when it has said this
    leaves: FILE FILE         what must lie there afterwards, and not be empty
"""

import dataclasses
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading

from tests.docs_pages import ROOT, Block, Page, pages

SHELL = ("sh", "bash", "console", "shell")
KEYS = ("first", "instead", "add", "skip", "until", "leaves")
LIMIT_SEC = 600


class WrongCommentError(ValueError):
    """A comment before a block that says nothing that can be followed."""


@dataclasses.dataclass(frozen=True)
class Fate:
    """What becomes of a block.

    Attributes:
      kind: `run`, `run by` or `not run`.
      told: the reason, or who runs it.
      rules: of `run`, each line's values by its key.
    """

    kind: str
    told: str = ""
    rules: dict[str, list[str]] = dataclasses.field(default_factory=lambda: {key: [] for key in KEYS})


def fate_of(block: Block) -> Fate:
    """Reads the comment before a block.

    Raises:
      WrongCommentError: it is none of those above.
    """
    head, *lines = [line.strip() for line in block.comment.splitlines() if line.strip()] or [""]
    whole = " ".join([head, *lines])
    if match := re.match(r"not run[^:]*: (.{15,})", whole):
        return Fate("not run", match[1])
    if match := re.match(r"run by (tests/\w+\.py|make [\w-]+|[\w/]+\.md)", whole):
        return Fate("run by", match[1])
    if head != "run":
        raise WrongCommentError(f"{block.place}: neither run nor excused; see tests/docs_commands.py")
    fate = Fate("run")
    for line in lines:
        key, _, value = line.partition(": ")
        if key not in KEYS or not value:
            raise WrongCommentError(f"{block.place}: {line!r} is no rule; there are {', '.join(KEYS)}")
        fate.rules[key].append(value)
    return dataclasses.replace(fate, told="; ".join(f"without {value}" for value in fate.rules["skip"]))


def blocks_of(path: pathlib.Path) -> list[Block]:
    """The blocks of a page that hold commands or Python."""
    return [block for block in Page(path).blocks() if block.language in (*SHELL, "python")]


def commands_of(block: Block) -> list[str]:
    """The commands of a block of shell: lines, with those that they go on in; of a console what follows each `$`."""
    lines = block.text.replace("\\\n", " ").splitlines()
    if block.language == "console":
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return [" ".join(line.split()) for line in lines if line.strip() and not line.startswith("#")]


def programs_of(command: str) -> list[str]:
    """What a command starts: the words that stand where a program does, `python`'s with its script or module."""
    found = []
    for part in re.split(r"&&|\|\||;|\||&$", command):
        words = [word for word in shlex.split(part) if not re.match(r"\w+=", word)]
        words = words[next((k for k, word in enumerate(words) if word.startswith("python")), 0) if words[:1] == ["srun"] else 0 :]
        if words[:1] == ["python"]:
            words = words[2:] if words[1] == "-m" else words[1:]
        found += words[:1]
    return found


def script_of(block: Block, rules: dict[str, list[str]]) -> str:
    """What is run for a block: its commands after its rules."""
    if block.language == "python":
        return f"python - <<'END_OF_BLOCK'\n{_instead(block.text, rules)}\nEND_OF_BLOCK"
    skipped = [value.partition(" (")[0] for value in rules["skip"]]
    kept = [c for c in commands_of(block) if not any(c.startswith(start) for start in skipped)]
    flags = dict(value.split(" ", 1) for value in rules["add"])
    return "\n".join(" ".join([_instead(c, rules), *(flags[p] for p in programs_of(c) if p in flags)]) for c in kept)


def _instead(text: str, rules: dict[str, list[str]]) -> str:
    for value in rules["instead"]:
        text = text.replace(*value.split(" -> "))
    return text


# --- running


def copy_of_repository(folder: pathlib.Path) -> None:
    """Copies what is in the repository, or would be added to it, into a folder."""
    asked = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(asked, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


def environment(folder: pathlib.Path) -> dict[str, str]:
    """The variables of a reader who called `. .venv/bin/activate` in a copy; make finds its environment set up."""
    programs = pathlib.Path(sys.executable).parent
    path = f"{programs}:{os.environ['PATH']}"
    make = f"VENV={programs.parent} STAMP=README.md"
    return os.environ | {"PATH": path, "PYTHONPATH": str(folder), "MAKEFLAGS": make, "TF_CPP_MIN_LOG_LEVEL": "3"}


def run_block(block: Block, folder: pathlib.Path) -> None:
    """Runs a block in a copy of the repository.

    Raises:
      AssertionError: a command failed, took too long, or left less than was said.
    """
    rules = fate_of(block).rules
    script = "\n".join(["set -e -o pipefail", *rules["first"], script_of(block, rules)])
    until = rules["until"][0] if rules["until"] else None
    code, said = _run(script, folder, until)
    assert until or code == 0, f"{block.place}: exit code {code}\n{script}\n{said[-3000:]}"
    assert not until or until in said, f"{block.place}: never said {until!r}\n{said[-3000:]}"
    assert "Traceback" not in said, f"{block.place}:\n{said[-3000:]}"
    for name in (name for value in rules["leaves"] for name in value.split()):
        path = folder / name
        assert path.exists() and (any(path.iterdir()) if path.is_dir() else path.stat().st_size), f"{block.place}: no {name}"


def _run(script: str, folder: pathlib.Path, until: str | None) -> tuple[int | None, str]:
    """Exit code and all that was said; a group of processes, none of which outlives this."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
    command = ["bash", "-c", script]
    with subprocess.Popen(command, cwd=folder, env=environment(folder), text=True, start_new_session=True, **pipes) as process:
        clock = threading.Timer(LIMIT_SEC, _end, [process, signal.SIGKILL])
        clock.start()
        said = []
        try:
            for line in process.stdout:
                said.append(line)
                if until and until in line:
                    _end(process, signal.SIGTERM)
            return process.wait(), "".join(said)
        finally:
            clock.cancel()
            _end(process, signal.SIGKILL)


def _end(process: subprocess.Popen, number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


def _fate_or_none(block: Block) -> Fate:
    try:
        return fate_of(block)
    except WrongCommentError:
        return Fate("MISSING", "neither run nor excused")


def main() -> int:
    """Prints a line a block, and how many there are of each kind; an exit code."""
    fates = [(block, _fate_or_none(block)) for path in pages() for block in blocks_of(path)]
    for block, fate in fates:
        sys.stdout.write(f"{block.place:<44} {block.language:<8} {fate.kind:<8} {fate.told}\n")
    kinds = [fate.kind for _, fate in fates]
    counted = ", ".join(f"{kinds.count(kind)} {kind}" for kind in ("run", "run by", "not run", "MISSING"))
    sys.stdout.write(f"{len(fates)} blocks: {counted}\n")
    return 1 if "MISSING" in kinds else 0


if __name__ == "__main__":
    sys.exit(main())
