"""Attacks every reader and injects every fault, and prints one table; ends with 1 unless nothing crashed, hung or was lost.

python -m tests.attack --seconds=420 --out=work/attack-quick            (make attack: a sample of all)
python -m tests.attack --full --seconds=86400 --out=work/attack         (make attack-full: goes on where it stopped)
python -m tests.attack --only=midi --only=wav --seconds=60 --out=work/x
"""

import argparse
import pathlib
import sys
import time

from tests.attack import faults, stage
from tests.attack.readers import READERS
from tests.attack.stage import Row

_FAULTS = "faults"
_ROUND_SEC = 240
_COLUMNS = ("inputs", "faults", "crashes", "hangs", "losses")


def table(rows: list[Row]) -> str:
    """The rows and their sums as text."""
    total = Row("all", **{name: sum(getattr(row, name) for row in rows) for name in (*_COLUMNS, "seconds")})
    total.slowest_sec, total.peak_mib = (
        max((getattr(row, name) for row in rows), default=0) for name in ("slowest_sec", "peak_mib")
    )
    lines = [f"{'stage':<24}" + "".join(f"{name:>9}" for name in _COLUMNS) + f"{'seconds':>9}{'slowest':>9}{'peak MiB':>10}"]
    for row in (*rows, total):
        numbers = "".join(f"{getattr(row, name):>9}" for name in _COLUMNS)
        lines.append(f"{row.stage:<24}{numbers}{row.seconds:>9.0f}{row.slowest_sec:>8.1f}s{row.peak_mib:>10}")
    return "\n".join(lines)


def _sample(names: list[str], options: argparse.Namespace) -> list[Row]:
    """A part of each reader's inputs: each gets an equal share of the time."""
    rows, stop_at = [], time.monotonic() + options.seconds
    for index, name in enumerate(names):
        stage.clear(options.out / name)
        seconds = max(stop_at - time.monotonic(), 0) / (len(names) - index)
        rows.append(stage.attack(READERS[name], options.out / name, seconds=seconds, n_inputs=READERS[name].n_inputs))
        _tell(rows[-1], options.out / name)
    return rows


def _record(names: list[str], options: argparse.Namespace) -> list[Row]:
    """All of each reader's inputs, in rounds, so that a run that is stopped has tried something of each."""
    rows = {name: stage.read_row(options.out / name, name) for name in names}
    stop_at = time.monotonic() + options.seconds
    while lacking := [name for name in names if rows[name].inputs < READERS[name].n_inputs and time.monotonic() < stop_at]:
        for name in lacking:
            seconds = min(_ROUND_SEC, stop_at - time.monotonic())
            rows[name] = stage.attack(READERS[name], options.out / name, seconds=seconds, n_inputs=READERS[name].n_inputs)
            _tell(rows[name], options.out / name)
    return list(rows.values())


def _tell(row: Row, folder: pathlib.Path) -> None:
    harm = f", harm in {folder / 'harm'}" if row.crashes or row.hangs else ""
    sys.stderr.write(f"{row.stage}: {row.inputs} inputs, {row.crashes} crashes, {row.hangs} hangs{harm}\n")


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=420, help="for the readers all in all")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--full", action="store_true", help="the recorded run: every reader gets its full number of inputs")
    parser.add_argument("--only", action="append", choices=[*READERS, _FAULTS], help="a stage; may be given again")
    options = parser.parse_args()
    options.out = options.out.resolve()
    stages = options.only or [*READERS, _FAULTS]
    rows = (_record if options.full else _sample)([name for name in stages if name != _FAULTS], options)
    rows += faults.inject(options.out / _FAULTS) if _FAULTS in stages else []
    sys.stdout.write(table(rows) + "\n")
    return 1 if any(row.crashes or row.hangs or row.losses for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
