"""The folder is the registry: a file in one of its rooms lists its one public name in `__all__`."""

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import typing
from collections.abc import Iterable
from typing import Any

from certunl.errors import BadInput

__all__ = ["build", "find", "names", "parse"]

ROOMS = ("attacks", "datasets", "methods", "metrics", "models", "solvers")


def names(room: str) -> list[str]:
    """The names that `build` and `find` know in `room`, sorted.

    >>> names("solvers")
    ['cg', 'dense', 'lissa']
    """
    if room not in ROOMS:
        raise BadInput(f"there is no room {room!r}; rooms are {', '.join(ROOMS)}")
    package = importlib.import_module(f"certunl.{room}")
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_"))


def find(room: str, name: str) -> Any:
    """The one public object of certunl/`room`/`name`.py."""
    known = names(room)
    if name not in known:
        raise BadInput(f"unknown name {name!r} among the {room}; known are {', '.join(known)}")
    module = importlib.import_module(f"certunl.{room}.{name}")
    return getattr(module, module.__all__[0])


def build(room: str, name: str, /, **settings: Any) -> Any:
    """`find(room, name)(**settings)`, unknown settings refused with the list of known ones.

    A setting named after a room ("solver") may be a name in that room; its own settings come as a dictionary with
    the key "" for the name, as `parse` makes it: `build("methods", "newton", solver={"": "cg", "tol": 1e-4})`.
    """
    return fill(find(room, name), settings, f"{room}/{name}")


def fill(target: Any, settings: dict[str, Any], title: str) -> Any:
    """target(**settings), with names checked first."""
    known = [p for p in inspect.signature(target).parameters if p not in ("parent", "name")]
    for setting, value in settings.items():
        if setting not in known:
            raise BadInput(f"{title} has no setting {setting!r}; it has {', '.join(known) or 'none'}")
        kinds = _dataclasses_of(target, setting)
        inner = dict(value) if isinstance(value, dict) else {"": value}
        if kinds and (isinstance(value, dict) or (isinstance(value, str) and value in kinds)):
            kind = inner.pop("", next(iter(kinds)))
            if kind not in kinds:
                raise BadInput(f"{setting} must be one of {', '.join(kinds)}, got {kind!r}")
            settings = {**settings, setting: fill(kinds[kind], inner, setting)}
        elif f"{setting}s" in ROOMS and isinstance(value, str | dict):
            default = next((f.default for f in dataclasses.fields(target) if f.name == setting), None)
            inner_name = inner.pop("", type(default).__name__.lower())
            settings = {**settings, setting: build(f"{setting}s", inner_name, **inner)}
    try:
        return target(**settings)
    except TypeError as error:
        raise BadInput(f"{title} cannot be built from {settings}: {error}") from error


def _dataclasses_of(target: Any, setting: str) -> dict[str, Any]:
    """The dataclasses that `setting` is declared to hold, by their names in small letters."""
    hint = typing.get_type_hints(target).get(setting) if dataclasses.is_dataclass(target) else None
    kinds: list[Any] = [t for t in typing.get_args(hint) or (hint,) if dataclasses.is_dataclass(t)]
    return {kind.__name__.lower(): kind for kind in kinds}


def parse(pairs: Iterable[str]) -> dict[str, Any]:
    """Settings from "name=value" words; "a.b=value" nests, values are Python literals or else plain strings.

    >>> parse(["epochs=20", "solver=lissa", "solver.depth=100", "hidden=(32, 32)"])
    {'epochs': 20, 'solver': {'': 'lissa', 'depth': 100}, 'hidden': (32, 32)}
    """
    settings: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not (equals and name.strip()):
            raise BadInput(f"a setting is name=value, got {pair!r}")
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = text
        outer, dot, inner = name.strip().partition(".")
        if dot or isinstance(settings.get(outer), dict):
            held = settings.setdefault(outer, {})
            if not isinstance(held, dict):
                held = settings[outer] = {"": held}
            held[inner] = value
        else:
            settings[outer] = value
    return settings
