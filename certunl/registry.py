"""Lookup of methods, solvers, models and the like by name. The folders are the registry.

Each file in one of the `ROOMS` lists its one public name in `__all__`. Other packages add names by entry points of the
groups certunl.attacks, certunl.datasets, certunl.methods, certunl.metrics, certunl.models and certunl.solvers:

    [project.entry-points."certunl.models"]
    deep = "lab.nets:Deep"

`imported` finds objects of the user's own modules.
"""

import ast
import dataclasses
import importlib
import importlib.metadata
import inspect
import os
import pkgutil
import sys
import typing
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from certunl.errors import BadInput

__all__ = ["before_foreign_code", "build", "every", "find", "imported", "names", "parameters", "parse"]

ROOMS = ("attacks", "datasets", "methods", "metrics", "models", "solvers")

_FOREIGN_CODE: ContextVar[Callable[[], None]] = ContextVar("foreign code", default=lambda: None)


@contextmanager
def before_foreign_code(call: Callable[[], None]) -> Iterator[None]:
    """A context manager in which `call()` comes before each import of code from outside the library."""
    token = _FOREIGN_CODE.set(call)
    try:
        yield
    finally:
        _FOREIGN_CODE.reset(token)


def names(room: str, *, own: bool = False) -> list[str]:
    """The names of `room` that `build` and `find` accept: the sorted own ones, then those of other packages.

    `own` leaves out the latter.

    >>> names("solvers")
    ['cg', 'dense', 'lissa']
    """
    if room not in ROOMS:
        raise BadInput(f"there is no room {room!r}; rooms are {', '.join(ROOMS)}")
    package = importlib.import_module(f"certunl.{room}")
    files = sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_"))
    return files if own else [*files, *sorted(_foreign(room).keys() - files)]


def _foreign(room: str) -> dict[str, importlib.metadata.EntryPoint]:
    """The entry points of other packages by name."""
    return {point.name: point for point in importlib.metadata.entry_points(group=f"certunl.{room}")}


def find(room: str, name: str) -> Any:
    """The one public object of certunl/`room`/`name`.py, an entry point of that name, or "package.module:object".

    A file of certunl wins over an entry point of the same name.
    Raises: BadInput for an unknown name, and for an entry point that cannot be loaded.
    """
    if name in names(room, own=True):
        module = importlib.import_module(f"certunl.{room}.{name}")
        return getattr(module, module.__all__[0])
    if ":" in name:
        return imported(name)
    if (point := _foreign(room).get(name)) is None:
        raise BadInput(f"unknown name {name!r} among the {room}; known are {', '.join(names(room))}; or module:object")
    _FOREIGN_CODE.get()()
    try:
        return point.load()
    except (Exception, SystemExit) as error:  # the other package may be broken in any way
        package = "another package" if point.dist is None else point.dist.name
        where = f"{room}/{name} of {package} cannot be loaded from {point.value}"
        raise BadInput(f"{where} ({_reason(error)}); repair or remove that package") from error


def every(room: str) -> dict[str, Any]:
    """{name: object} of all `names(room)`. Warns of one that another package broke, and leaves it out."""
    things = {}
    for name in names(room):
        try:
            things[name] = find(room, name)
        except BadInput as error:
            warnings.warn(str(error), UserWarning, stacklevel=3)
    return things


def _reason(error: BaseException) -> str:
    """The type and the message of an error that other code raised, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split()) or 'no message'}"


def build(room: str, name: str, /, **settings: Any) -> Any:
    """`find(room, name)(**settings)`.

    A setting named after a room, such as "solver", may be a name in that room, or a dictionary of settings with the
    name under the key "", as `parse` makes it: `build("methods", "newton", solver={"": "cg", "tol": 1e-4})`.
    Raises: BadInput for unknown names and settings; the message lists the known ones.
    """
    return fill(find(room, name), settings, f"{room}/{name}")


def fill(target: Any, settings: dict[str, Any], title: str) -> Any:
    """target(**settings), with names checked and nested settings built first. `title` names `target` in an error."""
    for setting, value in settings.items():
        if setting not in (known := parameters(target)):
            raise BadInput(f"{title} has no setting {setting!r}; it has {', '.join(known) or 'none'}")
        # A nested value names what it builds, in one of two ways: a dataclass from the type hint of the setting (such
        # as `gather: Forward | Backward`), or a file of the room that the setting is named after (`solver`).
        kinds = _dataclasses_of(target, setting)
        inner = dict(value) if isinstance(value, dict) else {"": value}
        if kinds and (isinstance(value, dict) or (isinstance(value, str) and value in kinds)):
            kind = inner.pop("", next(iter(kinds)))  # settings without a name: the first dataclass of the hint
            if kind not in kinds:
                raise BadInput(f"{setting} must be one of {', '.join(kinds)}, got {kind!r}")
            settings = {**settings, setting: fill(kinds[kind], inner, setting)}
        elif f"{setting}s" in ROOMS and isinstance(value, str | dict) and hasattr(target, "__dataclass_fields__"):
            # settings without a name go to the default's kind: solver.tol=1e-4 with the default CG() builds a CG
            default = next((f.default for f in dataclasses.fields(target) if f.name == setting), None)
            inner_name = inner.pop("", type(default).__name__.lower())
            settings = {**settings, setting: build(f"{setting}s", inner_name, **inner)}
    try:
        return target(**settings)
    except BadInput:
        raise
    except Exception as error:  # a class of the user's own may refuse its settings in any way
        detail = str(error) if isinstance(error, TypeError) else _reason(error)
        raise BadInput(f"{title} cannot be built from {settings}: {detail}") from error


def parameters(target: Any) -> list[str]:
    """The names of the settings of a class or function."""
    # the metaclass of NNX hides the signature of its classes; flax adds `parent` and `name` to every linen module
    method = inspect.isclass(target) and target.__init__ is not object.__init__
    try:
        every = list(inspect.signature(target.__init__ if method else target).parameters.values())[method:]
    except (TypeError, ValueError):  # math.log has no signature
        every = []
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [p.name for p in every if p.kind in kinds and p.name not in ("parent", "name")]


def imported(text: str) -> Any:
    """The object that `text` names as "package.module:object", such as "mydata:load" or "lab.nets:Deep".

    The current folder is searched first.
    Raises: BadInput for text of another form, for a module or an object that is not there, and for an error while the
    module is imported; the message repeats that error.

    >>> imported("collections.abc:Sized")
    <class 'collections.abc.Sized'>
    """
    module_name, colon, path = str(text).partition(":")
    parts = (*module_name.split("."), *path.split("."))
    if not colon or not all(part.isidentifier() for part in parts):
        raise BadInput(f"expected package.module:object, such as mydata:load for load in mydata.py, got {text!r}")
    _FOREIGN_CODE.get()()
    folder = os.getcwd()
    sys.path.insert(0, folder)
    try:
        importlib.invalidate_caches()  # the file may be newer than the last look into its folder
        value = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(f"{error.name}."):
            raise BadInput(
                f"there is no module {error.name!r} for {text!r}, neither installed nor in {folder}; "
                "call from the folder that holds it, or install it"
            ) from error
        raise BadInput(f"the import of {module_name} for {text!r} failed: {_reason(error)}") from error
    finally:
        sys.path.remove(folder)
    title = f"module {module_name}"
    for name in path.split("."):
        if not hasattr(value, name):
            public = ", ".join(n for n in dir(value) if not n.startswith("_"))
            raise BadInput(f"{title} has no {name!r}; it has {public[:500] or 'nothing'}")
        value, title = getattr(value, name), name
    return value


def _dataclasses_of(target: Any, setting: str) -> dict[str, Any]:
    """The dataclasses in the type hint of `setting`, by their names in lower case."""
    try:
        hint = typing.get_type_hints(target).get(setting) if dataclasses.is_dataclass(target) else None
    except Exception:  # a class of the user's own may have hints that cannot be read
        hint = None
    kinds: list[Any] = [t for t in typing.get_args(hint) or (hint,) if dataclasses.is_dataclass(t)]
    return {kind.__name__.lower(): kind for kind in kinds}


def parse(pairs: Iterable[str]) -> dict[str, Any]:
    """Settings from words "name=value". A word "a.b=value" makes a nested setting.

    A value that is no Python literal is a string.
    Raises: BadInput for a word without a name or "=".

    >>> parse(["epochs=20", "solver=lissa", "solver.depth=100", "hidden=(32, 32)"])
    {'epochs': 20, 'solver': {'': 'lissa', 'depth': 100}, 'hidden': (32, 32)}
    """
    settings: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not (equals and name.strip()):
            raise BadInput(f"a setting must be name=value, got {pair!r}")
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = text
        outer, dot, inner = name.strip().partition(".")
        if dot or isinstance(settings.get(outer), dict):
            nested = settings.setdefault(outer, {})
            if not isinstance(nested, dict):
                nested = settings[outer] = {"": nested}
            nested[inner] = value
        else:
            settings[outer] = value
    return settings
