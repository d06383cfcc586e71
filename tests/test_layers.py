"""Imports point down, never sideways within a room; third parties have one door each; print lives in the CLI."""

import ast
from pathlib import Path

import pytest

import certunl

ROOT = Path(certunl.__file__).parent
LAYERS = [
    {"base", "errors", "timing"},
    {"training", "certificates", "models", "disk", "registry"},
    {"bounds", "rows", "solvers", "metrics", "membership", "audits", "datasets", "features"},
    {"methods", "attacks", "folders", "requests", "stream"},
    {"evaluation", "planning"},
    {"report"},
    {"cli"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
DOORS = {
    "tensorflow_datasets": {"datasets"},
    "sklearn": {"attacks", "datasets"},
    "PIL": {"datasets"},
    "filelock": {"disk"},
    "flax.linen": {"models"},
    "flax.nnx": {"models"},
    "dp_accounting": {"certificates"},
    "scipy": {"audits", "bounds", "datasets", "metrics"},
    "orbax": {"disk"},
    "tensorstore": {"rows"},
    "matplotlib": {"report"},
    "rich": {"report"},
    "tyro": {"cli"},
    "chex": set(),
    "torch": set(),
}


def imports(tree):
    """Modules imported anywhere in the file, except for type checking only."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        yield from imports(node)


FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def place(path):
    return path.relative_to(ROOT).with_suffix("").parts[0]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down_and_third_parties_use_their_door(path):
    here = place(path)
    for name in imports(ast.parse(path.read_text())):
        if name.startswith("certunl."):
            there = name.split(".")[1]
            within = there == here
            if within and here in certunl.registry.ROOMS:
                package = path.name == "__init__.py" or name.split(".")[2].startswith("_")
                assert package, f"{path.name} imports its neighbour {name}"
            elif not within:
                below = LEVEL.get(there, LEVEL["report"])  # a name of the face, which stands on that floor
                assert below < LEVEL[here], f"{here} imports {there}"
        for door, rooms in DOORS.items():
            if name == door or name.startswith(f"{door}."):
                assert here in rooms, f"{name} belongs to {rooms or 'nobody'}, not {here}"


def test_every_top_level_name_has_a_layer():
    assert {place(path) for path in FILES} == set(LEVEL)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_print_only_in_the_cli_and_no_file_is_long(path):
    calls = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
    assert place(path) == "cli" or not any(isinstance(c.func, ast.Name) and c.func.id == "print" for c in calls)
    assert len(path.read_text().splitlines()) < 300
