"""The size of the approximate change beside that of the change by retraining."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

import certunl as cu
from benchmarks.papers.qiao2025.judging import KEY, jobs_of, percent
from benchmarks.papers.qiao2025.trainings import CNN, LR, Training, asked, smooth, trained
from benchmarks.papers.table import Column, Job, Row, Statement, Table, select
from certunl.base import vector
from certunl.metrics import correlations

__all__ = ["TABLE"]

SHARES = (0.01, 0.05, 0.1, 0.2, 0.3)


def jobs(scale: str) -> list[Job]:
    if scale == "paper":
        return jobs_of([(one, 7, SHARES) for one in (LR, CNN, smooth(CNN))], rows)
    short = replace(smooth(CNN), recipe=replace(CNN.recipe, epochs=10))
    return jobs_of([(LR, 4, SHARES), (short, 2, (0.01, 0.1, 0.3))], rows)


def rows(training: Training, seed: int, shares: Sequence[float]) -> list[Row]:
    run, _ = trained(training, seed)
    found, before = [], vector(run.params)
    for share in shares:
        request = asked(run, seed, share)
        exact = vector(cu.Retrain().forget(run, None, request, KEY).params) - before
        row = vector(cu.HessianFree().forget(run, None, request, KEY).params) - before
        sizes = {"exact": float(np.linalg.norm(exact)), "approximate": float(np.linalg.norm(row))}
        sizes |= {"ratio": sizes["approximate"] / sizes["exact"]}
        sizes |= {"cosine": float(exact @ row / (sizes["exact"] * sizes["approximate"]))}
        found.append({"network": training.name, "seed": str(seed), "forgotten": percent(share), **sizes})
    return found


def statements(rows: list[Row]) -> list[Statement]:
    said = []
    for network in dict.fromkeys(row["network"] for row in rows):
        mine = select(rows, network=network)
        exact, approximate, ratio = ([row[key][0] for row in mine] for key in ("exact", "approximate", "ratio"))
        r = correlations(np.asarray(exact), np.asarray(approximate))[0]
        holds = r > 0.95 and min(ratio) > 0.8 and max(ratio) < 1.25
        said.append(
            Statement(
                f"The size of the approximate change is that of the exact one, over seeds ({network})",
                "yes",
                f"r = {r:.3f} over {len(mine)} requests, ratios {min(ratio):.2f} to {max(ratio):.2f}",
                holds,
                ""
                if holds
                else "counted with r above 0.95 and ratios of 0.8 to 1.25; rows keep the curvature of the forgotten "
                "examples, so the vector of many is off by what their joint absence would change",
            )
        )
    return said


def draw(rows: list[Row], figure: Any) -> None:
    networks = list(dict.fromkeys(row["network"] for row in rows))
    axes = figure.subplots(1, len(networks), squeeze=False)[0]
    for axis, network in zip(axes, networks, strict=True):
        for share in dict.fromkeys(row["forgotten"] for row in rows):
            mine = select(rows, network=network, forgotten=share)
            axis.plot(
                *([row[key][0] for row in mine] for key in ("exact", "approximate")), "o", markersize=3, label=share
            )
        ends = [
            f(row[key][0] for row in select(rows, network=network) for key in ("exact", "approximate"))
            for f in (min, max)
        ]
        axis.plot(ends, ends, color="grey", linestyle=":", linewidth=1)
        axis.set(title=network, xlabel="‖change by retraining‖")
    axes[0].set_ylabel("‖approximate change‖")
    axes[0].legend(fontsize=6, title="forgotten", title_fontsize=6)


TABLE = Table(
    name="norms",
    title="Norms of approximate and exact changes over seeds",
    stands_for="The paper's figure of ‖sum of a_u‖ beside ‖w' - w‖, for several seeds and shares forgotten. `cosine` "
    "is the angle of both changes, which the paper does not show. Differs: other starts and orders; the CNN with "
    "tanh and average pooling is ours. Small: fewer seeds, and 10 epochs of the CNN with tanh alone.",
    jobs=jobs,
    by=("network", "seed", "forgotten"),
    columns=(
        Column("exact", "‖change by retraining‖"),
        Column("approximate", "‖approximate change‖"),
        Column("ratio", "ratio"),
        Column("cosine", "cosine"),
    ),
    statements=statements,
    draw=draw,
)
