"""The runner itself: what harms a child is seen, counted and kept, and the runner outlives it and goes on."""

import pytest

from tests.attack import __main__ as command
from tests.attack import faults, stage
from tests.attack.misbehaving import READERS
from tests.attack.stage import Row, attack, read_row


@pytest.mark.parametrize(
    ("name", "crashes", "hangs", "kept"),
    [
        ("clean", 0, 0, set()),
        ("crash", 2, 0, {"crash"}),
        ("hang", 0, 2, {"hang"}),
        ("memory", 68, 0, {"memory"}),
        ("trace", 68, 0, {"trace"}),
    ],
)
def test_harm_is_counted_and_kept_and_the_rest_is_tried(name, crashes, hangs, kept, tmp_path, monkeypatch):
    """Of 120 inputs each child refuses 50 in peace (and reads the few that are whole); one that dies is begun anew."""
    monkeypatch.setattr(stage, "HANG_SEC", 1)
    row = attack(READERS[name], tmp_path, seconds=120, n_inputs=120)
    assert (row.inputs, row.crashes, row.hangs) == (120, crashes, hangs)
    assert {path.name.partition("-")[0] for path in (tmp_path / "harm").glob("*")} == kept
    assert read_row(tmp_path, name) == row


def test_a_recorded_run_goes_on_where_it_stopped(tmp_path):
    assert attack(READERS["clean"], tmp_path, seconds=60, n_inputs=40).inputs == 40
    row = attack(READERS["clean"], tmp_path, seconds=60, n_inputs=90)
    assert (row.inputs, row.runs) == (90, 2)
    assert attack(READERS["clean"], tmp_path, seconds=60, n_inputs=90) == row


def test_a_reader_that_refuses_its_own_seeds_is_no_attack(tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "_ROOT", tmp_path)
    with pytest.raises(RuntimeError, match="clean: the child never read an input"):
        attack(READERS["clean"], tmp_path, seconds=5, n_inputs=5)


REPORT = b"""<testsuites><testsuite>
<testcase classname="tests.test_full" file="tests/test_full.py" name="a" time="1.5">
<properties><property name="faults" value="7"/>
</properties></testcase><testcase classname="tests.test_full" file="tests/test_full.py" name="b" time="1"><failure/></testcase>
<testcase classname="tests.test_other" name="c" time="0.25">
<properties><property name="faults" value="2"/></properties></testcase>
</testsuite></testsuites>"""


def test_fault_tests_become_rows():
    rows = faults.rows_of(REPORT)
    assert [(row.stage, row.faults, row.losses, row.seconds) for row in rows] == [("full", 7, 1, 2.5), ("other", 2, 0, 0.25)]


def test_the_table_sums_up():
    lines = command.table([Row("midi", inputs=5, crashes=1), Row("full", faults=7, losses=1)]).splitlines()
    assert lines[0].split()[:6] == ["stage", "inputs", "faults", "crashes", "hangs", "losses"]
    assert lines[-1].split()[:6] == ["all", "5", "7", "1", "0", "1"]
