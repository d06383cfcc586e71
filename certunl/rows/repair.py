"""Rows continued along a training run that repairs a model after it forgot."""

from typing import Any

from certunl.base import Key, Progress
from certunl.errors import BadInput
from certunl.rows._rows import Rows
from certunl.rows.files import Place
from certunl.rows.gatherers import Forward, Gatherer, gathered, stored
from certunl.rows.origin import Origin
from certunl.training.continuing import continued
from certunl.training.run import Run

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
    """(the run trained for `epochs` more on the retained examples, the remaining rows continued along it).

    The repaired run's schedule is the old schedule followed by the new one. Retraining replays both without the
    forgotten examples, so later requests are compared with a replay of both. The rows continue from the repaired
    parameters. Calling `prepare` on the repaired run would gather other rows, along training on all examples. A
    repair restores accuracy. If the risk is convex, it also brings the model closer to retraining. It does not make
    the rows fresh.

    Args:
        method: the method's name, which becomes part of the rows' origin.
        gather: `Forward`.
        form: form of the rows, "first_order" or "retained".
        kind: the kind of rows that a new store records.
        epochs: number of additional epochs.
        learning_rate: default: that of the run's last step. The optimizer's memory starts anew.
        place: the place of the new store, for rows that came from a store.

    Source: Qiao et al. 2025, unlearning-repairing.
    Raises: BadInput for `Backward`, and for rows of a store without a place; Diverged if the training or the rows are
    not finite.
    """
    if not isinstance(gather, Forward):
        raise BadInput("rows can only be continued forward; repair them with gather=Forward()")
    if rows.on_disk and place is None:
        raise BadInput("rows of a store are repaired into a new store; give its place")
    repaired, along = continued(run, epochs, learning_rate, key)
    common = {"units": None, "form": form, "along": along, "old": rows, "progress": progress}
    origin = Origin.of(repaired, method)
    if not rows.on_disk:
        return repaired, gathered(gather, repaired, origin, **common)
    assert place is not None
    return repaired, stored(gather, repaired, origin, place, kind=kind, dtype=rows.dtype, **common)
