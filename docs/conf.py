"""How the documentation is built: sphinx-build -W -b html docs docs/_build/html. Nothing is downloaded or executed."""

import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "ext")]

import certunl

project, author = "certunl", "The certunl authors"
version = release = certunl.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.viewcode", "myst_nb"]
extensions += ["docstrings", "rooms"]  # of docs/ext
exclude_patterns = ["_build", "ext"]

add_module_names = False
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "special-members": "__call__", "no-value": True}
autodoc_preserve_defaults = True
autosummary_generate = False

nb_execution_mode = "off"
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

smartquotes = False
html_theme = "furo"
html_title = f"certunl {release}"

(HERE / "notebooks").mkdir(exist_ok=True)
for notebook in (HERE.parent / "notebooks").glob("*.ipynb"):
    shutil.copy(notebook, HERE / "notebooks")
