"""Programs that JAX has traced, evaluated again with other results for some equations."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.extend.core import Literal

__all__ = ["again", "evaluated", "inside", "is_one", "of_inside", "values"]

Replaced = Callable[[Any, list[Any]], "list[Any] | None"]
"""(equation, its operands) -> its results; None for those of the equation itself."""


def evaluated(program: Any, constants: Sequence[Any], inputs: Sequence[Any], replaced: Replaced) -> list[Any]:
    """The results of `program` (a jaxpr) for `inputs`, with those of some equations `replaced`."""
    values = dict(zip((*program.constvars, *program.invars), (*constants, *inputs), strict=True))

    def value(variable: Any) -> Any:
        return variable.val if isinstance(variable, Literal) else values[variable]

    for equation in program.eqns:
        operands = [value(variable) for variable in equation.invars]
        results = replaced(equation, operands)
        if results is None:
            with equation.ctx.manager:
                results = equation.primitive.bind(*operands, **equation.primitive.get_bind_params(equation.params))
            results = results if equation.primitive.multiple_results else [results]
        values |= dict(zip(equation.outvars, results, strict=True))
    return [value(variable) for variable in program.outvars]


def is_one(variable: Any, marked: set[Any]) -> bool:
    """Whether an operand of an equation is a variable of `marked`. A literal is none, and has no hash."""
    return not isinstance(variable, Literal) and variable in marked


def values(program: Any, marks: Sequence[bool]) -> int:
    """How many numbers the equations of `program` give that depend on a marked input. A scan counts one iteration."""
    marked, count = {v for v, mark in zip(program.invars, marks, strict=True) if mark}, 0
    for equation in program.eqns:
        own = [is_one(v, marked) for v in equation.invars]
        if any(own):
            marked |= set(equation.outvars)
            part = inside(equation)
            count += (
                sum(math.prod(v.aval.shape) for v in equation.outvars)
                if part is None
                else values(part, of_inside(equation, own, carry=True))
            )
    return count


def inside(equation: Any) -> Any:
    """The jaxpr of a jitted function, a checkpoint or a scan that `equation` calls; None for every other equation.

    It is also None for a scan of JAX 0.12, which does not tell its constants from its carry by a number.
    """
    if equation.primitive.name not in ("jit", "pjit", "checkpoint", "remat2", "scan"):
        return None
    if equation.primitive.name == "scan" and "num_consts" not in equation.params:
        return None
    program = equation.params["jaxpr"]
    return program.jaxpr if equation.primitive.name in ("jit", "pjit", "scan") else program


def of_inside(equation: Any, marks: Sequence[bool], *, carry: bool) -> list[bool]:
    """The marks of the inputs of `inside(equation)`, from those of its operands; `carry` is that of a scan's carry."""
    if equation.primitive.name != "scan":
        return list(marks)
    first = equation.params["num_consts"]
    last = first + equation.params["num_carry"]
    return [*marks[:first], *[carry] * (last - first), *marks[last:]]


def again(equation: Any, operands: Sequence[Any], replaced: Replaced) -> list[Any]:
    """The results of an `equation` with a program `inside`, in which those of some equations are `replaced`."""
    program, name = inside(equation), equation.primitive.name
    constants = equation.params["jaxpr"].consts if name in ("jit", "pjit", "scan") else ()
    if name in ("jit", "pjit"):
        return evaluated(program, constants, operands, replaced)
    shapes = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in program.invars]
    new: Any = jax.make_jaxpr(lambda *inputs: evaluated(program, constants, inputs, replaced))(*shapes)
    if name == "scan":
        return equation.primitive.bind(*operands, **equation.params | {"jaxpr": new})
    # a checkpoint keeps its policy and its barriers, which jax.checkpoint would not give back; it takes no constants
    variables = [*new.jaxpr.constvars, *new.jaxpr.invars]
    names = new.jaxpr.debug_info._replace(arg_names=None)
    jaxpr = new.jaxpr.replace(constvars=[], invars=variables, debug_info=names)
    return equation.primitive.bind(*new.consts, *operands, **equation.params | {"jaxpr": jaxpr})
