"""Writes requirements.lock: the SHA-256 of every wheel that the pins stand for, on Linux x86-64 with Python 3.11 and 3.12.

    python tools/lock_requirements.py

It asks pip, which asks the package index it is set up for: minutes with an old pip, which downloads every wheel, seconds
with one of 2024 or later.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable

from absl import flags as absl_flags

ROOT = pathlib.Path(__file__).resolve().parent.parent
# So that it runs from a checkout that is not installed as well.
sys.path.insert(0, str(ROOT))

from pnet_tf import command  # noqa: E402
from pnet_tf.errors import InputError  # noqa: E402
from pnet_tf.files import write_whole  # noqa: E402

PYTHONS = ("3.11", "3.12")
# Which wheel pip takes depends on the C library's version: the oldest that all have a wheel for, and later ones.
GLIBC_MINORS = (28, 31, 34, 39, 45)
HEAD = """\
# The wheels behind requirements.txt, by SHA-256: Linux on x86-64 (glibc 2.28 and later), Python 3.11 and 3.12.
# `make` installs these where they fit, and the plain pins elsewhere; tools/lock_requirements.py writes this file.
"""


def canonical(name: str) -> str:
    """A package's name as indexes write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> list[str]:
    """The lines of requirements.txt that are pins."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def digests(python: str, glibc_minor: int) -> dict[str, str]:
    """SHA-256 of the wheel that pip would take of each pin, by canonical name.

    Raises:
      InputError: pip finds none for some pin.
    """
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in range(glibc_minor, 4, -1)]
    platforms += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64"]
    with tempfile.TemporaryDirectory() as scratch:
        report = pathlib.Path(scratch, "report.json")
        asks = ["--dry-run", "--ignore-installed", "--no-deps", "--only-binary=:all:", f"--report={report}"]
        where = [f"--target={scratch}", "--implementation=cp", f"--python-version={python}"]
        line = [sys.executable, "-m", "pip", "install", "--quiet", *asks, *where, *(f"--platform={name}" for name in platforms)]
        done = subprocess.run([*line, "-r", str(ROOT / "requirements.txt")], capture_output=True, text=True, check=False)
        if done.returncode:
            raise InputError(f"pip finds no wheel for Python {python}: {done.stderr.strip().splitlines()[-1]}")
        found = json.loads(report.read_bytes())["install"]
    return {canonical(one["metadata"]["name"]): one["download_info"]["archive_info"]["hashes"]["sha256"] for one in found}


def lock_text(lines: Iterable[str], found: Iterable[dict[str, str]]) -> str:
    """What the lock file holds: each pin, and the digests that were found for it."""
    tables = list(found)
    blocks = []
    for line in lines:
        name = canonical(line.partition("==")[0])
        hashes = sorted({table[name] for table in tables})
        blocks.append(line + "".join(f" \\\n    --hash=sha256:{digest}" for digest in hashes))
    return HEAD + "\n".join(blocks) + "\n"


def define_flags(flags: absl_flags.FlagValues) -> None:
    """It has none."""


def main(flags: absl_flags.FlagValues) -> None:
    """Writes the file.

    Raises:
      InputError: pip finds no wheel for some pin.
    """
    found = [digests(python, minor) for python in PYTHONS for minor in GLIBC_MINORS]
    write_whole(ROOT / "requirements.lock", lock_text(pins(), found))


if __name__ == "__main__":
    sys.exit(command.run(define_flags, main))
