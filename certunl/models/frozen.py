"""Modules with BatchNorm, as models whose statistics are fixed."""

from dataclasses import dataclass
from typing import Any

import jax

from certunl.base import Key, Params, width
from certunl.errors import BadInput

__all__ = ["Frozen"]


@dataclass(frozen=True, eq=False)
class Frozen:
    """A linen module as a model with fixed `batch_stats`, so that each BatchNorm is an affine layer.

    Forgetting does not change the statistics, and a release adds no noise to them. Every certificate says under
    `unchecked` that they may have seen the forgotten examples. Statistics of data that will never be forgotten leak
    nothing. Statistics of the training data may leak.

    Args:
        module: the linen module.
        statistics: the collection `batch_stats` of trained variables; `Frozen.measured` measures them.

    Raises: BadInput, in `init`, if the module has state other than `batch_stats`, or
    `statistics` have other names or shapes than its own.
    """

    module: Any
    statistics: Params

    @classmethod
    def measured(cls, module: Any, params: Params, x: Any) -> "Frozen":
        """The module with the means and variances of one pass over `x` with `params`, whatever the momentum is."""
        variables = module.init(jax.random.key(0), x[:1])
        if "batch_stats" not in variables:
            raise BadInput("the module has no BatchNorm to freeze; use it without Frozen")
        zero = jax.tree.map(lambda s: s * 0, variables["batch_stats"])

        def once(old: Params, x: Any) -> Params:
            variables = {"params": params, "batch_stats": old}
            try:
                return module.apply(variables, x, train=True, mutable=["batch_stats"])[1]["batch_stats"]
            except TypeError as error:
                raise BadInput(f"the module must take train=True to measure its statistics ({error})") from error

        # one pass gives old · momentum + new · (1 − momentum)
        # on inputs of 0 the difference of two starts is exactly the momentum
        one = jax.tree.map(lambda s: s * 0 + 1, zero)
        momentum = jax.tree.map(lambda a, b: b - a, once(zero, x * 0), once(one, x * 0))
        statistics = jax.tree.map(lambda a, m: a / (1 - m), once(zero, x), momentum)
        if not all(bool(jax.numpy.isfinite(leaf).all()) for leaf in jax.tree.leaves(statistics)):
            raise BadInput("the statistics are not finite; use a momentum below 1 and inputs that do not overflow")
        return cls(module, statistics)

    @property
    def unchecked(self) -> tuple[str, ...]:
        """The state that no statement about parameters covers, in words."""
        count = width(self.statistics)
        return (f"{count:,} frozen BatchNorm statistics, which may have seen the forgotten examples",)

    @property
    def module_type(self) -> type:
        """The class of the module."""
        return type(self.module)

    def init(self, key: Key, x: Any, **kwargs: Any) -> dict[str, Params]:
        """The parameters under "params". The module is called with `kwargs`."""
        variables = self.module.init(key, x, **kwargs)
        if extra := sorted(set(variables) - {"params", "batch_stats"}):
            raise BadInput(f"only BatchNorm can be frozen; the module also has {', '.join(extra)}; use GroupNorm")
        expected = jax.tree.map(lambda a: a.shape, variables.get("batch_stats"))
        if jax.tree.map(lambda a: a.shape, self.statistics) != expected:
            raise BadInput(f"the statistics do not belong to this module, whose batch_stats have shapes {expected}")
        return {"params": variables["params"]}

    def apply(self, variables: dict[str, Params], x: jax.Array, **kwargs: Any) -> jax.Array:
        """The outputs f[b, ...]. The module is called with `kwargs`.

        `train` and `training` are always False, because with True each BatchNorm would measure new statistics. Dropout
        that follows them is therefore off; dropout with an argument `deterministic` of its own is not.
        """
        kwargs |= {name: False for name in ("train", "training") if name in kwargs}
        return self.module.apply({**variables, "batch_stats": self.statistics}, x, **kwargs)
