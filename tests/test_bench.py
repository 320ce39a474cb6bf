"""The bench command: what it measures, medians by hand, its table and its JSON."""

import json

import pytest

from pnet_tf import bench, command


@pytest.mark.parametrize("arguments", [[], ["speed"], ["step", "input"]])
def test_an_unknown_stage_is_wrong_usage(arguments, capsys):
    assert command.run(bench.define_flags, bench.main, arguments, allow_positional=True) == 2
    assert "expected one of prepare, step, input, perform" in capsys.readouterr().err


def test_the_figures_are_printed_and_written(tmp_path, capsys):
    arguments = ["prepare", "--seconds=5", "--rounds=1", f"--json={tmp_path}/figures.json"]
    assert command.run(bench.define_flags, bench.main, arguments, allow_positional=True) == 0
    record = json.loads((tmp_path / "figures.json").read_text())
    figures = {figure["name"]: figure["value"] for figure in record["figures"]}
    assert figures["seconds of audio"] == pytest.approx(5.0)
    assert 0 < figures["shards, a minute of audio"] <= 25
    assert record["cores"] >= 1
    assert "preparation / librosa" in capsys.readouterr().out
