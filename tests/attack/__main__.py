"""Attacks every reader and injects every fault, and prints one table; ends with 1 unless nothing crashed, hung or was lost.

python -m tests.attack --seconds=420 --out=work/attack-quick            (make attack: a sample of all)
python -m tests.attack --full --seconds=86400 --out=work/attack         (make attack-full: goes on where it stopped)
python -m tests.attack --only=midi --only=wav --seconds=60 --out=work/x
"""

import argparse
import pathlib
import sys

from tests.attack import faults, stage
from tests.attack.readers import READERS
from tests.attack.stage import Row

_FAULTS = "faults"
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


def _attack_readers(names: list[str], options: argparse.Namespace) -> list[Row]:
    """Sampling, each reader gets an equal share of the time; recording, each in turn what it still lacks."""
    rows, left = [], options.seconds
    for index, name in enumerate(names):
        folder, reader = options.out / name, READERS[name]
        if not options.full:
            stage.clear(folder)
        seconds = left if options.full else left / (len(names) - index)
        before = stage.read_row(folder, name).seconds if folder.exists() else 0.0
        row = stage.attack(reader, folder, seconds=seconds, n_inputs=reader.n_inputs)
        left -= row.seconds - before
        rows.append(row)
        harm = f", harm in {folder / 'harm'}" if row.crashes or row.hangs else ""
        sys.stderr.write(f"{name}: {row.inputs} inputs, {row.crashes} crashes, {row.hangs} hangs{harm}\n")
    return rows


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
    rows = _attack_readers([name for name in stages if name != _FAULTS], options)
    rows += faults.inject(options.out / _FAULTS) if _FAULTS in stages else []
    sys.stdout.write(table(rows) + "\n")
    return 1 if any(row.crashes or row.hangs or row.losses for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
