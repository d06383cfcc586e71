"""The two exceptions of the library, and the checks of settings that raise `BadInput`."""

import contextlib
import inspect
import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from numbers import Integral, Real
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

__all__ = [
    "BadInput",
    "Diverged",
    "Unavailable",
    "measurable",
    "nonnegative",
    "one_of",
    "plain_numbers",
    "positive",
    "proportion",
    "scalar",
    "share",
    "typed_key",
    "understood",
    "warn",
    "whole",
]


class BadInput(ValueError):
    """A setting or input cannot be used. The message says what is expected, what the user passed, and what to do."""


class Unavailable(BadInput):
    """A machine, a disk or a damaged file is at fault, and not the input: the same call may succeed later."""


class Diverged(ArithmeticError):
    """A computation became NaN or infinite, or lost its guarantee. The message has measured values and a remedy."""


def scalar(value: Any) -> Any:
    """The Python number of an array without axes; any other value as it is."""
    if (
        not isinstance(value, np.ndarray | jax.Array)
        or value.ndim
        or jax.dtypes.issubdtype(value.dtype, jax.dtypes.extended)
    ):
        return value
    return np.asarray(value).item()


def plain_numbers(settings: Any) -> None:
    """Replaces numbers of NumPy and JAX among the fields of a dataclass by Python's, of 64 bits.

    Others compute in their own precision: 2 * np.uint8(200) is 144, and 2.0**20 / np.float16(1) is infinite.
    """
    for field in fields(settings):
        value = getattr(settings, field.name, None)
        if isinstance(value, np.generic | np.ndarray | jax.Array) and not np.ndim(value) and _number(value):
            whole_ = np.issubdtype(value.dtype, np.integer)
            object.__setattr__(settings, field.name, int(value) if whole_ else float(value))


def _number(value: Any) -> bool:
    return not isinstance(value, Tracer) and (
        jax.numpy.issubdtype(value.dtype, np.integer) or jax.numpy.issubdtype(value.dtype, np.floating)
    )


@contextlib.contextmanager
def understood(what: str) -> Iterator[None]:
    """Within the block errors of content that this program did not write become a sentence about `what`."""
    try:
        yield
    except BadInput:
        raise
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        first = str(error).partition("\n")[0]
        raise BadInput(f"{what} ({type(error).__name__}: {first})") from error


def warn(sentence: str) -> None:
    """A UserWarning at the line outside this package that called it."""
    frame, level = inspect.currentframe(), 0
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "certunl":
        frame, level = frame.f_back, level + 1
    warnings.warn(sentence, UserWarning, stacklevel=level + 1)


def typed_key(key: Any) -> None:
    """Raises: BadInput unless `key` is one typed key of `jax.random.key`."""
    dtype = getattr(key, "dtype", None)
    if dtype is None or not jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key) or key.shape != ():
        text = repr(key) if dtype is None else f"{dtype}{list(key.shape)}"
        raise BadInput(f"a key must be one typed key of jax.random.key(seed), got {text}")


def positive(none: str | None = None, /, **settings: Any) -> None:
    """Checks that each of `settings` is a finite number above 0.

    None is allowed if `none` is a string. The string follows "or None" in the message and says what None means.
    Raises: BadInput, which names the first wrong setting.

    >>> positive("to measure it", damping=0.1, scale=None)
    >>> positive(damping=-1)
    Traceback (most recent call last):
    certunl.errors.BadInput: damping must be a positive number, got -1
    """
    _check(
        lambda value: isinstance(value, Real) and 0 < float(value) < math.inf, "be a positive number", none, settings
    )


def nonnegative(none: str | None = None, /, **settings: Any) -> None:
    """Checks that each of `settings` is a finite number of at least 0. `none` is explained in `positive`."""
    _check(lambda v: isinstance(v, Real) and 0 <= float(v) < math.inf, "be a number of at least 0", none, settings)


def share(none: str | None = None, /, **settings: Any) -> None:
    """Checks that each of `settings` lies strictly between 0 and 1. `none` is explained in `positive`."""
    _check(lambda v: isinstance(v, Real) and 0 < float(v) < 1, "lie strictly between 0 and 1", none, settings)


def measurable(none: str | None = None, /, **settings: Any) -> None:
    """The same for numbers from 1e-15 to 1e15, the norms whose squares neither underflow nor overflow in float32."""
    _check(lambda v: isinstance(v, Real) and 1e-15 <= float(v) <= 1e15, "lie between 1e-15 and 1e15", none, settings)


def proportion(none: str | None = None, /, **settings: Any) -> None:
    """The same for numbers from 0 to 1, both included."""
    _check(lambda v: isinstance(v, Real) and 0 <= float(v) <= 1, "lie between 0 and 1", none, settings)


def whole(none: str | None = None, /, *, least: int = 1, most: int | None = None, **settings: Any) -> None:
    """Checks that each of `settings` is a whole number from `least` to `most`. `none` is explained in `positive`."""
    limits = f"of at least {least}" if most is None else f"from {least} to {most}"
    top = math.inf if most is None else most
    _check(lambda v: isinstance(v, Integral) and least <= int(v) <= top, f"be a whole number {limits}", none, settings)


def one_of(known: Iterable[Any], /, **settings: Any) -> None:
    """Checks that each of `settings` is one of `known`, which may include None.

    Raises: BadInput, which names the first wrong setting.

    >>> one_of(("hessian", "ggn"), operator="newton")
    Traceback (most recent call last):
    certunl.errors.BadInput: operator must be one of hessian, ggn, got 'newton'
    """
    names = tuple(known)
    _check(lambda value: value in names, f"be one of {', '.join(map(str, names))}", None, settings)


def _check(holds: Callable[[Any], bool], expected: str, none: str | None, settings: dict[str, Any]) -> None:
    """Raises BadInput for the first setting without `holds(value)`. The message says what is `expected`."""
    for name, value in ((name, scalar(value)) for name, value in settings.items()):
        if value is None and none is not None:
            continue
        try:
            right = not isinstance(value, bool) and holds(value)  # in Python True is also a number
        except OverflowError:  # a whole number that no float holds
            right = False
        if not right:
            other = "" if none is None else f", or None {none}".rstrip()
            raise BadInput(f"{name} must {expected}{other}, got {value!r}")
