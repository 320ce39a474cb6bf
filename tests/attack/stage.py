"""The parent of an attacked child: it outlives crashes, ends hangs, keeps what did harm, and writes down how far it is."""

import dataclasses
import importlib.util
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from tests.attack.child import keep
from tests.attack.readers import Reader
from tests.attack.slot import Slot

HANG_SEC = 10
_STARVED_SEC = 60
_LOOK_EVERY_SEC = 0.25
_ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
_CHUNK_SEC = 120


@dataclasses.dataclass
class Row:
    """One stage of the table: what was tried and what came of it.

    Attributes:
      stage: its name.
      inputs: tried.
      faults: injected.
      crashes: processes that died, tracebacks, and inputs that asked for more than 2 GiB.
      hangs: inputs that took more than `HANG_SEC` of CPU time.
      losses: fault tests that failed.
      seconds: of attacking.
      slowest_sec: CPU time of the slowest input.
      peak_mib: of memory, of the largest child.
      runs: children begun, which numbers their seeds.
    """

    stage: str
    inputs: int = 0
    faults: int = 0
    crashes: int = 0
    hangs: int = 0
    losses: int = 0
    seconds: float = 0.0
    slowest_sec: float = 0.0
    peak_mib: int = 0
    runs: int = 0

    def write(self, folder: pathlib.Path) -> None:
        """Writes the row, whole or not at all."""
        partial = folder / ".row.json.partial"
        partial.write_text(json.dumps(dataclasses.asdict(self)))
        partial.replace(folder / "row.json")


def read_row(folder: pathlib.Path, stage: str) -> Row:
    """How far a stage is."""
    path = folder / "row.json"
    return Row(**json.loads(path.read_text())) if path.exists() else Row(stage)


def attack(reader: Reader, out: pathlib.Path, *, seconds: float, n_inputs: int) -> Row:
    """Attacks one reader until it has had so many inputs in all, or for so long; what earlier runs did counts.

    Args:
      reader: the reader.
      out: the stage's own folder.
      seconds: at most.
      n_inputs: at most, with those of earlier runs.

    Returns:
      The stage's row, which is in `out` too.
    """
    out.mkdir(parents=True, exist_ok=True)
    row = read_row(out, reader.name)
    stop_at = time.monotonic() + seconds
    can_guide = bool(reader.guided) and importlib.util.find_spec("atheris") is not None
    first_run = row.runs
    while row.inputs < n_inputs and ((left := stop_at - time.monotonic()) > 0.5 or row.runs == first_run):
        # Children are renewed often, so that a run that is stopped loses little and a leak cannot hide.
        share = min(left / 2 if can_guide and not row.runs % 2 and left < _CHUNK_SEC else left, _CHUNK_SEC)
        _run_child(reader, out, row, seconds=share, n_inputs=n_inputs - row.inputs, guided=can_guide and row.runs % 2 == 1)
    return row


def _run_child(reader: Reader, out: pathlib.Path, row: Row, *, seconds: float, n_inputs: int, guided: bool) -> None:
    """Runs one child to its end, by itself or by force, and adds to the row what it did."""
    (out / "slot").unlink(missing_ok=True)
    slot, begun = Slot(out / "slot"), time.monotonic()
    shared = pathlib.Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="attack-", dir=shared if shared.is_dir() else None) as scratch:
        arguments = [
            f"--reader={reader.name}",
            f"--module={reader.module}",
            f"--out={out}",
            f"--scratch={scratch}",
            f"--seconds={seconds}",
        ]
        arguments += [f"--inputs={n_inputs}", f"--seed={row.runs}", *(["--guided"] if guided else [])]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
        with (out / "said.txt").open("wb") as said:
            child = subprocess.Popen(
                [sys.executable, "-m", "tests.attack.child", *arguments],
                **{"cwd": _ROOT, "env": environment, "stdout": said, "stderr": said},
            )
            try:
                _watch(child, slot, out, row)
            finally:
                child.kill()
                child.wait()
    row.runs += 1
    row.inputs += slot.n_done
    row.crashes += slot.n_harmful
    row.slowest_sec = max(row.slowest_sec, slot.slowest_sec)
    row.seconds += time.monotonic() - begun
    row.write(out)
    if not slot.n_done:
        tail = (out / "said.txt").read_text(errors="replace")[-3000:]
        raise RuntimeError(f"{reader.name}: the child never read an input (exit {child.returncode}): {tail}")


def _watch(child: subprocess.Popen, slot: Slot, out: pathlib.Path, row: Row) -> None:
    """Waits for the end of a child; one that hangs is killed."""
    seen = None
    while child.poll() is None:
        time.sleep(_LOOK_EVERY_SEC)
        row.peak_mib = max(row.peak_mib, _peak_mib(child.pid))
        seen, under_way = slot.under_way(), seen
        if under_way is None or under_way != seen:
            continue
        data, wall, cpu = under_way
        used = _cpu_sec(child.pid) - cpu
        if used > HANG_SEC or time.monotonic() - wall > _STARVED_SEC:
            child.kill()
            child.wait()
            keep(out / "harm", "hang", data, f"{used:.1f} s of CPU time, {time.monotonic() - wall:.1f} s by the clock")
            row.hangs += 1
            slot.skip()
            return
    if (under_way := slot.under_way()) is not None:
        said = (out / "said.txt").read_text(errors="replace")[-6000:]
        row.crashes += 1
        keep(out / "harm", "crash", under_way[0], f"exit {child.returncode} {_signal_name(child.returncode)}\n{said}")
        slot.skip()


def _signal_name(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else ""


def _cpu_sec(pid: int) -> float:
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak_mib(pid: int) -> int:
    try:
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")), 0)


def clear(out: pathlib.Path) -> None:
    """Forgets an earlier run."""
    shutil.rmtree(out, ignore_errors=True)
