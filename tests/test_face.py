"""What `cu.<TAB>` shows: what is public and nothing else, and every name that the README calls."""

import re
import types
from pathlib import Path

import pytest

import certunl as cu

README = Path(__file__).parent.parent / "README.md"
ROOMS = {"attacks", "bounds", "datasets", "methods", "metrics", "models", "registry", "requests", "solvers"}


def test_the_face_shows_what_is_public_and_no_module_but_rooms():
    shown = set(dir(cu))
    assert shown == set(cu.__all__) and len(cu.__all__) == len(shown) <= 108
    assert {name for name in shown if isinstance(getattr(cu, name), types.ModuleType)} == ROOMS
    assert not [name for name in shown if name.startswith("_") and name != "__version__"]


def test_every_public_thing_is_documented():
    assert [
        name for name in cu.__all__ if not (name.startswith("__") or name.isupper() or getattr(cu, name).__doc__)
    ] == []


@pytest.mark.parametrize("name", sorted(set(re.findall(r"\bcu\.([A-Za-z_]+)", README.read_text()))))
def test_a_name_of_the_readme_is_on_the_face(name):
    assert name in cu.__all__


def test_all_methods_solvers_and_nouns_are_on_the_face():
    for room in ("methods", "solvers"):
        assert {type(cu.registry.build(room, name)).__name__ for name in cu.registry.names(room)} <= set(cu.__all__)
