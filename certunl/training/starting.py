"""The first step of a training, examined: the parameters it starts from, its losses and its gradient."""

from os import PathLike
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl.base import Params, named
from certunl.errors import BadInput, Diverged
from certunl.training.dataset import check_data
from certunl.training.modules import said
from certunl.training.problem import Problem
from certunl.training.recipe import Recipe
from certunl.training.schedule import Schedule

__all__ = ["check_parts", "checked_leaf", "explained", "fitting", "shapes"]


def check_parts(problem: Any, recipe: Any) -> None:
    """Raises BadInput unless they are a Problem with usable data and a Recipe."""
    if not isinstance(problem, Problem):
        raise BadInput(f"a Problem is needed, such as classification(model, data), got {type(problem).__name__}")
    if not isinstance(recipe, Recipe):
        raise BadInput(f"recipe must be a Recipe(...), got {type(recipe).__name__}")
    check_data(problem.data)
    for name in ("init", "losses"):
        if not callable(part := vars(problem)[name]):
            raise BadInput(f"{name} of a Problem must be a function, got {type(part).__name__}")
    shapes(problem)


def fitting(params: Params, problem: Problem) -> Params:
    """`params` as JAX arrays in the structure that `problem.init` gives. The dtypes stay.

    Raises: BadInput that names a leaf which is missing, superfluous, of another shape, not real or not finite.
    """
    if isinstance(params, str | PathLike):
        raise BadInput(f"parameters are a tree of arrays, got the path {str(params)!r}; read it by read_params")
    like = shapes(problem)
    expected, leaves = named(like), named(params)
    if missing := [name for name in expected if name not in leaves]:
        hint = ""
        if missing[0] in named(_inner(params)):
            hint = "; give the parameters alone, variables['params']"
            if "batch_stats" in params:
                hint += ", and the batch_stats to models.Frozen(module, batch_stats)"
        raise BadInput(f"the parameters lack {missing[0]!r}, which the model has{hint or _among(leaves)}")
    if extra := [name for name in leaves if name not in expected]:
        raise BadInput(f"the parameters have {extra[0]!r}, which the model does not have{_among(expected)}")
    return jax.tree.unflatten(
        jax.tree.structure(like), [checked_leaf(name, leaves[name], shape) for name, shape in expected.items()]
    )


def shapes(problem: Problem) -> Params:
    """The shapes and dtypes of the parameters. Raises: BadInput if `init` is not a function of a key."""
    try:
        return jax.eval_shape(problem.init, jax.random.key(0))
    except BadInput:
        raise
    except Exception as error:  # the user's own function may fail in any way
        raise BadInput(f"init of the problem cannot be called with a key ({said(error)})") from error


def _inner(params: Params) -> Any:
    return params["params"] if isinstance(params, dict) and "params" in params else {}


def _among(names: Any) -> str:
    """The first few of `names`, as the end of a sentence."""
    few = list(names)[:4]
    return f"; known are {', '.join(few)}{' ...' if len(names) > 4 else ''}" if few else "; there is none"


def checked_leaf(name: str, leaf: Any, like: jax.ShapeDtypeStruct) -> jax.Array:
    """`leaf` as a JAX array. Raises: BadInput unless it has the shape of `like` and finite real numbers."""
    try:
        array = jnp.asarray(leaf)
    except (TypeError, ValueError):
        raise BadInput(f"{name} must be an array of real numbers, got {type(leaf).__name__}") from None
    if array.shape != like.shape:
        raise BadInput(f"{name} must have the shape {list(like.shape)} of the model, got {list(array.shape)}")
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise BadInput(f"{name} must hold real floating-point numbers, got {array.dtype}")
    if not bool(jnp.isfinite(array).all()):
        raise BadInput(f"{name} holds NaN or infinity; give finite ones")
    return array


def explained(error: Diverged, problem: Problem, start: Params, schedule: Schedule) -> Diverged:
    """An error naming the example or leaf at which the first loss or gradient is not finite; else `error`."""
    slots = np.asarray(schedule.weights[0]) != 0
    ids = np.asarray(schedule.indices[0])[slots]
    if not ids.size:
        return error
    batch = problem.batch(jnp.asarray(ids), None if schedule.numbers is None else schedule.numbers[0])
    losses = np.asarray(problem.per_example(start, batch), np.float64)
    bad = np.flatnonzero(~np.isfinite(losses))
    if bad.size:
        return Diverged(
            f"the loss of example {ids[bad[0]]} is {losses[bad[0]]:g} at the initial parameters; correct or remove "
            "this example, or make the loss finite there"
        )
    gradient = jax.grad(problem.risk)(start, batch, jnp.asarray(schedule.weights[0])[slots])
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        if not bool(jnp.isfinite(leaf).all()):
            return Diverged(
                f"the gradient with respect to {jax.tree_util.keystr(path)} is NaN or infinite at the initial "
                "parameters, where every loss of the first batch is finite; make the loss differentiable there"
            )
    return error
