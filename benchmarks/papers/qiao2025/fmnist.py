"""Fashion-MNIST at rate 0.5 and a clipping threshold that every step reaches."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import certunl as cu
from benchmarks.papers.qiao2025.judging import (
    DISTANCES,
    clipped_steps,
    curves,
    first_order,
    jobs_of,
    judged,
    percent,
)
from benchmarks.papers.qiao2025.trainings import CNN, Training, asked, smooth, trained
from benchmarks.papers.table import Column, Job, Row, Statement, Table, mean, select

__all__ = ["TABLE"]

NET = Training(
    name="CNN, ReLU",
    data="fashion_mnist",
    model=CNN.model,
    recipe=cu.Recipe(learning_rate=0.5, decay=0.995, epochs=30, batch_size=256, clip_norm=0.5),
    l2=1e-6,
    examples=4000,
)
LENET = replace(NET, name="LeNet5, ReLU", model=cu.models.LeNet5(activation="relu", pooling="max"))
SHARES = (0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3)
COLUMNS = (*DISTANCES, Column("clipped", "clipped steps"), Column("steps", "steps"))


def jobs(scale: str) -> list[Job]:
    networks = (NET, LENET, smooth(NET), smooth(LENET))
    if scale == "paper":
        return jobs_of([(one, 1, SHARES) for one in networks], rows)
    short = [replace(one, examples=1000, recipe=replace(one.recipe, epochs=15)) for one in networks[:2]]
    return jobs_of([(one, 1, (0.05, 0.2)) for one in short], rows)


def rows(training: Training, seed: int, shares: Sequence[float]) -> list[Row]:
    run, test = trained(training, seed)
    facts = {"clipped": clipped_steps(run), "steps": len(run.schedule)}
    found = []
    for share in shares:
        request = asked(run, seed, share)
        names = {"network": training.name, "forgotten": percent(share)}
        found += [row | facts for row in judged(run, request, first_order(run, request), test, DISTANCES, **names)]
    return found


def statements(rows: list[Row]) -> list[Statement]:
    said = []
    for network in dict.fromkeys(row["network"] for row in rows):
        mine = select(rows, network=network, method="hessian_free")
        far = max(row["relative_distance"][0] for row in mine)
        clipped, steps = (mean(mine[:1], key) for key in ("clipped", "steps"))
        theirs = max(
            row["relative_distance"][0] for row in select(rows, method="hessian_free, their order", network=network)
        )
        said.append(
            Statement(
                f"HF approximates retraining on Fashion-MNIST at rate 0.5 ({network})",
                "yes",
                f"at most {far:.3g} of the distance of doing nothing ({theirs:.2g} in their order), with clipping "
                f"active in {clipped:.0f} of {steps:.0f} steps",
                far < 0.5,
                ""
                if far < 0.5
                else "counted from half of the distance on; a large rate and kinks part the two trainings; their "
                "vector also clips each gradient of its own and multiplies by the derivative of clipping transposed "
                "(utils/Approximator.py)",
            )
        )
    return said


def draw(rows: list[Row], figure: Any) -> None:
    networks = list(dict.fromkeys(row["network"] for row in rows))
    axes = figure.subplots(1, len(networks), sharey=True, squeeze=False)[0]
    for axis, network in zip(axes, networks, strict=True):
        mine = [row for row in rows if row["method"] != "retrain"]
        curves(axis, mine, "forgotten", "distance", "method", network=network)
        axis.set(title=network, xlabel="forgotten, %", ylim=(0, None))
    axes[0].set_ylabel("distance to retraining")
    axes[0].legend(fontsize=6)


TABLE = Table(
    name="fmnist",
    title="Fashion-MNIST: CNN and LeNet-5 at rate 0.5, clipped at 0.5",
    stands_for="The paper's Fashion-MNIST experiments: 4,000 images, batch 256, 30 epochs, rate 0.5, decay 0.995, "
    "clipping at 0.5, one seed. `clipped steps` counts the steps in which clipping shortened the gradient. Ours "
    "differentiates the clipped step. Differs: other starts and orders; the networks with tanh and average pooling are "
    "ours. Small: 1,000 images, 15 epochs, two shares, the networks of the paper alone.",
    jobs=jobs,
    by=("network", "forgotten", "method"),
    columns=COLUMNS,
    statements=statements,
    draw=draw,
)
