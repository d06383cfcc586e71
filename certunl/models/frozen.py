"""The door for BatchNorm: a module whose statistics no longer change."""

from dataclasses import dataclass
from typing import Any

import jax

from certunl.base import Key, Params, width
from certunl.errors import BadInput

__all__ = ["Frozen"]


@dataclass(frozen=True, eq=False)
class Frozen:
    """A linen module as a model, its `batch_stats` held fixed: each BatchNorm becomes an affine layer.

    `statistics` is the collection `batch_stats` of trained variables; `Frozen.measured` takes them from a pass over
    given inputs. They get no update and no noise, so every certificate names them as unchecked: measured on data that
    were never to be forgotten, they leak nothing; measured on the training data, they may.
    Raises: BadInput where the module keeps any other state, or `statistics` are not its own.
    """

    module: Any
    statistics: Params

    @classmethod
    def measured(cls, module: Any, params: Params, x: Any) -> "Frozen":
        """The module with the means and variances of one pass over `x` with `params`; momentum plays no part."""
        variables = module.init(jax.random.key(0), x[:1])
        if "batch_stats" not in variables:
            raise BadInput("the module has no BatchNorm to freeze; use it as it is")
        zero = jax.tree.map(lambda s: s * 0, variables["batch_stats"])

        def once(old: Params, x: Any) -> Params:
            held = {"params": params, "batch_stats": old}
            try:
                return module.apply(held, x, train=True, mutable=["batch_stats"])[1]["batch_stats"]
            except TypeError as error:
                raise BadInput(f"the module must take train=True to measure its statistics ({error})") from error

        # one pass gives old · momentum + new · (1 − momentum); on inputs of 0 two starts tell the momentum exactly
        one = jax.tree.map(lambda s: s * 0 + 1, zero)
        momentum = jax.tree.map(lambda a, b: b - a, once(zero, x * 0), once(one, x * 0))
        statistics = jax.tree.map(lambda a, m: a / (1 - m), once(zero, x), momentum)
        if not all(bool(jax.numpy.isfinite(leaf).all()) for leaf in jax.tree.leaves(statistics)):
            raise BadInput("the statistics are not finite: a momentum of 1 never learns them, or the inputs overflow")
        return cls(module, statistics)

    @property
    def unchecked(self) -> tuple[str, ...]:
        """What no statement about parameters covers."""
        count = width(self.statistics)
        return (f"{count:,} frozen BatchNorm statistics, which may have seen the forgotten examples",)

    def init(self, key: Key, x: Any) -> dict[str, Params]:
        variables = self.module.init(key, x)
        if extra := sorted(set(variables) - {"params", "batch_stats"}):
            raise BadInput(f"only BatchNorm can be frozen, the module keeps {', '.join(extra)}; use GroupNorm")
        expected = jax.tree.map(lambda a: a.shape, variables.get("batch_stats"))
        if jax.tree.map(lambda a: a.shape, self.statistics) != expected:
            raise BadInput(f"the statistics do not belong to this module, whose batch_stats have shapes {expected}")
        return {"params": variables["params"]}

    def apply(self, variables: dict[str, Params], x: jax.Array) -> jax.Array:
        return self.module.apply({**variables, "batch_stats": self.statistics}, x)
