"""The fault tests of the suite as rows of the table: pytest runs them, its report says what came of each file."""

import collections
import pathlib
import subprocess
import sys
import time
from xml.etree import ElementTree

from tests.attack.stage import Row

_ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
_NO_TESTS = 5


def inject(out: pathlib.Path, *, files: list[str] = ()) -> list[Row]:
    """Runs the tests marked `attack`; a failed one is a loss.

    Args:
      out: a folder for the report.
      files: test files; none for all.

    Returns:
      A row for each test file.
    """
    out.mkdir(parents=True, exist_ok=True)
    report = out / "report.xml"
    report.unlink(missing_ok=True)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-m",
        "attack",
        f"--junitxml={report}",
        "-o",
        "junit_family=xunit1",
        *files,
    ]
    begun = time.monotonic()
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True)
    (out / "said.txt").write_text(done.stdout + done.stderr)
    if not report.exists() or done.returncode not in (0, 1, _NO_TESTS):
        return [Row("fault tests", losses=1, seconds=time.monotonic() - begun)]
    return rows_of(report.read_bytes())


def rows_of(report: bytes) -> list[Row]:
    """The rows of a JUnit report."""
    rows: dict[str, Row] = collections.OrderedDict()
    for case in ElementTree.fromstring(report).iter("testcase"):
        name = (case.get("file") or case.get("classname", "").replace(".", "/")).removesuffix(".py").rpartition("/")[2]
        row = rows.setdefault(name, Row(name.removeprefix("test_")))
        faults = [item.get("value", "0") for item in case.iter("property") if item.get("name") == "faults"]
        row.faults += sum(int(value) for value in faults)
        row.losses += any(case.find(kind) is not None for kind in ("failure", "error"))
        row.seconds += float(case.get("time", 0))
    return list(rows.values())
