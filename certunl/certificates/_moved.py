"""Attributes of 0.1 that the guarantee has now, such as update.reference. They work for one more version."""

import warnings
from typing import Any

from certunl.certificates.guarantee import Guarantee
from certunl.certificates.statement import Pairs

__all__ = ["moved"]

_NEW = {
    "reference": "reference",
    "compared": "sense",
    "uniform": "every_request",
    "looks_back": "from_training",
    "failure_probability": "failure_probability",
    "assumptions": "assumptions",
    "missing": "missing",
    "exact": "exact",
    "noise": "own_noise",
    "nothing": "doing_nothing",
}


def moved(owner: str, guarantee: Guarantee | None, name: str) -> Any:
    """The value that `owner`.`name` had in 0.1, with a warning. Raises: AttributeError for any other name."""
    if guarantee is None or name not in (*_NEW, "own_noise", "profile", "profiled"):
        raise AttributeError(f"{owner} has no attribute {name!r}")
    if name == "own_noise":
        new, value = "guarantee.own_noise", bool(guarantee.own_noise)
    elif name == "profiled":
        new, value = "guarantee.gaussian", not guarantee.gaussian
    elif name == "profile":
        new, value = "guarantee.says.pairs", guarantee.says.pairs if isinstance(guarantee.says, Pairs) else ()
    else:
        new, value = f"guarantee.{_NEW[name]}", getattr(guarantee, _NEW[name])
    warnings.warn(f"{owner}.{name} is {owner}.{new} since 0.2", DeprecationWarning, stacklevel=3)
    return value
