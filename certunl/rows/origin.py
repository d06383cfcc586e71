"""The identity of the run that rows belong to, as arrays and settings, or as 64 hexadecimal digits."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from types import CodeType
from typing import Any

import jax
import numpy as np

from certunl.base import digest
from certunl.training.run import Run

__all__ = ["Origin", "fingerprint"]


def fingerprint(run: Run) -> str:
    """sha256 of everything that fixes the rows: recipe, losses, start, schedule, and the data with their owners.

    It does not cover `params`, which change as requests are forgotten. For the functions of the losses and of an
    optax transformation it covers name, code, defaults and closure, and the functions in them. For an object it
    covers the name of its type and its contents. A function or class of this package is named without its file
    (`certunl:softmax_loss`), so moving it changes nothing.

    Globals, methods and libraries that the code calls or reads count by name alone. If only such code changes, the
    fingerprint stays the same and stale rows are accepted. Another version of Python or of a library may refuse rows
    that are right.
    """
    return digest(_described(_settings(run)), (run.start, vars(run.schedule), run.problem.data, run.problem.frozen))


def _settings(run: Run) -> tuple[Any, ...]:
    """What is no array: recipe, losses, and the seed of random losses if there is one."""
    seed = run.problem.randomness
    return (run.recipe, run.problem.losses) if seed is None else (run.recipe, run.problem.losses, seed)


def _described(thing: Any, within: tuple[int, ...] = ()) -> Any:
    """`thing` as JSON without addresses, so that it is the same in every process."""
    if thing is None or isinstance(thing, bool | int | float | str):
        return thing
    if id(thing) in within:
        return "itself"
    describe = partial(_described, within=(*within, id(thing)))
    if isinstance(thing, np.ndarray | np.generic | jax.Array):
        return digest(None, thing)
    if isinstance(thing, Mapping):
        return {str(name): describe(thing[name]) for name in thing}
    if isinstance(thing, list | tuple):
        return [type(thing).__name__, *map(describe, thing)]
    if isinstance(thing, set | frozenset):  # sorted, because the order of a set differs between processes
        return [type(thing).__name__, *sorted(json.dumps(describe(one)) for one in thing)]
    if isinstance(thing, partial):
        return ["partial", describe(thing.func), describe(thing.args), describe(thing.keywords)]
    if hasattr(thing, "__self__") and hasattr(thing, "__func__"):
        return [thing.__func__.__qualname__, describe(thing.__self__)]
    if hasattr(thing, "__code__"):
        closure = [describe(_content(cell)) for cell in thing.__closure__ or ()]
        defaults = [describe(thing.__defaults__), describe(thing.__kwdefaults__)]
        return [_name(thing), _code(thing.__code__, thing.__doc__), closure, *defaults]
    if hasattr(thing, "__wrapped__"):  # jit, custom_jvp
        return describe(thing.__wrapped__)
    if isinstance(thing, type):
        return _name(thing)
    if is_dataclass(thing):
        return [type(thing).__qualname__, {field.name: describe(getattr(thing, field.name)) for field in fields(thing)}]
    if type(thing).__repr__ is object.__repr__ and hasattr(thing, "__dict__"):
        return [type(thing).__qualname__, describe(vars(thing))]
    return re.sub(r" at 0x[0-9a-f]+", "", repr(thing))


def _name(thing: Any) -> str:
    """The name of a function or class, with its module unless it belongs to this package."""
    module = thing.__module__ or ""
    return f"{'certunl' if module.partition('.')[0] == 'certunl' else module}:{thing.__qualname__}"


def _code(code: CodeType, docstring: str | None = None) -> list[Any]:
    """The code of a function without its place in a file and its docstring. It differs between versions of Python."""
    documented = docstring is not None and code.co_consts[:1] == (docstring,)
    constants = ("", *code.co_consts[1:]) if documented else code.co_consts
    within = [_code(c) if isinstance(c, CodeType) else _constant(c) for c in constants]
    return [code.co_code.hex(), list(code.co_names), re.sub(r" at 0x[0-9a-f]+", "", json.dumps(within))]


def _constant(thing: Any) -> Any:
    return _described(thing) if isinstance(thing, frozenset) else repr(thing)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # the cell is not yet bound
        return None


@dataclass(frozen=True, eq=False)
class Origin:
    """The run, method and form that rows belong to. It stays the same while requests are forgotten.

    Args:
        arrays: start, schedule and data of the run.
        settings: recipe and losses of the run, and the kind of row.
    """

    arrays: Any
    settings: Any

    @classmethod
    def of(cls, run: Run, kind: str) -> "Origin":
        """The origin of the rows of `run`."""
        return cls((run.start, run.schedule, run.problem.data, run.problem.frozen), (*_settings(run), kind))

    def same(self, other: "Origin | None") -> bool:
        """Whether the two origins have equal settings and the same or equal arrays."""
        if other is None or self.settings != other.settings:
            return False
        if jax.tree.structure(self.arrays) != jax.tree.structure(other.arrays):
            return False
        pairs = zip(jax.tree.leaves(self.arrays), jax.tree.leaves(other.arrays), strict=True)
        return all(x is y or np.array_equal(x, y) for x, y in pairs)
