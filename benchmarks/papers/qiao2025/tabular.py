"""The tables of the authors' rebuttal: wine, Adult, Obesity and HAPT."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import jax

import certunl as cu
from benchmarks.papers.qiao2025.judging import KEY, as_coded, clipped_steps, first_order, jobs_of, judged, percent
from benchmarks.papers.qiao2025.trainings import TARGETS, WINE, Training, asked, trained
from benchmarks.papers.table import Column, Job, Row, Statement, Table, mean, select
from certunl.base import nbytes
from certunl.timing import Stopwatch

__all__ = ["TABLE"]

SEEDS = (42, 124, 3407, 114514, 5, 1, 930)
_RECIPES = {
    "obesity": (7, 1688, 0.001, cu.Recipe(learning_rate=0.05, decay=0.9995, epochs=100, batch_size=64, clip_norm=10.0)),
    "adult": (2, 10_000, 0.05, cu.Recipe(learning_rate=0.05, decay=0.9995, epochs=80, batch_size=5000, clip_norm=10.0)),
    "hapt": (6, 7767, 0.01, cu.Recipe(learning_rate=0.01, decay=0.9995, epochs=15, batch_size=64, clip_norm=10.0)),
}
SETS = {
    "wine": replace(WINE, name="wine"),
    **{
        name: Training(name, name, cu.models.MLP((64,), classes, "relu"), recipe, l2, examples)
        for name, (classes, examples, l2, recipe) in _RECIPES.items()
    },
}
SHARES = {"wine": (0.05, 0.1), "obesity": (0.05, 0.1), "adult": (0.05,), "hapt": (0.05,)}
PREPARED = {"wine": 142, "obesity": 64, "adult": 8, "hapt": 32}
"""The rows of so many examples are timed at the small scale, and counted for all."""
PUBLISHED = (
    ("wine", "5%", "0.0426 ± 0.0131", 0.0004, 1.06, 11.56),
    ("wine", "10%", "0.0874 ± 0.0229", 0.0004, 1.06, 11.56),
    ("obesity", "5%", "0.5847 ± 0.149", 0.0004, 13.23, 102.06),
    ("obesity", "10%", "0.8282", None, None, None),
    ("adult", "5%", "1.8524", 0.0005, 258, 1154),
    ("hapt", "5%", "0.1262", 0.0006, 1010, 5772.6),
)
CODED = "hessian_free, as coded"
EXPLAINED = {
    "order": "utils/Approximator.py injects before the factor of the same step",
    "mean": "models/Update_retrain.py divides by who is left in the batch, and the vector divides by |B|",
}


def jobs(scale: str) -> list[Job]:
    found = []
    for name, training in SETS.items():
        seeds = {"wine": 6}.get(name, 7) if scale == "paper" else {"wine": 6}.get(name, 1)
        prepared = None if scale == "paper" else PREPARED[name]
        run = partial(rows, prepared=prepared)
        found += jobs_of([(training, seeds, SHARES[name])], run, SEEDS, prepared=prepared)
    return found


def rows(training: Training, seed: int, shares: Sequence[float], prepared: int | None) -> list[Row]:
    (run, test), (twin, _) = (trained(training, seed, target) for target in TARGETS)
    n, found = len(run.present), []
    units = tuple(range(min(prepared or n, n)))
    with Stopwatch() as watch:
        statistics = cu.HessianFree(units=units).prepare(run)
        jax.block_until_ready(statistics.rows)
    facts = {"precompute": watch.seconds * n / len(units), "storage": n * nbytes(run.params) / 1e6}
    facts |= {"clipped": clipped_steps(run) / len(run.schedule)}
    some = [0, 1]
    cu.HessianFree(units=units).forget(run, statistics, some, KEY)
    facts |= {"unlearn": cu.HessianFree(units=units).forget(run, statistics, some, KEY).cost["seconds"]}
    for share in shares:
        request = asked(run, seed, share)
        names = {"data": training.name, "forgotten": percent(share)}
        for target, one, updates in (
            ("paper", run, first_order(run, request)),
            (
                "mean",
                twin,
                {"hessian_free": cu.HessianFree().forget(twin, None, request, KEY), **as_coded(run, request)},
            ),
        ):
            for row in judged(one, request, updates, test, COLUMNS, target=target, **names):
                if row["method"] != "retrain":
                    own = facts if row["method"] == "hessian_free" and target == "paper" else {}
                    found.append(row | own)
    return found


def statements(rows: list[Row]) -> list[Statement]:
    said = []
    for name, share, published, *_ in PUBLISHED:
        mine = partial(mean, rows, "distance", data=name, forgotten=share)
        ours, order, coded, nothing = (
            mine(target=target, method=method)
            for target, method in (
                ("paper", "hessian_free"),
                ("paper", "hessian_free, their order"),
                ("mean", CODED),
                ("mean", "doing nothing"),
            )
        )
        theirs = float(published.split()[0])
        if nothing != nothing:
            said.append(
                Statement(
                    f"HF is at distance {theirs:g} from retraining ({name}, {share})",
                    published,
                    "not run",
                    None,
                    "its job is left out",
                )
            )
            continue
        (row,) = select(rows, data=name, forgotten=share, target="mean", method=CODED)
        spread = "" if math.isnan(row["distance"][1]) else f" ± {row['distance'][1]:.2g}"
        near = theirs / 2 < coded < theirs * 2
        said.append(
            Statement(
                f"HF is at distance {theirs:g} from retraining ({name}, {share})",
                published,
                f"{coded:.3g}{spread} as coded, where doing nothing is at {nothing:.3g}; {order:.3g} in their order "
                f"and {ours:.3g} in the text's, against the retraining that the text defines",
                near,
                f"counted within a factor of two; {_why(ours, order, coded)}"
                if near
                else f"no line of their code explains a factor of {theirs / coded:.2g}; the table that their loader "
                "reads is not at hand",
            )
        )
        said.append(
            Statement(
                f"HF approximates retraining ({name}, {share})",
                "yes",
                f"{coded / nothing:.2f} of doing nothing as coded, {theirs / nothing:.2f} with their number, "
                f"{ours / mine(target='paper', method='doing nothing'):.2f} with the vector and the retraining of "
                "the text",
                coded < 0.5 * nothing,
                "" if coded < 0.5 * nothing else f"{_why(ours, order, coded)}; counted from half of the distance on",
            )
        )
    return said


def _why(ours: float, order: float, coded: float) -> str:
    """The line of the authors' code that moves the distance most."""
    parts = {"order": order - ours, "mean": coded - order}
    largest = max(parts, key=lambda name: parts[name])
    return f"most of the difference to ours ({parts[largest]:.2g} of {coded - ours:.2g}): {EXPLAINED[largest]}"


COLUMNS = (
    Column("distance", "distance", tolerance=0.1),
    Column("relative_distance", "of doing nothing", tolerance=0.1),
    Column("test_accuracy", "test accuracy", floor=0.02),
)

TABLE = Table(
    name="tabular",
    title="Wine, Adult, Obesity and HAPT beside the authors' rebuttal",
    stands_for="The rebuttal's MLP-64 with ReLU on four tables, rows split by seed and standardised by the training "
    "rows. "
    + " ".join(f"Target `{name}`: {meaning}." for name, meaning in TARGETS.items())
    + " `hessian_free, as coded` is the authors' vector against their retraining. Their clipping of each single "
    "gradient is not reproduced; `clipped` is the share of steps that clip at 10. Their NS and IJ are left out, "
    "because the code adds entry j of a flat vector to the whole j-th tensor. Differs: other starts, orders and "
    "splits; categories of Adult by its authors' list. Small: all seeds of wine, one of the others; the rows of "
    f"some examples ({', '.join(f'{name}: {count}' for name, count in PREPARED.items())}) are timed and counted for "
    "all.",
    jobs=jobs,
    by=("data", "target", "forgotten", "method"),
    columns=(
        *COLUMNS,
        Column("clipped", "clipped", floor=0.02),
        Column("unlearn", "unlearn, s", tolerance=None),
        Column("storage", "rows, MB"),
        Column("precompute", "precompute, s", tolerance=None),
    ),
    published=tuple(
        {"data": name, "forgotten": share, "target": "mean", "method": "HF", "distance": distance}
        | {k: v for k, v in (("unlearn", unlearn), ("storage", storage), ("precompute", precompute)) if v is not None}
        for name, share, distance, unlearn, storage, precompute in PUBLISHED
    ),
    statements=statements,
)
