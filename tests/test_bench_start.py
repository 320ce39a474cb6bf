"""The bench of both runtimes: every figure is there, and is what its processes took."""

import json
import subprocess

import pytest

from pnet_tf import bench, bench_start, command


@pytest.mark.slow
def test_both_runtimes_are_measured_beside_each_other(tmp_path):
    """The light door opens four times as soon: on two cores it is five and more."""
    arguments = ["start", "--rounds=3", f"--json={tmp_path}/figures.json", "--iterations=32"]
    assert command.run(bench.define_flags, bench.main, arguments, allow_positional=True) == 0
    record = json.loads((tmp_path / "figures.json").read_text())
    figures = {figure["name"]: figure["value"] for figure in record["figures"]}
    assert figures["first sound in a fresh process: tensorflow / onnx"] >= 4
    assert figures["a whole file by the command: tensorflow / onnx"] > 1
    assert 0 < figures["loaded, onnx: drawing / duration"] < figures["loaded, onnx: performing / duration"] < 1


def test_ratios_are_those_of_the_processes_and_a_failure_is_none(monkeypatch):
    ran = []
    monkeypatch.setattr(subprocess, "run", lambda line, **_: ran.append(line))
    commands = {"tensorflow": ["slow"], "onnx": ["quick"]}
    figures = bench_start._beside_each_other("it", commands, 2)
    assert ran == [["slow"], ["quick"]] * 3
    assert [figure.unit for figure in figures] == ["s", "s", "x"]
    assert figures[2].value == pytest.approx(figures[0].value / figures[1].value)
    monkeypatch.undo()
    with pytest.raises(subprocess.CalledProcessError):
        bench_start._beside_each_other("it", {"tensorflow": ["false"], "onnx": ["true"]}, 1)
