"""Losses in which the kernel of a matrix product stands on the left, as a block of rows is stored."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Literal

from certunl.training.problem import Problem

__all__ = ["kernels_first"]

Losses = Callable[[Any, Any], jax.Array]

_ALIKE = ("convert_element_type", "copy", "mul", "add", "sub", "neg", "stop_gradient")
"""Primitives whose result is laid out like a kernel that they get."""


def kernels_first(problem: Problem) -> Problem:
    """`problem` with losses that compute (W'x')' for products x W with a kernel W among the parameters.

    The numbers are the same up to rounding. A block of rows is stored with the outputs as its first axis
    (`base.outputs_first`), and in this order the derivatives of a block are matrix products without a copy of it. It is
    for a function that is traced. Products inside scans, checkpoints and custom derivatives stay as they are.
    """
    losses: Losses = problem.losses

    def same(params: Any, batch: Any) -> jax.Array:
        program: Any = jax.make_jaxpr(losses)(params, batch)
        leaves = jax.tree.leaves((params, batch))
        kernels = [True] * len(jax.tree.leaves(params)) + [False] * (len(leaves) - len(jax.tree.leaves(params)))
        if not _swaps(program.jaxpr, kernels):
            return losses(params, batch)
        return _evaluated(program.jaxpr, program.consts, leaves, kernels)[0]

    return replace(problem, losses=same)


def _swaps(program: Any, kernels: list[bool]) -> bool:
    """Whether a product in `program` has a kernel on the right and something else on the left."""
    marked = _marked(program, kernels)
    return any(
        _swapped(equation, marked)
        or (_inner(equation) is not None and _swaps(_inner(equation).jaxpr, [_in(v, marked) for v in equation.invars]))
        for equation in program.eqns
    )


def _marked(program: Any, kernels: list[bool]) -> set[Any]:
    """The variables of `program` that are kernels, or laid out like one."""
    marked = {variable for variable, kernel in zip(program.invars, kernels, strict=True) if kernel}
    for equation in program.eqns:
        if equation.primitive.name in _ALIKE and any(_in(v, marked) for v in equation.invars):
            marked.update(equation.outvars)
    return marked


def _in(variable: Any, marked: set[Any]) -> bool:
    return not isinstance(variable, Literal) and variable in marked  # a literal has no hash


def _swapped(equation: Any, marked: set[Any]) -> bool:
    if equation.primitive.name != "dot_general" or equation.params.get("out_sharding") is not None:
        return False
    left, right = equation.invars
    (_, contracted), (batched, _) = equation.params["dimension_numbers"]
    precision = equation.params["precision"]  # that of each operand
    alike = precision is None or (isinstance(precision, tuple) and precision[0] == precision[1])
    plain = alike and not batched and right.aval.ndim == 2 and len(contracted) == 1
    return plain and _in(right, marked) and not _in(left, marked)


def _inner(equation: Any) -> Any:
    """The program of a call of a jitted function; None for every other equation."""
    return equation.params.get("jaxpr") if equation.primitive.name in ("jit", "pjit") else None


def _evaluated(program: Any, constants: Any, inputs: Any, kernels: list[bool]) -> list[Any]:
    marked = _marked(program, kernels)
    values = dict(zip((*program.constvars, *program.invars), (*constants, *inputs), strict=True))

    def value(variable: Any) -> Any:
        return variable.val if isinstance(variable, Literal) else values[variable]

    for equation in program.eqns:
        operands = [value(variable) for variable in equation.invars]
        inner, among = _inner(equation), [_in(v, marked) for v in equation.invars]
        if _swapped(equation, marked):
            results = [_product(operands[0], operands[1], equation.params)]
        elif inner is not None and _swaps(inner.jaxpr, among):
            results = _evaluated(inner.jaxpr, inner.consts, operands, among)
        else:
            with equation.ctx.manager:
                results = equation.primitive.bind(*operands, **equation.primitive.get_bind_params(equation.params))
            results = results if equation.primitive.multiple_results else [results]
        values |= dict(zip(equation.outvars, results, strict=True))
    return [value(variable) for variable in program.outvars]


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
