"""The notebook is whole, carries no outputs, and does what it says from its first cell to its last (make test-docs)."""

import base64
import json
import re

import numpy as np
import pytest
import soundfile

from tests.docs_commands import copy_of_repository
from tests.docs_pages import ROOT, is_outside

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
LIMIT_SEC = 600


def cells_of(path, kind):
    """The cells of one kind."""
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == kind]


def test_there_is_a_notebook():
    assert [path.name for path in NOTEBOOKS] == ["train_and_listen.ipynb"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_carries_no_outputs(path):
    code = cells_of(path, "code")
    assert len(code) >= 6
    assert [cell["outputs"] for cell in code] == [[]] * len(code)
    assert {cell["execution_count"] for cell in code} == {None}
    assert path.stat().st_size < 20_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_links_of_a_notebook_lead_to_files(path):
    text = "".join("".join(cell["source"]) for cell in cells_of(path, "markdown"))
    targets = [target for target in re.findall(r"\]\(([^)#]+)", text) if not is_outside(target)]
    assert len(targets) >= 4
    assert [target for target in targets if not (path.parent / target).exists()] == []


def kinds_of_outputs(cell):
    """What a cell showed, as MIME types."""
    return [kind for output in cell["outputs"] for kind in output.get("data", {})]


@pytest.mark.docs
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_notebook_runs_from_its_first_cell_to_its_last(path, tmp_path, monkeypatch):
    import nbclient
    import nbformat

    copy_of_repository(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / ".ipython"))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(tmp_path / path.parent.relative_to(ROOT))}}
    nbclient.NotebookClient(notebook, timeout=LIMIT_SEC, kernel_name="python3", resources=where).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    shown = [kind for cell in code for kind in kinds_of_outputs(cell)]
    assert shown.count("image/png") == 3 and sum("audio" in str(cell["outputs"]) for cell in code) == 3
    for cell in code:
        for output in cell["outputs"]:
            if "image/png" in output.get("data", {}):
                assert base64.b64decode(output["data"]["image/png"]).startswith(b"\x89PNG")
    work = tmp_path / "work" / "notebook"
    for name in ("own", "violin"):
        samples, rate_hz = soundfile.read(work / f"{name}.wav")
        assert rate_hz == 44100 and len(samples) > 20 * rate_hz and 0.01 < np.sqrt(np.mean(samples**2)) < 0.5
    assert (work / "voice" / "saved_model.pb").exists()
