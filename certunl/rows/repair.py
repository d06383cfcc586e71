"""Rows carried on along a training that repairs a model after it forgot."""

from dataclasses import replace
from typing import Any

import jax
import numpy as np

from certunl.base import Key, Progress
from certunl.errors import BadInput
from certunl.rows._rows import Rows
from certunl.rows.gatherers import Forward, Gatherer, gathered, stored
from certunl.rows.origin import Origin
from certunl.rows.store import Place
from certunl.training.loop import check_finite, follow
from certunl.training.run import Run, continuation

__all__ = ["repair"]


def repair(
    run: Run,
    rows: Rows,
    key: Key,
    *,
    method: str,
    gather: Gatherer,
    form: str,
    kind: str,
    epochs: int,
    learning_rate: float | None,
    place: Place | None,
    progress: Progress | None,
) -> tuple[Run, Any]:
    """(the run trained on for `epochs` more on who is left, the rows of the remaining units carried on along it).

    The repaired run's schedule is the old one and then the new. Retraining replays both without the forgotten, so that
    later requests are judged on both. The rows go on from the repaired parameters; `prepare` of the repaired run would
    gather others, along training with everyone. A repair gives accuracy back and, where the risk is convex, closeness.
    It does not make rows fresh.

    Args:
        method: the name under which the rows' origin is kept.
        gather: `Forward`.
        form: of the rows, "first_order" or "retained".
        kind: of a store that they go to.
        epochs: how long to train on.
        learning_rate: default: that of the run's last step. The optimizer's memory begins anew.
        place: where rows that came from a store go.

    Source: Qiao et al. 2025, unlearning-repairing.
    Raises: BadInput for `Backward`, and for rows of a store without a place; Diverged when training or the rows left
    the finite numbers.
    """
    if not isinstance(gather, Forward):
        raise BadInput("rows are carried on forward: repair them with gather=Forward()")
    if rows.on_disk and place is None:
        raise BadInput("rows that are in a store are repaired into a new one; give its place")
    recipe, schedule = continuation(run, np.flatnonzero(run.present), epochs, learning_rate, key)
    along = replace(run, recipe=recipe, start=run.params, schedule=schedule)
    params, risks = jax.block_until_ready(follow(run.problem, recipe, run.params, schedule))
    check_finite(risks, params, recipe)
    repaired = replace(run, schedule=run.schedule.then(schedule), params=params)
    common = {"units": None, "form": form, "along": along, "old": rows, "progress": progress}
    origin = Origin.of(repaired, method)
    if not rows.on_disk:
        return repaired, gathered(gather, repaired, origin, **common)
    assert place is not None
    return repaired, stored(gather, repaired, origin, place, kind=kind, dtype=rows.dtype, **common)
