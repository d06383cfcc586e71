"""Rows that compare updates with replayed retraining, and the columns and curves that tables share."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import certunl as cu
from benchmarks.papers.qiao2025.trainings import SEEDS, Training
from benchmarks.papers.table import Column, Job, Row, select
from certunl.training.loop import step

__all__ = ["DISTANCES", "KEY", "as_coded", "clipped_steps", "curves", "first_order", "jobs_of", "judged", "percent"]

KEY: Any = jax.random.key(0)
"""For methods that do not use their key."""

DISTANCES = (
    Column("distance", "distance", tolerance=0.1),
    Column("relative_distance", "of doing nothing", tolerance=0.1),
    Column("loss_change_correlation", "Pearson", tolerance=0.1, floor=0.05),
    Column("loss_change_rank_correlation", "Spearman", tolerance=0.1, floor=0.1),
    Column("test_accuracy", "test accuracy", floor=0.01),
)
_NAMES = {"original": "doing nothing"}


def percent(share: float) -> str:
    return f"{share:.0%}"


def judged(
    run: cu.Run,
    request: Any,
    updates: Mapping[str, cu.Update],
    test: cu.Dataset,
    columns: Sequence[Column],
    **names: Any,
) -> list[Row]:
    """One row for doing nothing, for replayed retraining and for each update, with `names` in each."""
    truth = cu.Retrain().forget(run, None, request, KEY)
    report = cu.evaluate(run, request, dict(updates), test=test, reference=truth)
    keys = [column.key for column in columns]
    return [
        {**names, "method": _NAMES.get(name, name), **{key: row[key] for key in keys if key in row}}
        for name, row in report.rows.items()
    ]


def first_order(run: cu.Run, request: Any) -> dict[str, cu.Update]:
    """The vector of the request in the order of the text, and in that of the authors' code."""
    forms = {"hessian_free": "first_order", "hessian_free, their order": "reference"}
    return {name: cu.HessianFree(form=form).forget(run, None, request, KEY) for name, form in forms.items()}


def as_coded(run: cu.Run, request: Any) -> dict[str, cu.Update]:
    """The authors' vector, from a run of the target "paper", for comparison with retraining of the target "mean"."""
    return {"hessian_free, as coded": first_order(run, request)["hessian_free, their order"]}


def jobs_of(
    stages: Iterable[tuple[Training, int, Sequence[float]]], run: Any, seeds: Sequence[int] = SEEDS, **more: Any
) -> list[Job]:
    """One job for each training and each of its first seeds: `run(training, seed, shares)` gives its rows."""

    def job(training: Training, seed: int, shares: Sequence[float]) -> Job:
        settings = training.settings(seed=seed, shares=list(shares), **more)
        return Job(f"{training.name}, seed {seed}", settings, lambda: run(training, seed, shares))

    return [job(training, seed, shares) for training, count, shares in stages for seed in seeds[:count]]


def clipped_steps(run: cu.Run) -> int:
    """The number of steps of training in which clipping shortened the gradient."""
    clip = run.recipe.clip_norm
    return 0 if clip is None else int(np.sum(np.asarray(_gradient_norms(run)) > clip))


@jax.jit
def _gradient_norms(run: cu.Run) -> jax.Array:
    """f[t]: the norm of each batch's gradient before clipping."""

    def body(state: Any, slot: Any) -> tuple[Any, jax.Array]:
        batch = run.problem.batch(slot.indices, slot.numbers)
        gradient = jax.grad(run.problem.risk)(state[0], batch, slot.weights / slot.divisors)
        norm: Any = optax.tree.norm(gradient)
        return step(run.problem, run.recipe, state, slot, jnp.ones_like(slot.weights))[0], norm

    return jax.lax.scan(body, run.recipe.begin(run.start), run.problem.numbered(run.schedule))[1]


def curves(axis: Any, rows: Sequence[Mapping[str, Any]], x: str, y: str, line: str, **names: Any) -> None:
    """A line for each value of `line`, with one standard deviation. Percentages are numbers on the x axis."""
    chosen = select(rows, **names)
    for value in dict.fromkeys(row[line] for row in chosen):
        found = [row for row in chosen if row[line] == value and y in row]
        places = [float(str(row[x]).rstrip("%")) for row in found]
        means, spreads = [row[y][0] for row in found], np.nan_to_num([row[y][1] for row in found])
        if found:
            below = np.minimum(spreads, 0.9 * np.abs(means))  # so that a logarithmic axis can show it
            axis.errorbar(
                places, means, (below, spreads), marker="o", markersize=3, linewidth=1, capsize=2, label=str(value)
            )
