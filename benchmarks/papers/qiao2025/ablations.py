"""Rate, epochs, decay and clipping: what the distance and the accuracy do."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import jax.numpy as jnp
import numpy as np

import certunl as cu
from benchmarks.papers.grounds import accuracy
from benchmarks.papers.qiao2025.judging import DISTANCES, KEY, clipped_steps, curves, jobs_of, judged
from benchmarks.papers.qiao2025.trainings import CNN, LR, ORIGIN, Training, asked, smooth, trained
from benchmarks.papers.table import Column, Job, Row, Statement, Table, select

__all__ = ["TABLE"]

SHARE = 0.2
RATES = (0.001, 0.005, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
DECAYS = (1.0, 0.999, 0.995, 0.99)
EPOCHS, MANY_EPOCHS = (1, 5, 15, 40), (1, 2, 5, 10, 15, 20, 30, 40, 60, 100, 150, 300)
CLIPS, MANY_CLIPS = (0.5, 2.0, 10.0, 1e4), (0.3, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 10.0, 20.0, 50.0, 1e4)


def jobs(scale: str) -> list[Job]:
    small = scale == "small"
    networks = [(LR, 2)] if small else [(LR, 7), (CNN, 3), (smooth(CNN), 3)]
    short = replace(smooth(CNN), recipe=replace(CNN.recipe, epochs=10))
    found = []
    for training, seeds in networks:
        for knob, values in (
            ("rate", RATES),
            ("decay", DECAYS),
            ("epochs", EPOCHS if small else MANY_EPOCHS),
            ("clip", CLIPS if small else MANY_CLIPS),
        ):
            found += _jobs(training, seeds, knob, values)
    return found + (_jobs(short, 1, "rate", (0.01, 0.05, 0.2, 0.5)) if small else [])


def _jobs(training: Training, seeds: int, knob: str, values: Sequence[float]) -> list[Job]:
    """One job for each value and seed, so that one that diverges is left out alone."""
    found = []
    for value in values:
        more = {"knob": knob, "value": value}
        jobs = jobs_of([(training, seeds, (SHARE,))], partial(rows, **more), **more)
        found += [replace(job, name=f"{job.name}, {knob} {value:g}") for job in jobs]
    return found


def rows(training: Training, seed: int, shares: Sequence[float], knob: str, value: float) -> list[Row]:
    run, test = changed(training, seed, knob, value)
    request = asked(run, seed, shares[0])
    update = cu.HessianFree().forget(run, None, request, KEY)
    found = judged(run, request, {"hessian_free": update}, test, DISTANCES)
    nothing = next(row for row in found if row["method"] == "doing nothing")["distance"]
    row = next(row for row in found if row["method"] == "hessian_free")
    facts = {"nothing": nothing, "clipped": clipped_steps(run) / len(run.schedule)}
    facts |= {"original_accuracy": accuracy(run.problem, run.params, test)}
    del row["method"]
    return [{"network": training.name, "knob": knob, "value": f"{value:g}"} | row | facts]


def changed(training: Training, seed: int, knob: str, value: float) -> tuple[cu.Run, cu.Dataset]:
    """The training with one setting changed."""
    if knob == "epochs":
        return trained(replace(training, recipe=replace(training.recipe, epochs=int(value))), seed)
    if knob == "clip":
        return trained(replace(training, recipe=replace(training.recipe, clip_norm=value)), seed)
    run, test = trained(training, seed)
    rate = value if knob == "rate" else training.recipe.learning_rate
    decay = value if knob == "decay" else training.recipe.decay
    rates = rate * decay ** np.arange(len(run.schedule))
    # the schedule alone has the rates, so that every rate and decay runs the same compiled programs
    schedule = replace(run.schedule, rates=jnp.asarray(rates, run.schedule.rates.dtype))
    return cu.fit(run.problem, run.recipe, run.start, schedule, origin=ORIGIN), test


def statements(rows: list[Row]) -> list[Statement]:
    said = []
    for network in dict.fromkeys(row["network"] for row in rows):
        found = {knob: _values(rows, network, knob) for knob in ("rate", "decay", "epochs", "clip")}
        said += [_blow_up(found["rate"], network), _trade(found["rate"], network)]
        if found["decay"]:
            said.append(_monotone(found["decay"], network, "falls with a faster decay of the rate", "decay"))
        if found["clip"]:
            said.append(_monotone(found["clip"], network, "grows with the threshold of clipping", "clip"))
        if found["epochs"]:
            said.append(_epochs(found["epochs"], network))
    return said


def _values(rows: list[Row], network: str, knob: str) -> dict[float, Row]:
    mine = select(rows, network=network, knob=knob)
    return {float(row["value"]): dict(row) for row in sorted(mine, key=lambda row: float(row["value"]))}


def _blow_up(found: dict[float, Row], network: str) -> Statement:
    """Flat up to a rate of 0.25 and exponential beyond?"""
    low, high = ({rate: row for rate, row in found.items() if (rate < 0.25) == below} for below in (True, False))
    first, last, top = (row["distance"][0] for row in (low[min(low)], low[max(low)], found[max(found)]))
    relative = ", ".join(f"{rate:g}: {row['relative_distance'][0]:.2g}" for rate, row in found.items())
    growth = top / last
    exponential = growth > np.exp((max(high) - max(low)) / 0.05)
    return Statement(
        f"The error grows slowly up to a rate of 0.25, and exponentially beyond ({network})",
        "threshold 0.25",
        f"distance {first:.2g} at rate {min(low):g}, {last:.2g} at {max(low):g}, {top:.2g} at {max(found):g}; as a "
        f"share of doing nothing, {relative}",
        bool(last / first < 3 and exponential),
        "counted as less than three times up to the threshold, and more than e for every 0.05 beyond it"
        + ("" if exponential else "; the error grows steadily here"),
    )


def _trade(found: dict[float, Row], network: str) -> Statement:
    best = max(found, key=lambda rate: found[rate]["original_accuracy"][0])
    least = found[min(found)]["original_accuracy"][0]
    accuracies = found[best]["original_accuracy"][0]
    return Statement(
        f"Rates below 0.01 train too little, and the best rate has a small error ({network})",
        "threshold 0.01",
        f"accuracy {least:.3f} at rate {min(found):g} and {accuracies:.3f} at the best, {best:g}, where HF is at "
        f"{found[best]['relative_distance'][0]:.2g} of doing nothing",
        least < accuracies - 0.01 and found[best]["relative_distance"][0] < 0.5,
        "counted as a point of accuracy, and half of the distance of doing nothing",
    )


def _monotone(found: dict[float, Row], network: str, words: str, knob: str) -> Statement:
    distances = {value: row["distance"][0] for value, row in found.items()}
    values = list(distances.values())
    steps = [after - before for before, after in pairwise(values)]
    holds = values[-1] > values[0] and min(steps) > -0.05 * max(values)
    least = min(distances, key=lambda value: distances[value])
    return Statement(
        f"The error {words} ({network})",
        "yes",
        f"distance by {knob}, " + ", ".join(f"{value:g}: {distance:.3g}" for value, distance in distances.items()),
        holds,
        "" if holds else f"it is least at {least:g}; the bound of Theorem 4 is monotone, and the error itself is not",
    )


def _epochs(found: dict[float, Row], network: str) -> Statement:
    distances = {value: row["distance"][0] for value, row in found.items()}
    listed = ", ".join(f"{value:g}: {distance:.3g}" for value, distance in distances.items())
    most, last = max(distances.values()), distances[max(distances)]
    return Statement(
        f"With decaying rates, more epochs do not blow the error up ({network})",
        "yes",
        f"distance by epochs, {listed}",
        last <= 1.05 * most and last < 3 * distances[sorted(distances)[len(distances) // 2]],
    )


def draw(rows: list[Row], figure: Any) -> None:
    axes = figure.subplots(1, 4)
    for axis, knob in zip(axes, ("rate", "decay", "epochs", "clip"), strict=True):
        mine = sorted(select(rows, knob=knob), key=lambda row: float(row["value"]))
        curves(axis, mine, "value", "distance", "network")
        axis.set(xlabel=knob, yscale="log", **({} if knob == "decay" else {"xscale": "log"}))
    axes[0].set_ylabel("distance to retraining")
    axes[0].legend(fontsize=6)


TABLE = Table(
    name="ablations",
    title="Ablations: rate, decay, epochs, clipping",
    stands_for="The paper's ablations, 20% of the examples forgotten. LR starts from rate 0.05, decay 0.995, 15 "
    "epochs, clipping at 5. `clipped` is the share of steps in which clipping shortened the gradient. A job that "
    "diverges is named below the table. Differs: other starts and orders; the CNN with tanh is ours. Small: two "
    "seeds, fewer values, and of the CNN only four rates at 10 epochs with tanh.",
    jobs=jobs,
    by=("network", "knob", "value"),
    columns=(
        *(replace(column, tolerance=0.5, floor=0.3) for column in DISTANCES),  # large where the error blows up
        Column("nothing", "distance of doing nothing", tolerance=0.1),
        Column("clipped", "clipped", floor=0.02),
        Column("original_accuracy", "accuracy before", floor=0.01),
    ),
    statements=statements,
    draw=draw,
)
