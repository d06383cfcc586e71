"""Does unlearning-repairing bring accuracy back after half of the data was forgotten?"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np
import optax

import certunl as cu
from benchmarks.papers.grounds import accuracy
from benchmarks.papers.qiao2025.judging import KEY, jobs_of
from benchmarks.papers.qiao2025.trainings import CNN, LR, Training, asked, smooth, trained
from benchmarks.papers.table import Column, Job, Row, Statement, Table, mean, select
from certunl.training.loop import replay

__all__ = ["TABLE"]

MLP = Training(
    name="MNIST, MLP 784-32-32-10",
    data="mnist",
    model=cu.models.MLP(hidden=(32, 32)),
    recipe=cu.Recipe(learning_rate=0.05, epochs=15, batch_size=32),
    l2=0.0,
    examples=1000,
)
FIRST, THEN = 0.5, 0.1


def jobs(scale: str) -> list[Job]:
    def some(training: Training, seeds: int, repairs: tuple[int, ...], then: float = THEN) -> list[Job]:
        return jobs_of([(training, seeds, (FIRST, then))], partial(rows, repairs=repairs), repairs=list(repairs))

    if scale == "paper":
        return [job for one in (LR, MLP, CNN, smooth(CNN)) for job in some(one, 3, (1, 2, 5, 10, 20))]
    short = replace(smooth(CNN), recipe=replace(CNN.recipe, epochs=10))
    return [*some(LR, 2, (1, 10)), *some(MLP, 2, (1, 10)), *some(short, 1, (5,), 0.01)]


def rows(training: Training, seed: int, shares: Sequence[float], repairs: Sequence[int]) -> list[Row]:
    """A row after training, after forgetting the first share, and after epochs of repair.

    The rows of the second request are carried along. Its error is that of its vector, over the change by retraining.
    """
    run, test = trained(training, seed)
    first = asked(run, seed, shares[0])
    state = run.minus(first, cu.HessianFree().forget(run, None, first, KEY).params)
    second = asked(state, seed, shares[1])
    method = cu.HessianFree(units=tuple(second.tolist()))
    prepared = method.prepare(run)

    def row(name: str, epochs: int, at: cu.Run, statistics: Any) -> Row:
        update = method.forget(at, statistics, second, KEY)
        now, truth = replay(at, at.present)[0], cu.Retrain().forget(at, None, second, KEY).params
        moved, right = optax.tree.sub(update.params, at.params), optax.tree.sub(truth, now)
        return {
            "network": training.name,
            "state": name,
            "epochs": str(epochs),
            "test_accuracy": accuracy(run.problem, at.params, test),
            "retrained_accuracy": accuracy(run.problem, now, test),
            "distance": gap(at.params, now),
            "next_request": gap(moved, right) / float(optax.tree.norm(right)),
        }

    found = [row("trained", 0, run, prepared), row("forgotten", 0, state, prepared)]
    for epochs in repairs:
        repaired, carried = method.repair(state, prepared, jax.random.key(seed), epochs=epochs)
        found.append(row("repaired", epochs, repaired, carried))
    return found


def gap(a: Any, b: Any) -> float:
    return float(optax.tree.norm(optax.tree.sub(a, b)))


def statements(rows: list[Row]) -> list[Statement]:
    said = []
    for network in dict.fromkeys(row["network"] for row in rows):
        of = partial(select, rows, network=network)
        (forgotten,), repaired = of(state="forgotten"), of(state="repaired")
        best = max(repaired, key=lambda row: row["test_accuracy"][0])
        before, after, goal = (
            forgotten["test_accuracy"][0],
            best["test_accuracy"][0],
            forgotten["retrained_accuracy"][0],
        )
        lost = max(goal - before, 0.0)
        said.append(
            Statement(
                f"Repairing brings the accuracy back that forgetting half of the data cost ({network})",
                "yes",
                f"{before:.4f} after forgetting, {after:.4f} after {best['epochs']} epochs of repair, {goal:.4f} "
                "retrained",
                after >= goal - 0.005 and after >= before - 0.005,
                "forgetting by rows cost no accuracy beyond retraining's" if lost < 0.005 else "",
            )
        )
        last = max(repaired, key=lambda row: int(row["epochs"]))
        stale = mean(rows, "next_request", network=network, state="forgotten")
        said.append(
            Statement(
                f"Rows carried through the repair serve the next request ({network})",
                "-",
                f"error of the next request's vector {stale:.2f} of its change before the repair, "
                f"{last['next_request'][0]:.2f} after {last['epochs']} epochs, "
                f"{mean(rows, 'next_request', network=network, state='trained'):.2f} with nobody gone",
                last["next_request"][0] < 0.5,
                ""
                if last["next_request"][0] < 0.5
                else "the rows were gathered along training with everyone there, and a repair does not make them fresh",
            )
        )
    return said


def draw(rows: list[Row], figure: Any) -> None:
    axes = figure.subplots(1, 2)
    for number, network in enumerate(dict.fromkeys(row["network"] for row in rows)):
        after = [row for row in select(rows, network=network) if row["state"] != "trained"]
        epochs = [int(row["epochs"]) for row in after]
        for axis, key in zip(axes, ("test_accuracy", "next_request"), strict=True):
            values, spreads = [row[key][0] for row in after], np.nan_to_num([row[key][1] for row in after])
            axis.errorbar(epochs, values, spreads, marker="o", markersize=3, color=f"C{number}", label=network)
        axes[0].plot(epochs, [row["retrained_accuracy"][0] for row in after], "--", color=f"C{number}", linewidth=1)
    axes[0].set(xlabel="epochs of repair", ylabel="test accuracy (dashed: retrained)")
    axes[1].set(xlabel="epochs of repair", ylabel="error of the next request / its change", ylim=(0, None))
    axes[1].legend(fontsize=6)


TABLE = Table(
    name="repairing",
    title="Unlearning-repairing after half of the data was forgotten",
    stands_for="The paper's repairing: half of the examples are forgotten by their rows, then the model is trained "
    "on with the others, at the last rate of training. The rows of a later request, 10% of the examples, are carried "
    "along. `distance` is to a replay of training and repair on who is left. Differs: the authors released no code "
    "of it, so rates and epochs are ours, and so is the MLP. Small: fewer seeds, 10 "
    "epochs of the CNN with tanh, and 1% for its later request.",
    jobs=jobs,
    by=("network", "state", "epochs"),
    columns=(
        Column("test_accuracy", "test accuracy", floor=0.01),
        Column("retrained_accuracy", "of retraining", floor=0.01),
        Column("distance", "distance", tolerance=0.1),
        Column("next_request", "error of the next request", tolerance=0.1),
    ),
    statements=statements,
    draw=draw,
)
