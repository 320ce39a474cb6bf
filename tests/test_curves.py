"""Curves are read back as they were written, and the figures are those of the lowest validation."""

import pytest

from pnet_tf import command, curves
from pnet_tf.errors import InputError
from pnet_tf.summaries import Summaries


@pytest.fixture
def run_dir(tmp_path):
    summaries = Summaries(tmp_path / "run")
    summaries.curves({curves.BASELINE: 2.0}, step=0)
    for step, training, validation in ((10, 3.0, 2.5), (20, 1.5, 1.5), (30, 1.0, 1.75)):
        summaries.curves({"loss/training": training, "windows_per_second": step / 10.0}, step=step)
        summaries.curves({"loss/validation": validation}, step=step)
    summaries.close()
    return tmp_path / "run"


def test_curves_are_read_back(run_dir):
    points = curves.read_curves(run_dir)
    assert points["loss/training"] == {10: 3.0, 20: 1.5, 30: 1.0}
    assert points["loss/validation"] == {10: 2.5, 20: 1.5, 30: 1.75}
    assert points[curves.BASELINE] == {0: 2.0}


def test_the_figures_are_printed_and_the_picture_is_written(run_dir, tmp_path, capsys):
    out = tmp_path / "curves.png"
    assert command.run(curves.define_flags, curves.main, [f"--run_dir={run_dir}", f"--out={out}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("1.5000 at its lowest, step 20 of 30")
    assert lines[2].split() == ["difference", "-25.0", "%"]
    assert lines[3].split()[3] == "2.0"
    assert out.read_bytes().startswith(b"\x89PNG")


def test_a_folder_without_curves_is_refused(tmp_path):
    with pytest.raises(InputError, match="no TensorBoard event file"):
        curves.read_curves(tmp_path)


def test_a_run_without_a_validation_is_named(tmp_path, capsys):
    summaries = Summaries(tmp_path)
    summaries.curves({"loss/training": 1.0}, step=1)
    summaries.close()
    assert command.run(curves.define_flags, curves.main, [f"--run_dir={tmp_path}", f"--out={tmp_path}/x.png"]) == 1
    assert "has no curve loss/validation" in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()
