"""The price of forgetting from a training with noise: epsilon against the share of a training that is done again."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from certunl.bounds.theorems.noisy_training import request_epsilon, worst_epsilon
from certunl.errors import BadInput
from certunl.training.run import Run

__all__ = ["NoisePrices", "noise_prices"]


@dataclass(frozen=True, kw_only=True)
class NoisePrices:
    """Epsilon of `NoisyRetrain` at each state that training kept. `print` shows it as a table.

    Args:
        delta: the delta of every epsilon.
        steps: the number of steps of the training.
        places: the steps whose states are kept, and the number of all steps.
        worst: the largest epsilon of a request for any one unit that is present, with everyone forgotten before.
        request: epsilon of a request; None without one.
        owners: whether units are owners.
    """

    delta: float
    steps: int
    places: tuple[int, ...]
    worst: tuple[float, ...]
    request: tuple[float, ...] | None
    owners: bool

    def __str__(self) -> str:
        unit = "owner" if self.owners else "example"
        head = f"{'rewind_to':<12}{'of a training':>14}{'epsilon, any ' + unit:>24}"
        lines = [head + (f"{'this request':>16}" if self.request else "")]
        for i in reversed(range(len(self.places))):
            place = "-" if self.places[i] == self.steps else f"{self.places[i]:,}"
            line = f"{place:<12}{1 - self.places[i] / self.steps:>14.3f}{self.worst[i]:>24.4g}"
            lines.append(line + (f"{self.request[i]:>16.4g}" if self.request else ""))
        lines.append(f"delta {self.delta:g}; the row of - is the trained model as it is")
        lines.append(f"no {unit} that asks next has a larger epsilon")
        return "\n".join(lines)


def noise_prices(run: Run, request: Any = None, *, delta: float = 1e-5) -> NoisePrices:
    """The NoisePrices of a run with noise, for any single unit and for `request` with everyone forgotten before.

    Raises: BadInput for a run without noise, and as `Run.check` for a request.
    """
    if not run.recipe.noise:
        raise BadInput("this run was trained without noise; train with Recipe(clip_each=..., noise=...)")
    if run.problem.data.slots is not None:
        raise BadInput("the price of a network with noise on features of another one is not known; train it on inputs")
    places = (0, len(run.schedule)) if run.noise is None else tuple(run.noise.states)
    gone = None if request is None else ~np.asarray(run.retained(run.check(request)))
    return NoisePrices(
        delta=delta,
        steps=len(run.schedule),
        places=places,
        worst=tuple(worst_epsilon(run, delta, place) for place in places),
        request=None if gone is None else tuple(request_epsilon(run, gone, delta, place) for place in places),
        owners=run.problem.data.owners is not None,
    )
