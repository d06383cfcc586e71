"""LiSSA against the exact inverse and retraining, where the inverse fits; and the two norms of a convolutional net."""

import time
from dataclasses import replace
from functools import cache
from typing import Any

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np

import certunl as cu
from benchmarks.papers.grounds import initialised, load, shrunk, subset
from benchmarks.papers.table import Column, Job, Row, Statement, Table, mean
from benchmarks.papers.zhang2024.grounds import (
    GROUNDS,
    Ground,
    as_published,
    asked,
    described,
    fitted,
    retrained,
    trained,
)
from benchmarks.papers.zhang2024.methods import judged
from certunl.training.curvature import dense
from certunl.training.risk import Risk

__all__ = ["INVERSE", "NORMALISATION"]

RECIPE = cu.Recipe(learning_rate=0.1, weight_decay=1e-2, epochs=20, batch_size=128, radius=20.0)
FORGOTTEN = 100
MLP = 26_506  # parameters of the network whose exact inverse the paper timed
LISSA = cu.LiSSA(depth=2000, repeats=2, batch_size=64)
"""Its scale is measured: 1.5 times the largest eigenvalue of a few mini-batches."""


SIZES = {"small": ((14, 8000), (28, 8000)), "paper": ((14, 48_000), (28, 48_000))}


def inverse_jobs(scale: str) -> list[Job]:
    return [
        Job(
            f"softmax regression, {side} x {side} pixels",
            {"side": side, "examples": examples, "recipe": repr(RECIPE), "lissa": repr(LISSA), "forgotten": FORGOTTEN},
            lambda side=side, examples=examples: _inverted(side, examples),
        )
        for side, examples in SIZES[scale]
    ]


@cache
def _softmax(side: int, examples: int) -> Any:
    train, test = load("mnist")
    train, test = shrunk(subset(train, examples, 0), 28 // side), shrunk(subset(test, 5000, 0), 28 // side)
    problem = initialised(cu.classification(cu.models.Linear(classes=10), train))
    train_key, ask_key, key = jax.random.split(jax.random.key(0), 3)
    run = cu.train(problem, RECIPE, train_key)
    return run, test, cu.requests.random(ask_key, run, size=FORGOTTEN), key


def _inverted(side: int, examples: int) -> list[Row]:
    run, test, request, key = _softmax(side, examples)
    size = sum(leaf.size for leaf in jax.tree.leaves(run.params))
    truth = cu.Retrain().forget(run, None, request, key)
    updates = {"retrain": truth, "LiSSA": cu.Newton(damping=0.0, solver=LISSA).forget(run, None, request, key)}
    updates["CG"] = cu.Newton(damping=0.0, solver=cu.CG(tol=1e-5)).forget(run, None, request, key)
    updates["exact inverse"], seconds = _cholesky(run, request)
    found = cu.evaluate(run, request, updates, test=test, reference=truth).rows
    exact = found["exact inverse"]
    steps = {name: _gap(update.params, updates["exact inverse"].params, run.params) for name, update in updates.items()}
    rows = []
    for name, update in updates.items():
        row = {"parameters": size, "method": name, "seconds": update.cost.get("seconds", seconds)}
        row |= {"relative_distance": found[name]["relative_distance"], "test_accuracy": found[name]["test_accuracy"]}
        rows.append(row | ({"from_exact": steps[name]} if name in ("LiSSA", "CG") else {}))
    assert exact["relative_distance"] < 1, "the exact Newton step must come closer than doing nothing"
    return rows


def _cholesky(run: cu.Run, request: Any) -> tuple[cu.Update, float]:
    """The step with the whole Hessian, built from as many products as there are parameters and factored by LAPACK."""
    from scipy.linalg import cho_factor, cho_solve

    risk, retained = Risk(run), run.retained(request)
    flat, unravel = jax.flatten_util.ravel_pytree(run.params)

    @jax.jit
    def parts(params: Any) -> tuple[Any, Any]:
        def product(v: Any, key: Any) -> Any:
            return risk.product(params, v, retained, "hessian")

        slope = jax.tree.map(jnp.subtract, risk.gradient(params, retained), risk.gradient(params, run.present))
        return dense(product, params, jax.random.key(0)), jax.flatten_util.ravel_pytree(slope)[0]

    compiled = parts.lower(run.params).compile()
    begin = time.perf_counter()
    matrix, slope = (np.asarray(part, np.float64) for part in compiled(run.params))
    step = cho_solve(cho_factor(matrix, lower=True, overwrite_a=True), slope)
    seconds = time.perf_counter() - begin
    params = unravel(flat - jnp.asarray(step, flat.dtype))
    guarantee = cu.Guarantee(says=None, reference="")
    return cu.Update(params=params, method="exact inverse", guarantee=guarantee, radius=run.recipe.radius), seconds


def _gap(one: Any, exact: Any, start: Any) -> float:
    """The distance of a step from the exact one, as a share of that one's length."""
    a, b, c = (np.asarray(jax.flatten_util.ravel_pytree(tree)[0], np.float64) for tree in (one, exact, start))
    return float(np.linalg.norm(a - b) / np.linalg.norm(b - c))


def inverse_statements(rows: list[Row]) -> list[Statement]:
    result = []
    for size in dict.fromkeys(row["parameters"] for row in rows):
        lissa, exact, retrain = (
            mean(rows, "seconds", parameters=size, method=name) for name in ("LiSSA", "exact inverse", "retrain")
        )
        result += [
            Statement(
                f"{size:,} parameters: the recursion is far faster than the exact inverse",
                "470 times (MLP, 26,506 parameters)",
                f"{exact / lissa:.3g} times",
                exact / lissa >= 100 or (None if size < MLP else False),
                f"the exact inverse takes the cube of the parameters, and theirs are {MLP:,}" if size < MLP else "",
            ),
            Statement(
                f"{size:,} parameters: the recursion is faster than retraining",
                "> 10 times",
                f"{retrain / lissa:.3g} times",
                retrain / lissa >= 10,
                "softmax regression is retrained in a moment",
            ),
        ]
    return result


INVERSE = Table(
    name="inverse",
    title="The recursion against the exact inverse and retraining",
    stands_for=(
        "The paper's table of times, where the whole Hessian fits: softmax regression on MNIST, 14 x 14 and 28 x 28 "
        "pixels (1,970 and 7,850 parameters), strongly convex, damping 0. The exact inverse is the Hessian by products "
        "with unit vectors and Cholesky's factorisation in float64. Seconds are without compilation."
    ),
    jobs=inverse_jobs,
    by=("parameters", "method"),
    columns=(
        Column("from_exact", "step: distance from the exact one", tolerance=0.5, floor=0.02),
        Column("relative_distance", "distance / doing nothing", tolerance=0.2, floor=0.02),
        Column("test_accuracy", "test", floor=0.01),
        Column("seconds", "seconds", tolerance=None),
    ),
    statements=inverse_statements,
)


def normalisation_jobs(scale: str) -> list[Job]:
    group = GROUNDS[scale]["CIFAR-10, AllCNN"]
    batch = replace(group, model=cu.models.AllCNN(width=group.model.width, activation="relu", norm="batch"))
    return [
        Job(
            f"AllCNN, {norm} norm",
            described(ground, 42) | {"norm": norm, "lissa": repr(ground.solver())},
            lambda ground=ground, norm=norm: _normalised(ground, norm),
        )
        for norm, ground in (("group", group), ("batch, frozen", batch))
    ]


def _normalised(ground: Ground, norm: str) -> list[Row]:
    if norm != "group":
        plain = ground.model
        public = shrunk(
            subset(load(ground.data)[1], 512, 1), ground.shrink
        ).x  # of the test images, so that no statistic has seen training
        variables = plain.init(jax.random.key(1), public[:1])
        ground = replace(ground, model=cu.models.Frozen.measured(plain, variables["params"], jnp.asarray(public)))
        at = asked(ground, 42, *fitted(ground, 42))  # its statistics cannot be a key of the cache
        truth = cu.Retrain().forget(at.run, None, at.request, at.forget_key)
    else:
        at, truth = trained(ground, 42), retrained(ground, 42)
    update = as_published(ground).forget(at.run, None, at.request, at.forget_key)
    models = {"original": at.run.params, "retrain": truth.projected(), "newton, as published": update.projected()}
    return [judged(at, params, truth) | {"norm": norm, "method": name} for name, params in models.items()]


NORMALISATION = Table(
    name="normalisation",
    title="GroupNorm, and BatchNorm with fixed statistics",
    stands_for=(
        "The paper trains with BatchNorm, whose running statistics see the forgotten examples and lie outside every "
        "bound. The house has GroupNorm. Frozen BatchNorm has the statistics of unseen images at the start of "
        "training, so that each BatchNorm is an affine layer."
    ),
    jobs=normalisation_jobs,
    by=("norm", "method"),
    columns=(
        Column("forget_accuracy", "forgotten", floor=0.1),
        Column("retain_accuracy", "retained", floor=0.1),
        Column("test_accuracy", "test", floor=0.1),
        Column("relative_distance", "distance / doing nothing", tolerance=0.3),
        Column("attack_auc", "attack AUC", floor=0.15),
    ),
)
