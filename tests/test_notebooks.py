"""Every notebook runs from top to bottom in a fresh kernel, installs itself where it must, and is stored small."""

import os
import re
import tomllib
from pathlib import Path

import nbclient
import nbformat
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
WORDS = {
    "1_quickstart": ["relative distance", "NOT CERTIFIED: hessian_free", "VACUOUS", "PROVED: certified_removal"],
    "2_did_it_forget": ["relative distance", "control: shuffled", "Retrain - not refuted", "Liar - REFUTED"],
    "3_your_own": [
        "relative distance",
        "CONDITIONAL (",
        "PROVED ()",
        "age: a number from ",
        "adopted without the steps of its training",
    ],
    "4_newton_paper": [
        "relative distance",
        "damping    200: bound",
        "a depth of at least 3454, as the printed lemma requires",
        "VACUOUS: newton",
        "real error",
        "sigma     1: epsilon",
        "request 5: PROVED",
        "request 6 is refused",
        "PROVED: newton",
    ],
    "5_hessian_free_paper": [
        "from the difference quotient",
        "addition ",
        "cheapest for all rows",
        "error of the reference order",
        "correlation of predicted and true changes",
        "softplus ",
        "repaired: test loss",
        "PROVED: hessian_free",
        "real distance of doing nothing",
    ],
    "6_reading_a_certificate": [
        "PROVED: certified_removal",
        "CONDITIONAL: newton",
        "VACUOUS: hessian_free",
        "NOT CERTIFIED: hessian_free",
        "    The two numbers of the statement. Smaller is stronger.",
        "release 2: 1.465",
        "which its ledger has",
        "are not those that were written",
        "Retrain: the certificate says PROVED. The audit says: not refuted",
        "Liar: the certificate says PROVED. The audit says: REFUTED",
    ],
    "7_many_devices": ["8 devices: cpu", "machine 3: ", "on one device and", "8 devices hold", "PROVED"],
}
WITHOUT_FIGURE = {"7_many_devices"}
COLAB = "https://colab.research.google.com/"
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def images(notebook):
    return [output["data"]["image/png"] for output in outputs(notebook) if "image/png" in output.get("data", {})]


def check_story(notebook, name):
    """The words of `WORDS` and a figure are there, and nothing went wrong or was warned of."""
    printed = "".join(output.get("text", "") for output in outputs(notebook))
    for word in WORDS[name]:
        assert word in printed, word
    assert bool(images(notebook)) != (name in WITHOUT_FIGURE)
    bad = [o for o in outputs(notebook) if o.output_type == "error" or o.get("name") == "stderr"]
    assert not bad


@every_notebook
@pytest.mark.filterwarnings("default")  # the Jupyter client's own
def test_a_notebook_runs_and_its_story_holds(path, monkeypatch):
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    monkeypatch.setenv("JAX_PLATFORMS", os.environ.get("JAX_PLATFORMS", "cpu"))
    monkeypatch.delenv("XLA_FLAGS", raising=False)  # as a reader runs it: the chains of LiSSA need an optimised program
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.pop("outputs", None)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}}).execute()
    check_story(notebook, path.stem)


@every_notebook
def test_a_notebook_is_stored_as_it_ran_and_small(path):
    notebook = nbformat.read(path, as_version=4)
    check_story(notebook, path.stem)
    assert path.stat().st_size < 200_000
    assert all(len(image) < 40_000 for image in images(notebook))
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [*range(1, len(code) + 1)]
    assert all(not cell.metadata for cell in notebook.cells) and set(notebook.metadata) == {
        "kernelspec",
        "language_info",
    }


@every_notebook
def test_a_notebook_has_a_badge_and_its_first_cell_installs(path):
    """From the address of the project, as soon as it has one in pyproject.toml; from a zip until then."""
    address = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"].get("Repository", "")
    github = address.removeprefix("https://github.com/").removesuffix(".git")
    link, source = (f"{COLAB}github/{github}/blob/main/notebooks/{path.name}", f"git+{address}")
    if not address:
        link, source = COLAB, "certunl.zip"
    notebook = nbformat.read(path, as_version=4)
    title, first = notebook.cells[:2]
    assert title.cell_type == "markdown" and first.cell_type == "code"
    assert title.source.startswith(f"[![Open in Colab]({COLAB}assets/colab-badge.svg)]({link})\n\n# ")
    assert f'SOURCE = "{source}"' in first.source
    assert 'if importlib.util.find_spec("certunl") is None:' in first.source
    assert '[sys.executable, "-m", "pip", "install", "--quiet", SOURCE], check=True' in first.source
    assert "jax" not in re.findall(r"^(?:import|from) (\w+)", first.source, re.MULTILINE)


def test_the_readme_and_the_documentation_list_every_notebook():
    names = [path.stem for path in NOTEBOOKS]
    assert names == sorted(WORDS)
    readme, index = (ROOT / "README.md").read_text(), (ROOT / "docs" / "index.md").read_text()
    assert re.findall(r"^\| \[(\w+)\]\(notebooks/\1\.ipynb\) \|", readme, re.MULTILINE) == names
    assert re.findall(r"^notebooks/(\w+)$", index, re.MULTILINE) == names
    assert re.findall(r"^\| \{doc\}`notebooks/(\w+)` \|", index, re.MULTILINE) == names
