"""Descent-to-delete (Neel, Roth and Sharifi-Malvajerdi, ALT 2021): gradient steps on the retained risk."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from optax.projections import projection_l2_ball

from certunl.base import Key, Params
from certunl.bounds import theorems
from certunl.bounds.constants import NewtonConstants
from certunl.bounds.theorems.descent import convex_constants
from certunl.certificates.update import Unlearner, Update
from certunl.errors import BadInput, Diverged, one_of, plain_numbers, positive, whole
from certunl.methods._updated import updated
from certunl.timing import Stopwatch
from certunl.training.risk import Risk
from certunl.training.run import Run

__all__ = ["DescentToDelete"]

STARTS = ("ball", "gradient")


@dataclass(frozen=True, kw_only=True)
class DescentToDelete(Unlearner):
    """`steps` of w <- project(w − learning_rate grad L(w, retained)), L the risk retraining minimises (`risk.Risk`).

    If the risk is mu-strongly convex, the distance to the minimiser of the retained risk is at most q^steps D plus
    rounding (`bounds.descent`). q is the contraction of a step, and D bounds the distance before the steps.

    Args:
        steps: number of gradient steps. Each multiplies D by q.
        learning_rate: step size. Default with `assumed`: 2/(L + mu), which gives the smallest q; the bound then counts
            as dependent on the data. Default without `assumed`: the last rate of the run.
        assumed: the constants of the bound, `NewtonConstants` (its smoothness and strong_convexity), or "linear" for
            those in closed form (softmax and least-squares regression with weight decay). Default: no theorem.
        start: the source of D. "ball" is D = 2 C, C the radius of the ball, the same for every request. It is PROVED
            for "linear" if the budget fixes the noise. "gradient" is D = ‖grad L(w, retained)‖/mu, measured for this
            request; it is smaller, but CONDITIONAL. Default: "ball" if the run has a ball, else "gradient".

    Source: Neel et al. 2021, algorithm 1, without its noise. Later requests continue from the un-noised parameters,
    which must stay secret.
    """

    steps: int = 10
    learning_rate: float | None = None
    assumed: NewtonConstants | str | None = None
    start: str | None = None

    def __post_init__(self) -> None:
        plain_numbers(self)
        whole(steps=self.steps)
        positive("", learning_rate=self.learning_rate)
        if not (self.assumed is None or self.assumed == "linear" or isinstance(self.assumed, NewtonConstants)):
            raise BadInput(f'assumed must be NewtonConstants(...), "linear" or None, got {self.assumed!r}')
        one_of((*STARTS, None), start=self.start)
        if self.start is not None and self.assumed is None:
            raise BadInput("start chooses a distance for the bound: give assumed as well, or leave start out")

    def forget(self, run: Run, prepared: Any, request: Any, key: Key) -> Update:
        """The update after the steps; `key` is not used.

        Raises: BadInput if the constants do not fit; Diverged if the parameters become infinite or NaN.
        """
        request = run.check(request)
        constants, _ = convex_constants(run, request, self.assumed)
        rate = self.learning_rate
        if rate is None:
            rate = run.rates[1]
            if constants is not None:
                rate = 2 / (constants.smoothness + run.recipe.weight_decay + constants.strong_convexity)
        with Stopwatch() as watch:
            params, slope, largest = jax.block_until_ready(_descend(run, run.retained(request), rate, int(self.steps)))
        if not math.isfinite(float(largest)):
            raise Diverged(
                f"the parameters became NaN or infinite in {self.steps} steps of {rate:g}; lower learning_rate"
            )
        guarantee = None
        if self.assumed is not None:
            guarantee = theorems.descent(
                run,
                request,
                assumed=self.assumed,
                steps=int(self.steps),
                rate=rate,
                start=self.start or ("gradient" if run.recipe.radius is None else "ball"),
                slope=float(slope),
                largest=float(largest),
                rate_given=self.learning_rate is not None,
            )
        return updated(run, params, watch, "descent_to_delete", guarantee, request=request)


@partial(jax.jit, static_argnames="steps")
def _descend(run: Run, retained: jax.Array, rate: Any, steps: int) -> tuple[Params, jax.Array, jax.Array]:
    """(parameters after the steps, norm of the retained gradient before them, largest norm of the parameters)."""
    risk, radius = Risk(run), run.recipe.radius

    def inside(w: Params) -> Params:
        return w if radius is None else projection_l2_ball(w, radius)

    def step(w: Params, _: None) -> tuple[Params, jax.Array]:
        g = risk.gradient(w, retained)
        return inside(jax.tree.map(lambda w, g: (w - rate * g).astype(w.dtype), w, g)), optax.tree.norm(w)

    start = inside(run.params)
    end, norms = jax.lax.scan(step, start, length=steps)
    largest = jnp.maximum(jnp.max(norms), optax.tree.norm(end))
    return end, optax.tree.norm(risk.gradient(start, retained)), largest
