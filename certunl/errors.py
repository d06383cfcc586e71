"""The two exceptions of the house, and the checks of settings that raise the first."""

import math
from collections.abc import Callable, Iterable
from numbers import Integral, Real
from typing import Any

import jax
import numpy as np

__all__ = ["BadInput", "Diverged", "nonnegative", "one_of", "positive", "scalar", "share", "whole"]


class BadInput(ValueError):
    """What was asked cannot be done: one sentence with what was expected, what came, and what to do."""


class Diverged(ArithmeticError):
    """A computation left the finite numbers or its guarantee: the measured facts, and what to change."""


def scalar(value: Any) -> Any:
    """The Python number in an array without axes; anything else as it is."""
    return np.asarray(value).item() if isinstance(value, np.ndarray | jax.Array) and value.ndim == 0 else value


def positive(none: str | None = None, /, **settings: Any) -> None:
    """Checks that each of `settings` is a finite number above 0. `none` allows None, and says what None means.

    Raises: BadInput that names the first that is not.

    >>> positive("to measure it", damping=0.1, scale=None)
    >>> positive(damping=-1)
    Traceback (most recent call last):
    certunl.errors.BadInput: damping must be a positive number, got -1
    """
    _check(
        lambda value: isinstance(value, Real) and 0 < float(value) < math.inf, "be a positive number", none, settings
    )


def nonnegative(none: str | None = None, /, **settings: Any) -> None:
    """The same for finite numbers of at least 0."""
    _check(lambda v: isinstance(v, Real) and 0 <= float(v) < math.inf, "be a number of at least 0", none, settings)


def share(none: str | None = None, /, **settings: Any) -> None:
    """The same for numbers strictly between 0 and 1."""
    _check(lambda v: isinstance(v, Real) and 0 < float(v) < 1, "lie strictly between 0 and 1", none, settings)


def whole(none: str | None = None, /, *, least: int = 1, most: int | None = None, **settings: Any) -> None:
    """The same for whole numbers from `least` to `most`."""
    limits = f"of at least {least}" if most is None else f"from {least} to {most}"
    top = math.inf if most is None else most
    _check(lambda v: isinstance(v, Integral) and least <= int(v) <= top, f"be a whole number {limits}", none, settings)


def one_of(known: Iterable[Any], /, **settings: Any) -> None:
    """Checks that each of `settings` is one of `known`, which may hold None.

    >>> one_of(("hessian", "ggn"), operator="newton")
    Traceback (most recent call last):
    certunl.errors.BadInput: operator must be one of hessian, ggn, got 'newton'
    """
    names = tuple(known)
    _check(lambda value: value in names, f"be one of {', '.join(map(str, names))}", None, settings)


def _check(holds: Callable[[Any], bool], expected: str, none: str | None, settings: dict[str, Any]) -> None:
    for name, value in ((name, scalar(value)) for name, value in settings.items()):
        if value is None and none is not None:
            continue
        if isinstance(value, bool) or not holds(value):
            other = "" if none is None else f", or None {none}".rstrip()
            raise BadInput(f"{name} must {expected}{other}, got {value!r}")
