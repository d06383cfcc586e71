"""The number of forgotten examples, the recursion's scale and depth, and ten requests one after another."""

from dataclasses import replace
from typing import Any

import jax
import numpy as np

import certunl as cu
from benchmarks.papers.table import Column, Job, Row, Statement, Table, mean, select
from benchmarks.papers.zhang2024.grounds import GROUNDS, Ground, as_published, described, house, retrained, trained
from benchmarks.papers.zhang2024.methods import judged
from certunl.bounds.inverse import lemma_depth

__all__ = ["FORGOTTEN", "RECURSION", "SEQUENTIAL"]

NUMBERS = (100, 500, 1000, 2000, 4000, 8000)
DAMPINGS, SCALES, DEPTHS = (0.01, 200.0), (1000.0, 50_000.0), (100, 1000, 4000)
REQUESTS = 10
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
            lambda number=number: _forgotten(ground, number),
        )
        for number in NUMBERS
    ]


def _forgotten(ground: Ground, number: int) -> list[Row]:
    at = trained(ground, 42, number)
    truth = retrained(ground, 42, number)
    updates = {
        "retrain": truth,
        "newton, as published": as_published(ground).forget(at.run, None, at.request, at.forget_key),
        "newton, ours": house().forget(at.run, None, at.request, at.forget_key),
    }
    models = {"original": at.run.params} | {name: one.projected() for name, one in updates.items()}
    rows = []
    for name, params in models.items():
        row = judged(at, params, truth) | {"forgotten": number, "method": name}
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
            abs(of[worst]) <= 0.02,
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
        for damping in DAMPINGS
        for size in SCALES
        for depth in DEPTHS
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


def sequential_jobs(scale: str) -> list[Job]:
    ground = GROUNDS[scale][GROUND]
    size = ground.forgotten // REQUESTS
    methods = {"newton, as published": as_published(ground), "newton, ours": house()}
    return [
        Job(
            f"{REQUESTS} requests of {size}, {name}",
            described(ground, 42) | {"requests": REQUESTS, "size": size, "method": repr(method)},
            lambda name=name, method=method: _sequential(ground, size, name, method),
        )
        for name, method in methods.items()
    ]


def _sequential(ground: Ground, size: int, name: str, method: Any) -> list[Row]:
    """After each request the model, attacked on all examples forgotten so far."""
    at = trained(ground, 42)
    state, rows = at.run, []
    for number, request in enumerate(cu.requests.stream(at.judge_key, at.run, [size] * REQUESTS), start=1):
        update = method.forget(state, None, request, jax.random.fold_in(at.forget_key, number))
        state = state.minus(request, update.projected())
        gone = np.flatnonzero(~np.asarray(state.present))
        truth = cu.Retrain().forget(at.run, None, gone, at.forget_key)
        row = judged(at, state.params, truth, gone) | {"method": name, "requests": number}
        rows.append(row | {"seconds": update.cost["seconds"]})
        rows.append(judged(at, truth.projected(), truth, gone) | {"method": "retrain", "requests": number})
    return rows if name == "newton, as published" else [row for row in rows if row["method"] != "retrain"]


def sequential_statements(rows: list[Row]) -> list[Statement]:
    first, last = (mean(rows, "test_accuracy", method="newton, as published", requests=n) for n in (1, REQUESTS))
    gap = max(
        abs(mean(rows, "attack_auc", method=m, requests=REQUESTS) - 0.5) for m in ("newton, as published", "retrain")
    )
    auc = mean(rows, "attack_auc", method="newton, as published", requests=REQUESTS)
    truth = mean(rows, "attack_auc", method="retrain", requests=REQUESTS)
    return [
        Statement(
            "the accuracy stays over ten requests of the paper's own training",
            "-",
            f"{first:.4f} after one, {last:.4f} after ten",
            abs(first - last) <= 0.02,
        ),
        Statement(
            "after ten requests the attack tells the forgotten no better than after retraining",
            "-",
            f"AUC {auc:.3f}, retrained {truth:.3f} (farthest from chance {gap:.3f})",
            auc <= truth + 0.02,
        ),
    ]


def draw_sequential(rows: list[Row], figure: Any) -> None:
    left, right = figure.subplots(1, 2)
    for name in dict.fromkeys(row["method"] for row in rows):
        here = select(rows, method=name)
        steps = [row["requests"] for row in here]
        left.plot(steps, [row["test_accuracy"][0] for row in here], "o-", label=name)
        right.plot(steps, [row["attack_auc"][0] for row in here], "o-", label=name)
    left.set(xlabel="requests", ylabel="test accuracy")
    right.set(xlabel="requests", ylabel="attack AUC")
    left.legend(fontsize=6)


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
SEQUENTIAL = Table(
    name="sequential",
    title="Ten requests one after another",
    stands_for=(
        "The paper's study of sequential unlearning, ten requests of 100 on MNIST with its own training. The model is "
        "attacked on all examples forgotten so far. The state is projected after each step and never noised."
    ),
    jobs=sequential_jobs,
    by=("method", "requests"),
    columns=(*UTILITY, Column("seconds", "seconds", tolerance=None)),
    statements=sequential_statements,
    draw=draw_sequential,
)
