"""Losses in which the kernel of a matrix product stands on the left, as a block of rows is stored."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from certunl.training.problem import Problem
from certunl.training.programs import again, evaluated, inside, is_one, of_inside
from certunl.training.shards import ShardLosses

__all__ = ["kernels_first"]

Losses = Callable[[Any, Any], jax.Array]

_ALIKE = ("convert_element_type", "copy", "mul", "add", "sub", "neg", "stop_gradient")
"""Primitives whose result is laid out like a kernel that they get."""


def kernels_first(problem: Problem) -> Problem:
    """`problem` with losses that compute (W'x')' for products x W with a kernel W among the parameters.

    The numbers are the same up to rounding. A block of rows is stored with the outputs as its first axis
    (`base.outputs_first`), and in this order the derivatives of a block are matrix products without a copy of it. It is
    for a function that is traced. Products inside custom derivatives, `while` and `cond`, and inside scans since JAX
    0.12, stay as they are.
    """
    if isinstance(problem.losses, ShardLosses):
        return replace(problem, losses=replace(problem.losses, one=kernels_first(problem.one).losses))
    losses: Losses = problem.losses

    def same(params: Any, batch: Any) -> jax.Array:
        program: Any = jax.make_jaxpr(losses)(params, batch)
        leaves = jax.tree.leaves((params, batch))
        kernels = [True] * len(jax.tree.leaves(params)) + [False] * (len(leaves) - len(jax.tree.leaves(params)))
        if not _swaps(program.jaxpr, kernels):
            return losses(params, batch)
        return evaluated(program.jaxpr, program.consts, leaves, _rule(program.jaxpr, kernels))[0]

    return replace(problem, losses=same)


def _swaps(program: Any, kernels: list[bool]) -> bool:
    """Whether a product in `program` has a kernel on the right and something else on the left."""
    marked = _marked(program, kernels)
    return any(
        _swapped(equation, marked)
        or (inside(equation) is not None and _swaps(inside(equation), _among(equation, marked)))
        for equation in program.eqns
    )


def _marked(program: Any, kernels: list[bool]) -> set[Any]:
    """The variables of `program` that are kernels, or laid out like one."""
    marked = {variable for variable, kernel in zip(program.invars, kernels, strict=True) if kernel}
    for equation in program.eqns:
        if equation.primitive.name in _ALIKE and any(is_one(v, marked) for v in equation.invars):
            marked.update(equation.outvars)
    return marked


def _swapped(equation: Any, marked: set[Any]) -> bool:
    if equation.primitive.name != "dot_general" or equation.params.get("out_sharding") is not None:
        return False
    left, right = equation.invars
    (_, contracted), (batched, _) = equation.params["dimension_numbers"]
    precision = equation.params["precision"]  # that of each operand
    alike = precision is None or (isinstance(precision, tuple) and precision[0] == precision[1])
    plain = alike and not batched and right.aval.ndim == 2 and len(contracted) == 1
    return plain and is_one(right, marked) and not is_one(left, marked)


def _among(equation: Any, marked: set[Any]) -> list[bool]:
    """Which inputs of the program inside `equation` are kernels. The carry of a scan need not stay one."""
    return of_inside(equation, [is_one(variable, marked) for variable in equation.invars], carry=False)


def _rule(program: Any, kernels: list[bool]) -> Callable[[Any, list[Any]], list[Any] | None]:
    """How the equations of `program` are replaced, if these of its inputs are kernels."""
    marked = _marked(program, kernels)

    def replaced(equation: Any, operands: list[Any]) -> list[Any] | None:
        if _swapped(equation, marked):
            return [_product(operands[0], operands[1], equation.params)]
        inner = inside(equation)
        if inner is not None and _swaps(inner, among := _among(equation, marked)):
            return again(equation, operands, _rule(inner, among))
        return None

    return replaced


def _product(left: jax.Array, kernel: jax.Array, settings: dict[str, Any]) -> jax.Array:
    (axes, contracted), _ = settings["dimension_numbers"]
    product = jax.lax.dot_general(
        kernel,
        left,
        ((contracted, axes), ((), ())),
        precision=settings["precision"],
        preferred_element_type=settings["preferred_element_type"],
    )
    return jnp.moveaxis(product, 0, -1)
