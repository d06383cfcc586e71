"""Every setting of a public dataclass, and every parameter of a function on the face, stands under `Args:`."""

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flax import linen

import certunl as cu

MODULES = sorted(module.name for module in pkgutil.walk_packages(cu.__path__, "certunl."))
ENTRY = re.compile(r"^    (\w+(?:, \w+)*)(?: \([^)]*\))?: \S", re.MULTILINE)


def public_classes() -> Iterator[tuple[str, type]]:
    """Those of public modules, and those that a room's `__init__` lists."""
    for module in MODULES:
        if "._" in module:
            continue
        for name in getattr(importlib.import_module(module), "__all__", ()):
            thing = getattr(importlib.import_module(module), name)
            if inspect.isclass(thing) and fields(thing):
                yield thing.__module__.removeprefix("certunl."), thing


def fields(cls: type) -> list[str]:
    """The names that a caller may set."""
    if dataclasses.is_dataclass(cls):
        inherited = ("parent", "name") if issubclass(cls, linen.Module) else ()
        return [f.name for f in dataclasses.fields(cls) if f.init and f.name not in inherited and f.name[0] != "_"]
    return list(getattr(cls, "_fields", ()))


def explained(thing: Any) -> list[str]:
    """The names under `Args:` of a docstring; several that share one explanation are separated by commas."""
    _, _, section = (inspect.getdoc(thing) or "").partition("Args:\n")
    section = re.split(r"^\S", section, maxsplit=1, flags=re.MULTILINE)[0]
    return [name for entry in ENTRY.findall(section) for name in entry.split(", ")]


CLASSES = {f"{room}.{cls.__name__}": cls for room, cls in public_classes()}
FUNCTIONS = {name: getattr(cu, name) for name in cu.__all__ if inspect.isfunction(inspect.unwrap(getattr(cu, name)))}


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_every_field_of_a_public_dataclass_is_explained(name):
    missing = set(fields(CLASSES[name])) - set(explained(CLASSES[name]))
    assert not missing, f"{name}: {', '.join(sorted(missing))}"


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_nothing_is_explained_that_is_not_there(name):
    assert set(explained(CLASSES[name])) <= set(inspect.signature(CLASSES[name]).parameters)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_parameter_of_a_function_on_the_face_is_explained(name):
    assert set(explained(FUNCTIONS[name])) == set(inspect.signature(FUNCTIONS[name]).parameters)


ROOT = Path(cu.__path__[0])
HOW_IT_CAME = {"told", "found", "held", "given", "seen", "kept", "made", "asked", "drawn"}
HOW_IT_CAME |= {"got", "begun", "picked", "used", "wanted", "computed", "learnt"}


def stored(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """(name, line) of every variable and parameter; fields of a class are public and keep theirs."""
    fields = {
        id(line.target)
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for line in node.body
        if isinstance(line, ast.AnnAssign)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in fields:
            yield node.id, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno


@pytest.mark.parametrize("path", sorted(str(p.relative_to(ROOT)) for p in ROOT.rglob("*.py")))
def test_names_say_what_a_thing_is_not_how_it_came(path):
    assert [(name, line) for name, line in stored(ast.parse((ROOT / path).read_text())) if name in HOW_IT_CAME] == []


def test_a_name_that_says_how_it_came_is_seen():
    text = "class A:\n    seen: int\n\ndef f(given):\n    held, x = given\n    return [made for made in x]"
    assert sorted(name for name, _ in stored(ast.parse(text)) if name in HOW_IT_CAME) == ["given", "held", "made"]
