"""Whose rows: what a run is, in arrays and settings, or in 64 hexadecimal digits."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from types import CodeType
from typing import Any

import jax
import numpy as np

from certunl.disk import digest
from certunl.training.run import Run

__all__ = ["Origin", "fingerprint"]


def fingerprint(run: Run) -> str:
    """sha256 of what fixes the rows of every unit: recipe, losses, start, schedule, and the data with their owners.

    Not of `params`, which move as requests are forgotten. Of the losses and of an optax transformation it sees the name
    and code of every function, its defaults and what it closes over, functions among them; of an object its type's name
    and what it holds. A function or class of this package is named without its file (`certunl:softmax_loss`): moving it
    changes nothing. What code calls or reads by name (globals, methods, libraries) it sees by that name alone: where
    only such code was changed, rows are taken that are not right. Another version of Python or of a library may refuse
    rows that are right.
    """
    return digest(_told((run.recipe, run.problem.losses)), (run.start, vars(run.schedule), run.problem.data))


def _told(thing: Any, within: tuple[int, ...] = ()) -> Any:
    """`thing` as JSON that is the same in every process: no addresses."""
    if thing is None or isinstance(thing, bool | int | float | str):
        return thing
    if id(thing) in within:
        return "itself"
    told = partial(_told, within=(*within, id(thing)))
    if isinstance(thing, np.ndarray | np.generic | jax.Array):
        return digest(None, thing)
    if isinstance(thing, Mapping):
        return {str(name): told(thing[name]) for name in thing}
    if isinstance(thing, list | tuple):
        return [type(thing).__name__, *map(told, thing)]
    if isinstance(thing, set | frozenset):  # of an order that changes from process to process
        return [type(thing).__name__, *sorted(json.dumps(told(one)) for one in thing)]
    if isinstance(thing, partial):
        return ["partial", told(thing.func), told(thing.args), told(thing.keywords)]
    if hasattr(thing, "__self__") and hasattr(thing, "__func__"):
        return [thing.__func__.__qualname__, told(thing.__self__)]
    if hasattr(thing, "__code__"):
        held = [told(_content(cell)) for cell in thing.__closure__ or ()]
        given = [held, told(thing.__defaults__), told(thing.__kwdefaults__)]
        return [_name(thing), _code(thing.__code__), *given]
    if hasattr(thing, "__wrapped__"):  # jit, custom_jvp
        return told(thing.__wrapped__)
    if isinstance(thing, type):
        return _name(thing)
    if is_dataclass(thing):
        return [type(thing).__qualname__, {field.name: told(getattr(thing, field.name)) for field in fields(thing)}]
    if type(thing).__repr__ is object.__repr__ and hasattr(thing, "__dict__"):
        return [type(thing).__qualname__, told(vars(thing))]
    return re.sub(r" at 0x[0-9a-f]+", "", repr(thing))


def _name(thing: Any) -> str:
    """The name of a function or class: of this package's own without the module, of others with it."""
    module = thing.__module__ or ""
    return f"{'certunl' if module.partition('.')[0] == 'certunl' else module}:{thing.__qualname__}"


def _code(code: CodeType) -> list[Any]:
    """What a function does, wherever it is written; of one version of Python."""
    within = [_code(c) if isinstance(c, CodeType) else _constant(c) for c in code.co_consts]
    return [code.co_code.hex(), list(code.co_names), re.sub(r" at 0x[0-9a-f]+", "", json.dumps(within))]


def _constant(thing: Any) -> Any:
    return _told(thing) if isinstance(thing, frozenset) else repr(thing)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not yet bound
        return None


@dataclass(frozen=True, eq=False)
class Origin:
    """What rows belong to: start, schedule and data of a run, which forgetting leaves as they are, its recipe and
    losses, and the kind of row."""

    arrays: Any
    settings: Any

    @classmethod
    def of(cls, run: Run, kind: str) -> "Origin":
        """That of the rows of `run`."""
        return cls((run.start, run.schedule, run.problem.data), (run.recipe, run.problem.losses, kind))

    def same(self, other: "Origin | None") -> bool:
        """Whether the two are one: the same arrays, or equal ones."""
        if other is None or self.settings != other.settings:
            return False
        if jax.tree.structure(self.arrays) != jax.tree.structure(other.arrays):
            return False
        pairs = zip(jax.tree.leaves(self.arrays), jax.tree.leaves(other.arrays), strict=True)
        return all(x is y or np.array_equal(x, y) for x, y in pairs)
