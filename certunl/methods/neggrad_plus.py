"""NegGrad+ (Kurmanji et al. 2023): down the retained examples' loss and up the forgotten ones', in every step."""

from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl.base import Key
from certunl.certificates.update import Unlearner, Update
from certunl.errors import BadInput
from certunl.methods._continued import followed
from certunl.methods._updated import updated
from certunl.timing import Stopwatch
from certunl.training.recipe import Recipe
from certunl.training.run import Run, continuation
from certunl.training.schedule import Schedule

__all__ = ["NegGradPlus"]


@dataclass(frozen=True, kw_only=True)
class NegGradPlus(Unlearner):
    """Steps on retain_share · mean over retained l_i − (1 − retain_share) · mean over forgotten l_i.

    `epochs` over the retained examples, at `learning_rate` (default: the run's last rate); each step holds a batch of
    them and one of the forgotten, gone through again and again. `retain_share` 1 is fine-tuning, 0 negative gradient.
    Ascent has no end: a small share destroys the model. NOT CERTIFIED.
    Source: Kurmanji, Triantafillou, Hayes, Triantafillou 2023, NegGrad+.  Differs: the run's own optimizer and batch
    size.
    """

    epochs: int = 1
    learning_rate: float | None = None
    retain_share: float = 0.95

    def __post_init__(self) -> None:
        Recipe(epochs=self.epochs, learning_rate=1.0 if self.learning_rate is None else self.learning_rate)
        if not (isinstance(self.retain_share, Real) and 0 <= float(self.retain_share) <= 1):
            raise BadInput(f"retain_share must lie between 0 and 1, got {self.retain_share!r}")

    def forget(self, run: Run, prepared: Any, request: Any, key: Key) -> Update:
        """`key` draws the batches. Raises: Diverged when the loss leaves the finite numbers."""
        request = run.check(request)
        rows = np.flatnonzero(run.retained(request))
        retain_key, forget_key = jax.random.split(key)
        recipe, retain = continuation(run, rows, self.epochs, self.learning_rate, retain_key)
        times = -(-len(retain) // -(-len(request) // recipe.batch_size))
        _, forgotten = continuation(run, request, times, self.learning_rate, forget_key)
        schedule = _opposed(retain, jax.tree.map(lambda a: a[: len(retain)], forgotten), self.retain_share)
        with Stopwatch() as watch:
            params = followed(run.problem, recipe, run.params, schedule)
        return updated(run, params, watch, "neggrad_plus")


def _opposed(retain: Schedule, forgotten: Schedule, share: float) -> Schedule:
    """Both batches in each step, each weighted to be its own mean: the step divides by all the weighted slots, as many
    as it would count itself where the denominator is "retained"."""
    halves = [(share, retain), (share - 1, forgotten)]
    slots = sum((jnp.sum(half.weights != 0, axis=1) * (part != 0) for part, half in halves), jnp.zeros(len(retain)))
    weights = [part * half.weights * (slots / half.divisors)[:, None] for part, half in halves]
    return replace(
        retain,
        indices=jnp.concatenate([retain.indices, forgotten.indices], axis=1),
        weights=jnp.concatenate(weights, axis=1),
        divisors=slots,
    )
