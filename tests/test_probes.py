"""What a method, a solver or rows can do is declared: nobody asks with getattr or hasattr."""

import ast

import pytest

from tests.test_layers import FILES, nodes

FOREIGN = {
    "base.py": {"__array__", "size", "platform"},
    "certificates/update.py": {"forget"},
    "datasets/_checks.py": {"dtype", "toarray"},
    "datasets/_table.py": {"strerror"},
    "disk.py": {"errno", "filename"},
    "errors.py": {"dtype"},
    "features.py": {"shape"},
    "folders/modelling.py": {"apply", "init"},
    "methods/lcodec.py": {"model", "apply", "key", "dtype"},
    "registry.py": {"__dataclass_fields__"},
    "rows/origin.py": {"__self__", "__func__", "__code__", "__wrapped__", "__dict__"},
    "training/arrays.py": {"columns", "dtype", "shape", "toarray", "todense"},
    "training/adapters.py": {"apply", "init"},
    "training/dataset.py": {"toarray"},
    "training/describing.py": {"model", "__name__", "shape"},
    "training/direction.py": {"hyperparams"},
    "training/modules.py": {"shape", "unchecked"},
    "training/problem.py": {"model", "unchecked", "shape", "predict"},
    "training/scores.py": {"predict"},
    "training/recipe.py": {"init", "update"},
    "training/streaming.py": {"size", "jaxpr", "eqns"},
    "training/supervised.py": {"shape"},
    "training/workers.py": {"sched_getaffinity"},
}
"""What is asked of things that are not this package's: users' models and losses, JAX's and Python's own."""


def probed(tree):
    """The names that a file asks an object for without knowing whether it has them."""
    for node in nodes(tree):
        called = node.func if isinstance(node, ast.Call) else None
        if isinstance(called, ast.Name) and called.id in ("getattr", "hasattr"):
            yield from (argument.value for argument in node.args[1:2] if isinstance(argument, ast.Constant))


@pytest.mark.parametrize("file", FILES)
def test_no_ability_is_probed_for(file):
    assert set(probed(ast.parse(FILES[file].read_text()))) <= FOREIGN.get(file, set())


def test_a_probe_is_seen():
    assert set(probed(ast.parse("hasattr(method, 'repair') or getattr(solver, 'devices', 1)"))) == {"repair", "devices"}
