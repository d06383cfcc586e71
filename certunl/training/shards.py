"""Several models on disjoint shards of the data as one model, which predicts by the mean of their probabilities."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from certunl.base import Key, Params
from certunl.training.dataset import Dataset
from certunl.training.modules import Supervised

__all__ = ["ShardInit", "ShardLosses"]


@dataclass(frozen=True)
class ShardInit:
    """key -> initial parameters of every model, stacked with leading axis `shards`.

    Args:
        one: draws those of one model.
        shards: the number of models.
    """

    one: Callable[[Key], Params]
    shards: int

    def __call__(self, key: Key) -> Params:
        return jax.vmap(self.one)(jax.random.split(key, self.shards))


@dataclass(frozen=True)
class ShardLosses:
    """The losses of the models together. Training computes `one` instead, on the shard of each model.

    Args:
        one: the losses of one model.
        shards: the number of models.
        kind: what the outputs mean, as in `Problem`.
    """

    one: Callable[[Params, Dataset], jax.Array]
    shards: int
    kind: str | None

    def predict(self, params: Params, x: Any) -> jax.Array:
        """The outputs whose probabilities are the mean of the models'; the mean of the outputs without classes."""
        outputs = jax.vmap(lambda p: self.one.predict(p, x))(params)  # type: ignore[attr-defined]
        if self.kind in ("classification", "sequence"):
            return _mean(jax.nn.log_softmax(outputs, axis=-1))
        if self.kind in ("binary", "multilabel"):
            return _mean(jax.nn.log_sigmoid(outputs)) - _mean(jax.nn.log_sigmoid(-outputs))
        return jnp.mean(outputs, axis=0)

    def __call__(self, params: Params, batch: Dataset) -> jax.Array:
        if not isinstance(self.one, Supervised):
            return jnp.mean(jax.vmap(lambda p: self.one(p, batch))(params), axis=0)
        losses = self.one.output_loss(self.predict(params, batch.x), batch.y)
        size = optax.tree.norm(params, squared=True) / self.shards
        return losses + 0.5 * self.one.l2 * size if self.one.l2 else losses


def _mean(logs: jax.Array) -> jax.Array:
    """ln of the mean over the leading axis of exp(`logs`)."""
    return jax.nn.logsumexp(logs, axis=0) - jnp.log(len(logs))
