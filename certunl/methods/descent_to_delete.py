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
from certunl.errors import BadInput, Diverged, one_of, positive, whole
from certunl.methods._updated import updated
from certunl.timing import Stopwatch
from certunl.training.risk import Risk
from certunl.training.run import Run

__all__ = ["DescentToDelete"]

STARTS = ("ball", "gradient")


@dataclass(frozen=True, kw_only=True)
class DescentToDelete(Unlearner):
    """`steps` of w <- project(w − learning_rate grad L(w, retained)), L the risk retraining minimises (`risk.Risk`).

    With `assumed`, the constants of a mu-strongly convex risk (`NewtonConstants`: smoothness, strong_convexity; or
    "linear", in closed form for softmax and least-squares regression with weight decay), the bound is q^steps D and
    rounding, against the minimiser of the retained risk (`bounds.descent`). `start` says where D comes from: "ball",
    2 C, the same whoever asks (PROVED for "linear" where the budget fixes the noise); or "gradient",
    ‖grad L(w, retained)‖/mu, measured for this request: smaller, CONDITIONAL. Default: "ball" where there is one.
    `learning_rate` defaults to the best, 2/(L + mu), with constants (it then follows the data), and to the run's last
    rate without.
    Source: Neel et al. 2021, algorithm 1, without its noise: the un-noised state runs on and must stay secret.
    """

    steps: int = 10
    learning_rate: float | None = None
    assumed: NewtonConstants | str | None = None
    start: str | None = None

    def __post_init__(self) -> None:
        whole(steps=self.steps)
        positive("", learning_rate=self.learning_rate)
        if not (self.assumed is None or self.assumed == "linear" or isinstance(self.assumed, NewtonConstants)):
            raise BadInput(f'assumed must be NewtonConstants(...), "linear" or None, got {self.assumed!r}')
        one_of((*STARTS, None), start=self.start)
        if self.start is not None and self.assumed is None:
            raise BadInput("start says where the bound begins: give assumed as well, or leave start out")

    def forget(self, run: Run, prepared: Any, request: Any, key: Key) -> Update:
        """`key` is not used. Raises: BadInput where the constants do not fit; Diverged where the steps blow up."""
        request = run.check(request)
        constants, _ = convex_constants(run, request, self.assumed)
        rate = self.learning_rate
        if rate is None:
            rate = float(run.schedule.rates[-1])
            if constants is not None:
                rate = 2 / (constants.smoothness + run.recipe.weight_decay + constants.strong_convexity)
        with Stopwatch() as watch:
            params, slope, largest = jax.block_until_ready(_descend(run, run.retained(request), rate, int(self.steps)))
        if not math.isfinite(float(largest)):
            raise Diverged(
                f"the parameters left the finite numbers in {self.steps} steps of {rate:g}; lower learning_rate"
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
        return updated(run, params, watch, "descent_to_delete", guarantee)


@partial(jax.jit, static_argnames="steps")
def _descend(run: Run, retained: jax.Array, rate: Any, steps: int) -> tuple[Params, jax.Array, jax.Array]:
    """(where the steps end, the norm of the retained gradient before them, the largest norm of parameters met)."""
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
