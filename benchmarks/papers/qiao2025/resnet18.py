"""ResNet-18 with one vector for each request: no row is stored."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax

import certunl as cu
from benchmarks.papers.grounds import initialised
from benchmarks.papers.qiao2025.judging import DISTANCES, KEY, jobs_of, judged
from benchmarks.papers.qiao2025.trainings import ORIGIN, Training, asked, drawn, schedule
from benchmarks.papers.table import Column, Job, Row, Statement, Table, mean
from certunl.base import nbytes, width

__all__ = ["TABLE"]

CIFAR = Training(
    name="CIFAR-10, ResNet-18, ReLU",
    data="cifar10",
    model=cu.models.ResNet18(norm="batch", activation="relu"),
    recipe=cu.Recipe(learning_rate=0.001, decay=0.99995, epochs=40, batch_size=256, clip_norm=10.0),
    l2=0.01,
    examples=50_000,
)
SMALL = replace(
    CIFAR,
    name="CIFAR-10, ResNet-18 of width 8, ReLU",
    model=cu.models.ResNet18(norm="batch", activation="relu", width=8),
    recipe=replace(CIFAR.recipe, learning_rate=0.01, epochs=3, batch_size=64),
    examples=384,
)
FORGOTTEN, SMALL_FORGOTTEN, SEED = 50, 19, 930
MEASURED = 256
"""Test images, never forgotten, of which the statistics of BatchNorm are taken."""


def jobs(scale: str) -> list[Job]:
    smooth = replace(CIFAR, model=CIFAR.model.clone(activation="softplus"), name="CIFAR-10, ResNet-18, softplus")
    trainings, forgotten = ([CIFAR, smooth], FORGOTTEN) if scale == "paper" else ([SMALL], SMALL_FORGOTTEN)
    return jobs_of([(one, 1, (forgotten / one.examples,)) for one in trainings], rows, (SEED,), measured=MEASURED)


def rows(training: Training, seed: int, shares: Sequence[float]) -> list[Row]:
    run, test = frozen(training, seed)
    request, n = asked(run, seed, shares[0]), len(run.present)
    truth, update = (one.forget(run, None, request, KEY) for one in (cu.Retrain(), cu.HessianFree()))
    seconds = {"retrain": truth.cost["seconds"], "hessian_free": update.cost["seconds"]}
    facts: dict[str, Any] = {"parameters": width(run.params), "rows": n * nbytes(run.params) / 1e9}
    found = []
    for row in judged(run, request, {"hessian_free": update}, test, DISTANCES, network=training.name):
        own = {"seconds": seconds[row["method"]]} if row["method"] in seconds else {}
        found.append(row | own | (facts if row["method"] == "hessian_free" else {}))
    return found


def frozen(training: Training, seed: int) -> tuple[cu.Run, cu.Dataset]:
    """(the run of a network whose BatchNorm has fixed statistics, test images without those they are taken of)."""
    train, test = drawn(training, seed)
    start_key, order_key = jax.random.split(jax.random.key(seed))
    params = jax.jit(training.model.init)(start_key, test.x[:1])["params"]
    model = cu.models.Frozen.measured(training.model, params, test.x[:MEASURED])
    problem = initialised(cu.classification(model, train, l2=training.l2))
    batches = schedule(order_key, training.recipe, len(train))
    run = cu.fit(problem, training.recipe, params, batches, origin=ORIGIN)
    return run, test[MEASURED : MEASURED + training.examples]


def statements(rows: list[Row]) -> list[Statement]:
    said = []
    for network in dict.fromkeys(row["network"] for row in rows):
        value = partial(mean, rows, network=network, method="hessian_free")
        far, gap = (
            value("relative_distance"),
            value("test_accuracy") - mean(rows, "test_accuracy", network=network, method="retrain"),
        )
        said.append(
            Statement(
                f"HF approximates retraining of a ResNet-18 ({network})",
                "yes",
                f"{far:.2g} of the distance of doing nothing, {100 * gap:+.1f} points of accuracy beside retraining",
                far < 0.5,
                "" if far < 0.5 else "counted from half of the distance on; first-order vectors miss the kinks of ReLU",
            )
        )
        retrain = mean(rows, "seconds", network=network, method="retrain")
        said.append(
            Statement(
                f"Forgetting is faster than retraining for a ResNet-18 ({network})",
                "yes",
                f"the vector of a known request takes {value('seconds') / retrain:.1f} times as long as retraining; "
                f"rows of everyone would take {value('rows'):.3g} GB",
                value("seconds") < retrain,
                ""
                if value("seconds") < retrain
                else "the authors too compute vectors of the forgotten examples alone (main_proposedresnet.py passes "
                "indices_to_unlearn), so their online seconds leave out the recursion",
            )
        )
    return said


TABLE = Table(
    name="resnet18",
    title="ResNet-18 on CIFAR-10, one vector for each request",
    stands_for="The paper's ResNet-18 on CIFAR-10 (50,000 images, batch 256, 40 epochs, rate 0.001, clipping at 10, 50 "
    "forgotten). The request is known, so one vector along training serves it, and no row is stored. BatchNorm is "
    "frozen, as theirs. Differs: the start is random and not pre-trained, images stay at 32 pixels, and the "
    "statistics of BatchNorm are those of the start on 256 test images, which are left out of the test; softplus is "
    "ours. Small: 384 images, width 8, three epochs of batch 64 at rate 0.01, 19 forgotten, no softplus.",
    jobs=jobs,
    by=("network", "method"),
    columns=(
        *DISTANCES,
        Column("parameters", "parameters"),
        Column("rows", "rows of everyone, GB"),
        Column("seconds", "seconds", tolerance=None),
    ),
    statements=statements,
)
