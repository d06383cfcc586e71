"""Further training of a run on some of its examples."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from certunl.base import Key
from certunl.training.drawing import draw
from certunl.training.loop import check_finite, follow
from certunl.training.provenance import Provenance
from certunl.training.recipe import Recipe
from certunl.training.run import Run
from certunl.training.schedule import Schedule

__all__ = ["continuation", "continued", "mean_rate"]


def continuation(
    run: Run, rows: np.ndarray, epochs: int, learning_rate: float | None, key: Key
) -> tuple[Recipe, Schedule]:
    """(the run's recipe at a constant rate, a schedule of `epochs` on the examples `rows`).

    The rate is `learning_rate`, by default the rate of the run's last step (`Run.rates`).
    """
    run.need_one_model("further training")
    rate = run.rates[1] if learning_rate is None else learning_rate
    recipe = replace(run.recipe, epochs=epochs, learning_rate=rate, decay=1.0, slices=1)
    schedule = draw(key, recipe, len(rows))
    schedule = run.problem.numbered(schedule, len(run.schedule))
    return recipe, replace(schedule, indices=jnp.asarray(rows, "int32")[schedule.indices])


def mean_rate(run: Run) -> float:
    """The mean rate of training's steps. Without a history it is the recipe's learning rate."""
    return float(np.mean(np.asarray(run.schedule.rates), dtype=np.float64)) if run.history else run.recipe.learning_rate


def continued(run: Run, epochs: int, learning_rate: float | None, key: Key) -> tuple[Run, Run]:
    """(the run after `epochs` more on its present examples, the run of these epochs alone).

    The further steps are drawn here, so a run that `train` drew stays one.
    Raises: BadInput for a run without a history; Diverged if the training becomes infinite or NaN.
    """
    run.need_history("training on with its rows")
    recipe, schedule = continuation(run, np.flatnonzero(run.present), epochs, learning_rate, key)
    params, risks = jax.block_until_ready(follow(run.problem, recipe, run.params, schedule))
    check_finite(risks, params, recipe)
    longer, provenance = run.schedule.then(schedule), replace(run.provenance, states="")
    losses = None if run.losses is None else jnp.concatenate([run.losses, risks])
    if not provenance.unchecked(run.start, run.schedule):
        provenance = Provenance.drawn(run.start, longer)
    along = replace(run, recipe=recipe, start=run.params, schedule=schedule, losses=risks, states=None)
    return replace(run, schedule=longer, params=params, provenance=provenance, losses=losses, states=None), along
