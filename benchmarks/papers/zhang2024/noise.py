"""Accuracy beside epsilon, over the noise."""

from typing import Any

import jax

import certunl as cu
from benchmarks.papers.grounds import accuracy, attacked_by_difference
from benchmarks.papers.table import Column, Job, Row, Statement, Table, mean, select
from benchmarks.papers.zhang2024.damping import grounds, printed
from benchmarks.papers.zhang2024.grounds import Ground, as_published, described, trained
from certunl.certificates.gaussian import classical_ratio, read_epsilon

__all__ = ["NOISE"]

SIGMAS = (0.0, 0.001, 0.01, 0.1, 1.0)
DELTA = 0.1


def noise_jobs(scale: str) -> list[Job]:
    return [
        Job(
            f"{name}, noise",
            described(ground, 42) | {"sigmas": list(SIGMAS), "method": repr(as_published(ground))},
            lambda name=name, ground=ground: _noised(name, ground),
        )
        for name, ground in grounds(scale).items()
    ]


def _noised(name: str, ground: Ground) -> list[Row]:
    at = trained(ground, 42)
    update = as_published(ground).forget(at.run, None, at.request, at.forget_key)
    size = sum(leaf.size for leaf in jax.tree.leaves(at.run.params))
    bound, rows = printed(ground, ground.damping, size), []
    for sigma in SIGMAS:
        params = update.projected()
        row: Row = {"data": name, "sigma": sigma}
        if sigma:
            params = cu.certify(update, cu.Budget(delta=DELTA, sigma=sigma), cu.secret_key()).params
            row |= {"classical": classical_ratio(1.0, DELTA) * bound / sigma, "epsilon": _epsilon(sigma / bound)}
            row["noise_norm"] = sigma * size**0.5
        accuracy_of = {
            "test_accuracy": at.test,
            "forget_accuracy": at.run.problem.data[at.request],
        }
        row |= {column: accuracy(at.run.problem, params, data) for column, data in accuracy_of.items()}
        row["attack_auc"] = attacked_by_difference(at.run, at.request, params, at.test, at.judge_key)[1]
        rows.append(row)
    return rows


def _epsilon(ratio: float) -> float:
    """The exact epsilon. Beyond the range of the library it is r²/2 for r = distance/sigma, to leading order."""
    try:
        return read_epsilon(ratio, DELTA)
    except cu.BadInput:
        return 1 / (2 * ratio**2)


def noise_statements(rows: list[Row]) -> list[Statement]:
    result = []
    for row in select(rows, sigma=0.01):
        clean = mean(rows, "test_accuracy", data=row["data"], sigma=0.0)
        result += [
            Statement(
                f"{row['data']}: noise of 0.01 keeps the accuracy",
                "-",
                f"{row['test_accuracy'][0]:.4f}, without noise {clean:.4f}",
                abs(row["test_accuracy"][0] - clean) <= 0.02,
                "counted up to two points",
            ),
            Statement(
                f"{row['data']}: noise of 0.01 certifies, under the paper's own constants and delta 0.1",
                "-",
                f"epsilon {row['epsilon'][0]:.3g} exactly, {row['classical'][0]:.3g} by the rule of the paper",
                row["epsilon"][0] <= 10,
                "the rule holds for epsilon below 1 alone; neither number protects anybody",
            ),
        ]
    return result


def draw_noise(rows: list[Row], figure: Any) -> None:
    axes = figure.subplots()
    for name in dict.fromkeys(row["data"] for row in rows):
        points = [(row["sigma"], row["test_accuracy"][0]) for row in select(rows, data=name) if row["sigma"]]
        axes.plot(*zip(*points, strict=True), "o-", label=name)
    axes.set(xscale="log", xlabel="sigma", ylabel="test accuracy of the release")
    axes.legend(fontsize=7)


NOISE = Table(
    name="noise",
    title="Accuracy beside epsilon, over the noise",
    stands_for=(
        "The paper's study of sigma. Epsilon is that of the printed bound at delta 0.1, once exactly and once by the "
        "classical rule of the paper."
    ),
    jobs=noise_jobs,
    by=("data", "sigma"),
    columns=(
        Column("test_accuracy", "test", floor=0.05),
        Column("forget_accuracy", "forgotten", floor=0.05),
        Column("attack_auc", "attack AUC", floor=0.1),
        Column("noise_norm", "noise norm", tolerance=1e-3),
        Column("epsilon", "epsilon, exact", tolerance=1e-3),
        Column("classical", "epsilon, classical rule", tolerance=1e-3),
    ),
    statements=noise_statements,
    draw=draw_noise,
    noised=lambda row: row["sigma"] > 0,
)
