"""Every notebook runs from top to bottom in a fresh kernel."""

import os
from pathlib import Path

import nbclient
import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
@pytest.mark.filterwarnings("default")  # the Jupyter client's own
def test_a_notebook_runs_and_its_story_holds(path, monkeypatch):
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    monkeypatch.setenv("JAX_PLATFORMS", os.environ.get("JAX_PLATFORMS", "cpu"))
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}}).execute()
    printed = "".join(o.get("text", "") for cell in notebook.cells for o in cell.get("outputs", []))
    assert "relative distance" in printed
    for word in {
        "1_quickstart": ["VACUOUS", "PROVED: certified_removal"],
        "2_did_it_forget": ["control: shuffled", "Liar - REFUTED"],
        "3_your_own": [
            "CONDITIONAL (",
            "PROVED ()",
            "age: a number from ",
            "adopted without the steps of its training",
        ],
    }[path.stem]:
        assert word in printed
    assert any("image/png" in o.get("data", {}) for cell in notebook.cells for o in cell.get("outputs", []))
