"""Linear maps whose matrix products have operands of 16 bits and sums of the full type."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from certunl.base import platform
from certunl.training.programs import again, evaluated, inside, is_one, of_inside

__all__ = ["PRODUCTS", "rounded"]

PRODUCTS = ("bfloat16",)
"""The types to which `rounded` rounds the operands of products."""

_PRODUCTS = ("dot_general", "conv_general_dilated")


def rounded(linear: Callable[..., Any], dtype: str) -> Callable[..., Any]:
    """`linear`, with the operands of its matrix products and convolutions rounded to `dtype`.

    A product is summed in the type of the result, and everything else stays as it is. Products without an argument of
    `linear` stay as they are too, such as those that a checkpoint of the losses computes again. So do products inside
    `while` and `cond`, inside kernels of Pallas, and inside scans since JAX 0.12.

    It is for a function that is traced. A TPU takes one pass for such a product in float32, and six for one of the
    precision "highest".
    """

    def same(*arguments: Any) -> Any:
        program, shapes = jax.make_jaxpr(linear, return_shape=True)(*arguments)
        inputs: list[Any] = jax.tree.leaves(arguments)
        results = evaluated(program.jaxpr, program.consts, inputs, _rule(program.jaxpr, [True] * len(inputs), dtype))
        return jax.tree.unflatten(jax.tree.structure(shapes), results)

    return same


def _rule(program: Any, marks: Sequence[bool], dtype: str) -> Callable[[Any, list[Any]], list[Any] | None]:
    """How the equations of `program` are replaced, if its marked inputs come from the arguments."""
    moving = _moving(program, marks)

    def replaced(equation: Any, operands: list[Any]) -> list[Any] | None:
        among = [is_one(variable, moving) for variable in equation.invars]
        if not any(among):
            return None
        if (inner := inside(equation)) is not None:
            return again(equation, operands, _rule(inner, of_inside(equation, among, carry=True), dtype))
        if equation.primitive.name not in _PRODUCTS or not all(_wide(operand) for operand in operands):
            return None
        full, settings = equation.outvars[0].aval.dtype, dict(equation.params)
        if full == jnp.float32 and platform() != "cpu":
            operands = [operand.astype(dtype) for operand in operands]
            settings |= {"precision": None, "preferred_element_type": full}
        else:  # XLA has no such product on CPUs; products of numbers of 16 bits are exact in float32
            operands = [_cut(operand, dtype) for operand in operands]
        return [equation.primitive.bind(*operands, **settings)]

    return replaced


def _cut(operand: jax.Array, dtype: str) -> jax.Array:
    """`operand` in its own type, with the digits of `dtype`. XLA may leave out a cast there and back, but not this."""
    digits = jnp.finfo(dtype)
    return jax.lax.reduce_precision(operand, exponent_bits=digits.nexp, mantissa_bits=digits.nmant)


def _moving(program: Any, marks: Sequence[bool]) -> set[Any]:
    """The variables of `program` that depend on its marked inputs."""
    moving = {variable for variable, mark in zip(program.invars, marks, strict=True) if mark}
    for equation in program.eqns:
        if any(is_one(variable, moving) for variable in equation.invars):
            moving.update(equation.outvars)
    return moving


def _wide(operand: Any) -> bool:
    return jnp.issubdtype(operand.dtype, jnp.floating) and operand.dtype.itemsize > 2
