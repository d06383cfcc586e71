"""Under which trainings does one Newton step come closer to retraining than doing nothing?"""

import functools
from dataclasses import replace
from typing import Any

import jax
import numpy as np

import certunl as cu
from benchmarks.papers.grounds import initialised, load, subset
from benchmarks.papers.table import Column, Job, Row, Table, select
from benchmarks.papers.zhang2024.grounds import GROUNDS, as_published, house

__all__ = ["CONDITIONS"]

SEEDS = {"small": (42, 0), "paper": (42, 0, 1, 2, 3)}
FORGOTTEN = 1000
SGD = cu.Recipe(learning_rate=0.05, weight_decay=5e-4, epochs=10, batch_size=128, radius=20.0)
LARGE = replace(SGD, batch_size=6000, epochs=50)
TRAININGS: dict[str, tuple[str, cu.Recipe]] = {
    "the paper's: ReLU, Adam": ("relu", GROUNDS["paper"]["MNIST, MLP"].recipe()),
    "ReLU, SGD 0.05": ("relu", SGD),
    "softplus, SGD 0.05": ("softplus", SGD),
    "and batch 6,000, 50 epochs": ("softplus", LARGE),
    "and weight decay 0.01": ("softplus", replace(LARGE, weight_decay=0.01)),
}


def own_sum(run: cu.Run) -> cu.Newton:
    """LiSSA as deep as training was long: the response of gradient descent that stops when training did."""
    scale = 30.0
    depth = round(float(np.sum(run.schedule.rates)) * scale)
    solver = cu.LiSSA(depth=depth, repeats=2, scale=scale, batch_size=256)
    return cu.Newton(operator="ggn", damping=0.0, solver=solver)


def jobs(scale: str) -> list[Job]:
    return [
        Job(
            f"{training}, seed {seed}",
            {"activation": activation, "recipe": repr(recipe), "seed": seed, "forgotten": FORGOTTEN},
            lambda training=training, seed=seed: _rows(training, seed),
        )
        for training, (activation, recipe) in TRAININGS.items()
        for seed in SEEDS[scale]
    ]


@functools.cache
def _data(seed: int) -> tuple[cu.Dataset, cu.Dataset]:
    train, test = load("mnist")
    return subset(train, 48_000, seed), test


def _rows(training: str, seed: int) -> list[Row]:
    activation, recipe = TRAININGS[training]
    train, test = _data(seed)
    model = cu.models.MLP(hidden=(32, 32), classes=10, activation=activation)
    problem = initialised(cu.classification(model, train))
    train_key, ask_key, key = jax.random.split(jax.random.key(seed), 3)
    run = cu.train(problem, recipe, train_key)
    request = cu.requests.random(ask_key, run, size=FORGOTTEN)
    truth = cu.Retrain().forget(run, None, request, key)
    methods: dict[str, Any] = {"newton, ours": house(), "hessian_free": cu.HessianFree()}
    if training == "the paper's: ReLU, Adam":
        methods["newton, as published"] = as_published(GROUNDS["paper"]["MNIST, MLP"])
    else:
        methods["newton, training's own sum"] = own_sum(run)
        methods["newton, Hessian"] = cu.Newton(solver=cu.CG(tol=1e-2, max_steps=100))
    updates = {"retrain": truth}
    for name, method in methods.items():
        try:
            updates[name] = method.forget(run, None, request, key)
        except cu.Diverged:
            continue
    found = cu.evaluate(run, request, updates, test=test, reference=truth).rows
    columns = ("relative_distance", "distance", "test_accuracy", "loss_change_correlation", "seconds")
    return [
        {"training": training, "method": name, "seed": seed} | {column: row.get(column) for column in columns}
        for name, row in found.items()
    ]


def draw(rows: list[Row], figure: Any) -> None:
    axes = figure.subplots()
    trainings = list(TRAININGS)
    for method in dict.fromkeys(row["method"] for row in rows if row["method"] != "retrain"):
        here = [r for r in select(rows, method=method) if "relative_distance" in r]
        places = [trainings.index(row["training"]) for row in here]
        axes.plot(places, [row["relative_distance"][0] for row in here], "o-", label=method)
    axes.set_xticks(range(len(trainings)), trainings, fontsize=5)
    axes.set(ylabel="distance / doing nothing", yscale="log")
    axes.legend(fontsize=6)


CONDITIONS = Table(
    name="conditions",
    title="Under which trainings a step comes closer to retraining",
    stands_for=(
        "MNIST, 784-32-32-10, 1,000 of 48,000 forgotten. From row to row one thing changes: plain "
        "SGD at a constant rate for Adam, softplus for ReLU, large batches, more weight decay. «Ours» is the "
        "difference of gradients with Gauss-Newton and damping 1/(rate-time of training)."
    ),
    jobs=jobs,
    by=("training", "method"),
    columns=(
        Column("relative_distance", "distance / doing nothing", tolerance=0.2),
        Column("distance", "distance", tolerance=0.2),
        Column("test_accuracy", "test", floor=0.02),
        Column("loss_change_correlation", "r of loss changes", floor=0.1),
        Column("seconds", "seconds", tolerance=None),
    ),
    draw=draw,
)
