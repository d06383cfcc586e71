"""Problems in which only some of the parameters are trained."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import jax
import numpy as np

from certunl.base import Key, Params, named
from certunl.errors import BadInput
from certunl.training.modules import said
from certunl.training.problem import Problem
from certunl.training.starting import checked_leaf

__all__ = ["freeze"]


def freeze(problem: Problem, params: Params, *, trainable: Any) -> Problem:
    """The problem of training some parameters of a model while the others stay fixed.

    The parameters of the new problem are a tree like `params` with None for every frozen array. So frozen parameters
    cost no rows, take no noise and do not count in the ball, in `weight_decay` or in clipping. `problem.whole(params)`
    is the complete tree. Every certificate says under `unchecked` that the frozen parameters may have seen the
    forgotten examples.

    Args:
        problem: the problem of all parameters.
        params: the parameters of a trained model, the frozen ones and the start of the others. Arrays that are missing,
            such as the new adapters of LoRA, are drawn, and must be trained.
        trainable: the parameters that are trained: a name such as "Dense_1" or "Dense_1/kernel", a pattern such as
            "*/lora_*", several of both, a function from a name to a bool, or a tree of bools like the parameters.

    Raises: BadInput for a name that fits no parameter, for `params` of another model, and if nothing or everything is
    trained.

    >>> import certunl as cu
    >>> data = cu.Dataset(np.zeros((4, 3)), np.arange(4) % 2)
    >>> problem = cu.classification(cu.models.MLP(hidden=(2,), classes=2), data)
    >>> head = freeze(problem, problem.init(jax.random.key(0)), trainable="Dense_1")
    >>> jax.tree.map(np.shape, head.init(jax.random.key(1)))
    {'Dense_0': {'bias': None, 'kernel': None}, 'Dense_1': {'bias': (2,), 'kernel': (2, 2)}}
    """
    if not isinstance(problem, Problem):
        raise BadInput(f"freeze needs a Problem, such as classification(model, data), got {type(problem).__name__}")
    if problem.frozen is not None:
        raise BadInput("some parameters of this problem are frozen already; freeze those of the first problem instead")
    like, leaves = jax.eval_shape(problem.init, jax.random.key(0)), named(params)
    shapes, structure = named(like), jax.tree.structure(like)
    if strange := [name for name in leaves if name not in shapes]:
        raise BadInput(f"params have {strange[0]}, which the model has not; its parameters are {', '.join(shapes)}")
    leaves = {name: checked_leaf(name, leaf, shapes[name]).astype(shapes[name].dtype) for name, leaf in leaves.items()}
    trains = dict(zip(shapes, _chosen(trainable, list(shapes), structure), strict=True))
    if missing := [name for name, train in trains.items() if not train and name not in leaves]:
        raise BadInput(f"params have no {missing[0]}, which is not trained; give it, or name it under trainable")
    if len(set(trains.values())) < 2:
        count = sum(trains.values())
        raise BadInput(f"trainable must name some parameters and not all; it names {count} of {len(trains)}")
    frozen = structure.unflatten([None if train else leaves[name] for name, train in trains.items()])
    starts = _Arrays({name: leaf for name, leaf in leaves.items() if trains[name]})
    return replace(problem, init=_Starting(problem.init, tuple(trains.items()), starts), frozen=frozen)


def _chosen(trainable: Any, names: Sequence[str], structure: Any) -> list[bool]:
    """Whether each of `names` is trained."""
    if isinstance(trainable, str):
        trainable = (trainable,)
    if isinstance(trainable, Callable):
        try:
            return [bool(trainable(name)) for name in names]
        except Exception as error:  # the user's own function may fail in any way
            raise BadInput(f"trainable cannot be asked for {names[0]!r} ({said(error)})") from error
    if isinstance(trainable, list | tuple) and all(isinstance(word, str) for word in trainable):
        for word in trainable:
            if not any(_fits(name, word) for name in names):
                raise BadInput(f"trainable={word!r} fits no parameter; the parameters are {', '.join(names)}")
        return [any(_fits(name, word) for word in trainable) for name in names]
    try:
        parts = structure.unflatten(names)
        bits = jax.tree.leaves(jax.tree.map(lambda bit, part: jax.tree.map(lambda _: bit, part), trainable, parts))
    except (ValueError, TypeError):
        bits = []
    if len(bits) != len(names) or not all(isinstance(bit, bool | np.bool_) for bit in bits):
        raise BadInput(
            "trainable must be names, a function of a name, or a tree of bools like the parameters "
            f"({', '.join(names)}); got {type(trainable).__name__}"
        )
    return [bool(bit) for bit in bits]


def _fits(name: str, word: str) -> bool:
    return name == word or name.startswith(f"{word}/") or fnmatchcase(name, word)


class _Arrays(dict):
    """Arrays by name. They are compared by identity, so that programs are found again."""

    __hash__ = object.__hash__  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return self is other


@dataclass(frozen=True)
class _Starting:
    """key -> the trained parameters, from `starts` or drawn; None for frozen ones."""

    init: Callable[[Key], Params]
    trains: tuple[tuple[str, bool], ...]
    starts: _Arrays

    def __call__(self, key: Key) -> Params:
        leaves, structure = jax.tree.flatten(self.init(key))
        pairs = zip(self.trains, leaves, strict=True)
        return structure.unflatten([self.starts.get(name, leaf) if train else None for (name, train), leaf in pairs])
