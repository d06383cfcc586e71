"""The number of forgotten examples, and the recursion's scale and depth."""

from dataclasses import replace

import certunl as cu
from benchmarks.papers.table import Column, Job, Row, Statement, Table, holds, mean, select
from benchmarks.papers.zhang2024.grounds import GROUNDS, Ground, as_published, described, house, retrained, trained
from benchmarks.papers.zhang2024.methods import judged
from certunl.bounds.inverse import lemma_depth

__all__ = ["FORGOTTEN", "GROUND", "RECURSION", "UTILITY"]

NUMBERS = {"small": (100, 1000, 2000, 8000), "paper": (100, 500, 1000, 2000, 4000, 8000)}
SETTINGS = {  # damping and scale
    "small": ((0.01, 1000.0), (200.0, 1000.0), (200.0, 50_000.0)),
    "paper": ((0.01, 1000.0), (0.01, 50_000.0), (200.0, 1000.0), (200.0, 50_000.0)),
}
DEPTHS = {"small": (100, 1000), "paper": (100, 1000, 4000)}
GROUND = "MNIST, MLP"
UTILITY = (
    Column("forget_accuracy", "forgotten", floor=0.03),
    Column("retain_accuracy", "retained", floor=0.03),
    Column("test_accuracy", "test", floor=0.03),
    Column("relearn_epochs", "relearn epochs", floor=2),
    Column("attack_accuracy", "attack accuracy", floor=0.06),
    Column("attack_auc", "attack AUC", floor=0.06),
    Column("relative_distance", "distance / doing nothing", tolerance=0.2),
)


def forgotten_jobs(scale: str) -> list[Job]:
    ground = GROUNDS[scale][GROUND]
    return [
        Job(
            f"{number} forgotten",
            described(replace(ground, forgotten=number), 42) | {"lissa": repr(ground.solver())},
            lambda number=number: _forgotten(replace(ground, forgotten=number)),
        )
        for number in NUMBERS[scale]
    ]


def _forgotten(ground: Ground) -> list[Row]:
    at, truth = trained(ground, 42), retrained(ground, 42)
    updates = {
        "retrain": truth,
        "newton, as published": as_published(ground).forget(at.run, None, at.request, at.forget_key),
        "newton, ours": house().forget(at.run, None, at.request, at.forget_key),
    }
    models = {"original": at.run.params} | {name: one.projected() for name, one in updates.items()}
    rows = []
    for name, params in models.items():
        row = judged(at, params, truth) | {"forgotten": ground.forgotten, "method": name}
        rows.append(row | ({"seconds": updates[name].cost["seconds"]} if name in updates else {}))
    return rows


def forgotten_statements(rows: list[Row]) -> list[Statement]:
    numbers = sorted({row["forgotten"] for row in rows})
    of = {
        n: mean(rows, "test_accuracy", forgotten=n, method="newton, as published")
        - mean(rows, "test_accuracy", forgotten=n, method="retrain")
        for n in numbers
    }
    worst = max(numbers, key=lambda n: abs(of[n]))
    return [
        Statement(
            f"the accuracy stays near that of retraining from {numbers[0]} to {numbers[-1]} forgotten examples",
            "-",
            f"largest difference on unseen examples {of[worst]:+.4f}, at {worst}",
            holds(abs(of[worst]) <= 0.02, *of.values()),
            "counted up to two points",
        )
    ]


def recursion_jobs(scale: str) -> list[Job]:
    ground = GROUNDS[scale][GROUND]
    return [
        Job(
            f"damping {damping:g}, scale {size:g}, depth {depth}",
            described(ground, 42) | {"damping": damping, "scale": size, "depth": depth, "repeats": 10},
            lambda damping=damping, size=size, depth=depth: _recursion(ground, damping, size, depth),
        )
        for damping, size in SETTINGS[scale]
        for depth in DEPTHS[scale]
    ]


def _recursion(ground: Ground, damping: float, scale: float, depth: int) -> list[Row]:
    at = trained(ground, 42)
    method = as_published(replace(ground, scale=scale, depth=depth), damping)
    row: Row = {"damping": damping, "scale": scale, "depth": depth, "lemma_depth": lemma_depth(damping, scale)}
    row["bias"] = (1 - damping / scale) ** (depth + 1)
    try:
        update = method.forget(at.run, None, at.request, at.forget_key)
    except cu.Diverged:
        return [row | {"diverged": 1.0}]
    truth = retrained(ground, 42)
    found = cu.evaluate(at.run, at.request, {"x": update}, test=at.test, reference=truth).rows["x"]
    row |= {"relative_distance": found["relative_distance"], "test_accuracy": found["test_accuracy"]}
    return [row | {"residual": found["solver_residual"], "seconds": update.cost["seconds"], "diverged": 0.0}]


def recursion_statements(rows: list[Row]) -> list[Statement]:
    row = select(rows, damping=200.0, scale=50_000.0, depth=1000)
    return [
        Statement(
            "the recursion inverts at the paper's settings (damping 200, scale 50,000, depth 1,000)",
            "-",
            f"residual {one['residual'][0]:.3g} of the right-hand side",
            one["residual"][0] < 0.05,
            f"the lemma asks for a depth of {one['lemma_depth'][0]:.0f}",
        )
        for one in row
        if "residual" in one
    ]


FORGOTTEN = Table(
    name="forgotten",
    title="The number of forgotten examples",
    stands_for="The paper's study of the number of forgotten examples, on MNIST with its own training (30 epochs).",
    jobs=forgotten_jobs,
    by=("forgotten", "method"),
    columns=(*UTILITY, Column("seconds", "seconds", tolerance=None)),
    statements=forgotten_statements,
)
RECURSION = Table(
    name="recursion",
    title="The recursion: damping, scale and depth",
    stands_for=(
        "The paper's study of the recursion, with the defaults of the authors' code (damping 0.01, scale 1,000) and "
        "the settings of the text (200, 50,000). Ten chains, batches of ten. «bias» is the share of the right-hand "
        "side that a chain of this depth has not inverted at an eigenvalue of 0."
    ),
    jobs=recursion_jobs,
    by=("damping", "scale", "depth"),
    columns=(
        Column("lemma_depth", "depth of the lemma", tolerance=1e-3),
        Column("bias", "bias", tolerance=1e-3),
        Column("residual", "residual", tolerance=0.2),
        Column("relative_distance", "distance / doing nothing", tolerance=0.3),
        Column("test_accuracy", "test", floor=0.03),
        Column("diverged", "diverged", tolerance=0.0),
        Column("seconds", "seconds", tolerance=None),
    ),
    statements=recursion_statements,
)
