"""Imports point down, and within a room in no circle; what is private stays in its room; third parties have one door
each; print lives in the CLI."""

import ast
from pathlib import Path

import pytest

import certunl
from certunl.registry import ROOMS

ROOT = Path(certunl.__file__).parent
LAYERS = [
    {"base", "errors", "timing"},
    {"certificates"},  # training with noise draws it as a release does
    {"training", "models", "disk", "registry"},
    {"bounds", "rows", "solvers", "metrics", "membership", "audits", "datasets", "features"},
    {"methods", "attacks", "folders", "requests"},
    {"evaluation", "planning", "stream"},
    {"report"},
    {"cli"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
DOORS = {
    "tensorflow_datasets": {"datasets"},
    "sklearn": {"attacks", "datasets"},
    "PIL": {"datasets"},
    "pyarrow": {"datasets"},
    "pandas": {"evaluation"},
    "filelock": {"disk"},
    "flax.linen": {"models"},
    "flax.nnx": {"models"},
    "equinox": {"models"},
    "haiku": set(),
    "dp_accounting": {"certificates"},
    "mpmath": {"certificates"},
    "scipy": {"audits", "bounds", "certificates", "datasets", "membership", "metrics"},
    "orbax": {"folders"},
    "tensorstore": {"rows"},
    "safetensors": {"folders"},
    "matplotlib": {"report"},
    "rich": {"report"},
    "tyro": {"cli"},
    "chex": set(),
    "torch": set(),
}
FILES = {str(path.relative_to(ROOT)): path for path in sorted(ROOT.rglob("*.py")) if path != ROOT / "__init__.py"}
BY_NAME = {"build", "every", "find", "names"}


def module(file):
    """ "training/run.py" -> "training.run", "training/__init__.py" -> "training"."""
    return file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


MODULES = {module(file) for file in FILES}


def nodes(tree):
    """Every node of a file, but for what is there for type checking only."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            yield node
            yield from nodes(node)


def imports(tree):
    """(module, name imported from it or None) of every import anywhere in a file."""
    for node in nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name) for alias in node.names)


def ours(tree):
    """The same of this package's own, as (module without "certunl.", name or None): files are modules, not names."""
    for base, name in imports(tree):
        if base.partition(".")[0] == "certunl":
            base = base.removeprefix("certunl").removeprefix(".")
            inner = f"{base}.{name}".removeprefix(".")
            yield (inner, None) if inner in MODULES else (base, name)


def built(tree):
    """The rooms whose things are built or found by name through the registry."""
    taken = [(node.module, alias) for node in nodes(tree) if isinstance(node, ast.ImportFrom) for alias in node.names]
    names = {alias.asname or alias.name: alias.name for module, alias in taken if module == "certunl.registry"}
    itself = {"certunl.registry"} | {
        alias.asname or alias.name for module, alias in taken if (module, alias.name) == ("certunl", "registry")
    }
    for node in nodes(tree):
        if isinstance(node, ast.Call) and node.args:
            called = node.func
            if isinstance(called, ast.Attribute) and ast.unparse(called.value) in itself:
                name = called.attr
            else:
                name = names.get(called.id) if isinstance(called, ast.Name) else None
            if name in BY_NAME:
                assert isinstance(node.args[0], ast.Constant), f"line {node.lineno}: a room is named, not computed"
                yield node.args[0].value


def hidden(tree):
    """(room, name) of every module or name with an underscore that a file takes from a room."""
    homes = {}
    for base, name in ours(tree):
        for part in (*base.split("."), *([name] if name else [])):
            if part.startswith("_") and not part.startswith("__"):
                yield base.split(".")[0], part
    for node in nodes(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "certunl":
            homes |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for node in nodes(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr.startswith("_"):
            home = homes.get(node.value.id, "").removeprefix("certunl.")
            if home in MODULES and not node.attr.startswith("__"):
                yield home.split(".")[0], node.attr


def wrong(file, text):
    """What a file does that the house forbids, a sentence each."""
    tree, here = ast.parse(text), file.removesuffix(".py").split("/")[0]
    package = file.endswith("__init__.py")
    for base, name in ours(tree):
        there = base.split(".")[0]
        if not there:
            if not LEVEL["report"] < LEVEL[here]:  # the face stands on the floor of the report
                yield f"{file} imports the face"
        elif there != here and not LEVEL[there] < LEVEL[here]:
            yield f"{here} imports {there}"
        elif there == here in ROOMS and not package and not base.partition(".")[2].startswith("_"):
            yield f"{file} imports its neighbour {base}"
        elif base == here and not package and name is not None:
            yield f"{file} imports its own room's face"
    for there in built(tree):
        if not (LEVEL[there] < LEVEL[here] or (there == here and package)):
            yield f"{here} builds {there} by name"
    yield from (f"{file} takes {name} from {there}" for there, name in hidden(tree) if there != here)
    for base, name in imports(tree):
        for door, rooms in DOORS.items():
            if f"{base}.{name}.".startswith(f"{door}.") and here not in rooms:
                yield f"{door} belongs to {sorted(rooms) or 'nobody'}, not to {here}"


@pytest.mark.parametrize("file", FILES)
def test_a_file_imports_from_below_and_nothing_private_and_third_parties_by_their_door(file):
    assert list(wrong(file, FILES[file].read_text())) == []


@pytest.mark.parametrize(
    ("file", "line", "sentence"),
    [
        ("solvers/x.py", "from certunl.methods import Newton", "solvers imports methods"),
        ("solvers/x.py", "from certunl.rows.store import Store", "solvers imports rows"),
        ("solvers/x.py", "from certunl import rows", "solvers imports rows"),
        ("solvers/x.py", "import certunl.evaluation.judging", "solvers imports evaluation"),
        ("solvers/x.py", "import certunl", "solvers/x.py imports the face"),
        ("report/x.py", "from certunl import __version__", "report/x.py imports the face"),
        ("solvers/x.py", "from certunl.solvers.cg import CG", "solvers/x.py imports its neighbour solvers.cg"),
        ("rows/x.py", "from certunl.rows import Store", "rows/x.py imports its own room's face"),
        ("methods/x.py", "from certunl.models._layers import Conv", "methods/x.py takes _layers from models"),
        ("methods/x.py", "from certunl.models import _layers", "methods/x.py takes _layers from models"),
        ("methods/x.py", "from certunl.rows.store import _FORMAT", "methods/x.py takes _FORMAT from rows"),
        ("methods/x.py", "from certunl.rows import store\nstore._FORMAT", "methods/x.py takes _FORMAT from rows"),
        ("methods/x.py", "from certunl import registry\nregistry.build('methods', 'newton')",
         "methods builds methods by name"),
        ("solvers/x.py", "from certunl.registry import find as f\nf('attacks', 'lira')",
         "solvers builds attacks by name"),
        ("methods/x.py", "def f():\n    import scipy.stats", "scipy belongs to"),
        ("methods/x.py", "from flax import nnx", "flax.nnx belongs to"),
    ],
)  # fmt: skip
def test_what_the_house_forbids_is_seen(file, line, sentence):
    assert [found for found in wrong(file, line) if found.startswith(sentence)]


def test_what_the_house_allows_is_left_alone():
    for file, text in {
        "methods/x.py": "from certunl import registry\nregistry.build('solvers', 'cg')",
        "solvers/x.py": "from certunl.solvers._solver import Solution\nfrom certunl.training.run import Run",
        "rows/x.py": "from certunl.rows.store import Store\nfrom certunl.rows import packing",
        "solvers/y.py": "if TYPE_CHECKING:\n    from certunl.methods import Newton",
        "cli/__init__.py": "from certunl import __version__",
        "datasets/__init__.py": "from certunl import registry\nregistry.build('datasets', 'wine')",
    }.items():
        assert list(wrong(file, text)) == []


def test_no_two_files_import_each_other():
    """Nor any number of them in a circle; an `__init__` only collects, and none of its files imports it."""
    edges = {}
    for file, path in FILES.items():
        if not file.endswith("__init__.py"):
            edges[module(file)] = {base for base, _ in ours(ast.parse(path.read_text()))}
    while free := {name for name, below in edges.items() if not below & edges.keys()}:
        edges = {name: below for name, below in edges.items() if name not in free}
    assert not edges


def test_every_top_level_name_has_a_floor_and_there_are_few():
    assert {file.removesuffix(".py").split("/")[0] for file in FILES} == set(LEVEL)
    assert len(LAYERS) == 8 and len(LEVEL) <= 28


@pytest.mark.parametrize("file", FILES)
def test_print_only_in_the_cli_and_no_file_is_long(file):
    text = FILES[file].read_text()
    calls = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Call)]
    assert file.startswith("cli/") or not any(isinstance(c.func, ast.Name) and c.func.id == "print" for c in calls)
    assert len(text.splitlines()) <= 250
