"""Faults that tests inject: disks that fill up or may only be read, processes that are killed."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

BALLAST = ".ballast"
ROOT = pathlib.Path(__file__).resolve().parent.parent


class SmallDisk:
    """A file system of its own: how full it is and whether it may be written are chosen."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root

    def leave_free(self, n_bytes: int) -> None:
        """Fills the disk up to so many free bytes, rounded to its blocks."""
        ballast = self.root / BALLAST
        ballast.unlink(missing_ok=True)
        fill = shutil.disk_usage(self.root).free - n_bytes
        with ballast.open("wb") as file:
            file.write(bytes(max(fill, 0)))

    def allow_reading_only(self) -> None:
        """Mounts it again, for reading."""
        subprocess.run(["mount", "-o", "remount,ro", str(self.root)], check=True)

    def content(self) -> dict[str, bytes | None]:
        """Every file and, with None, every folder, but for what fills the disk."""
        paths = [path for path in self.root.rglob("*") if path.name != BALLAST]
        return {str(path.relative_to(self.root)): None if path.is_dir() else path.read_bytes() for path in sorted(paths)}


@contextlib.contextmanager
def small_disk(folder: pathlib.Path, *, megabytes: int):
    """A `SmallDisk` at a new folder; skips where this process may not mount one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("may not mount a file system here")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


class KilledWriter:
    """A command that is killed at a change to what is in a folder; see `killed_writer.py`."""

    def __init__(self, module: str, folder: pathlib.Path, flags: list[str]) -> None:
        script = ROOT / "tests" / "killed_writer.py"
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
        self._process = subprocess.Popen(
            [sys.executable, str(script), module, str(folder), *flags],
            cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )

    def run(self, change: int) -> str:
        """Runs it once, to be killed at that change, or never (0): `killed`, or its exit code."""
        self._process.stdin.write(f"{change}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        """Ends it."""
        self._process.communicate(timeout=60)


def children_of(pid: int) -> list[int]:
    """The processes that a process has begun."""
    try:
        return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []
