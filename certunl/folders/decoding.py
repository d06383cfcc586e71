"""Dataclasses from JSON, by the types that their fields declare."""

import dataclasses
import functools
import math
import re
import types
import typing
from typing import Any

from certunl.errors import one_of

__all__ = ["decoded", "word"]


def decoded(kind: Any, value: Any, *, null: float = math.inf) -> Any:
    """`value`, as `json` reads it, in the type `kind` that it had before.

    Lists become tuples, dictionaries become dataclasses, and words such as "inf" become numbers. Where a type is a
    choice of dataclasses, the entry "kind" of the dictionary names one: "own_noise" for `OwnNoise`. Entries that a
    dataclass does not have are dropped; a dataclass fills in the missing ones that have defaults.

    Args:
        kind: a dataclass, a tuple, dictionary or union type, or a type that JSON has itself.
        value: what `json` read.
        null: the number that a null stands for where the type does not allow None. JSON has neither infinity nor NaN.

    >>> decoded(dict[float, tuple[float, ...]], {"0.5": [1, "inf", None]}, null=math.nan)
    {0.5: (1, inf, nan)}
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None if types.NoneType in arguments else null
        choices = [choice for choice in arguments if choice is not types.NoneType]
        if len(choices) > 1:
            choice_of = {word(choice): choice for choice in choices}
            one_of(choice_of, kind=value["kind"])
            choices = [choice_of[value["kind"]]]
        return decoded(choices[0], value, null=null)
    if dataclasses.is_dataclass(kind):
        hints = _hints(kind)
        names = [f.name for f in dataclasses.fields(kind) if f.name in value or _required(f)]
        return typing.cast(Any, kind)(**{name: decoded(hints[name], value[name], null=null) for name in names})
    if origin is tuple:
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else arguments
        return tuple(decoded(one, entry, null=null) for one, entry in zip(kinds, value, strict=True))
    if origin is dict:
        first, second = arguments
        return {decoded(first, key, null=null): decoded(second, entry, null=null) for key, entry in value.items()}
    if kind is float:
        return null if value is None else float(value) if isinstance(value, str) else value
    return value


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _required(field: "dataclasses.Field[Any]") -> bool:
    return field.default is field.default_factory is dataclasses.MISSING


def word(kind: type) -> str:
    """The word that names a class: "own_noise" for OwnNoise."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
