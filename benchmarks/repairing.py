"""Does unlearning-repairing bring accuracy back after half of the data was forgotten?

python benchmarks/repairing.py [--save] [--small]
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import harness
import jax
import jax.numpy as jnp
import numpy as np
import optax
from harness import arguments, made, tell
from problems import images

import certunl as cu

RECIPE = cu.Recipe(learning_rate=0.05, epochs=15, batch_size=32)
SIZES = {"examples": 1000, "held_out": 2000, "epochs": 15, "first": 0.5, "then": 0.1, "repairs": (1, 2, 5, 10, 20)}
SMALL = {"examples": 40, "held_out": 40, "epochs": 2, "first": 0.5, "then": 0.1, "repairs": (1, 2)}


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    given = arguments(__doc__, argv)
    line = ask(SMALL if given.small else SIZES, real=not given.small) | made(False)
    if given.save:
        draw(line, harness.HERE / "results" / "repairing.png")
    return tell(line, save=given.save)


def ask(sizes: dict[str, Any], *, real: bool) -> dict[str, Any]:
    data, source = images(sizes["examples"] + sizes["held_out"], real=real)
    train, test = (data[np.arange(*ends)] for ends in ((0, sizes["examples"]), (sizes["examples"], len(data))))
    problem = cu.classification(cu.models.MLP(hidden=(32, 32)), train)
    keys = jax.random.split(jax.random.key(0), 5)
    run = cu.train(problem, replace(RECIPE, epochs=sizes["epochs"]), keys[0])
    method = cu.HessianFree()
    rows = method.prepare(run)
    first = cu.requests.random(keys[1], run, size=int(sizes["first"] * len(train)))
    state = run.minus(first, method.forget(run, rows, first, keys[2]).params)
    kept = rows.without(first)
    second = cu.requests.random(keys[3], state, size=int(sizes["then"] * len(train)))

    def told(name: str, at: cu.Run, statistics: Any, epochs: int) -> dict[str, Any]:
        """The accuracy, and the error of the next request's vector as a fraction of the change by retraining."""
        update = method.forget(at, statistics, second, keys[2])
        now, truth = replayed(at), cu.Retrain().forget(at, None, second, keys[2]).params
        moved, right = optax.tree.sub(update.params, at.params), optax.tree.sub(truth, now)
        return {
            "what": name,
            "epochs": epochs,
            "test_accuracy": accuracy(problem, at.params, test),
            "retrained_test_accuracy": accuracy(problem, now, test),
            "distance": gap(at.params, now),
            "distance_of_the_original": gap(run.params, now),
            "next_request": gap(moved, right) / float(optax.tree.norm(right)),
        }

    lines = [told("trained", run, rows, 0), told("forgotten", state, kept, 0)]
    for epochs in sizes["repairs"]:
        repaired, carried = method.repair(state, kept, keys[4], epochs=epochs)
        lines.append(told("repaired", repaired, carried, epochs))
    settings = {"data": source, **sizes, "model": "784-32-32-10", "learning_rate": 0.05, "batch_size": 32, "seed": 0}
    return {"question": "repairing", "settings": settings, "rows": lines}


def replayed(run: cu.Run) -> Any:
    """Training along the run's schedule without the forgotten examples."""
    gone = np.flatnonzero(~np.asarray(run.present))
    schedule = run.schedule.without(gone) if len(gone) else run.schedule
    return cu.fit(run.problem, run.recipe, run.start, schedule).params


def accuracy(problem: cu.Problem, params: Any, data: cu.Dataset) -> float:
    correct: Any = problem.scores(params, jax.tree.map(jnp.asarray, data)).correct
    return float(correct.mean())


def gap(a: Any, b: Any) -> float:
    return float(optax.tree.norm(optax.tree.sub(a, b)))


def draw(line: dict[str, Any], path: Path) -> None:
    """Accuracy and the error of the next request over epochs of repair."""
    from matplotlib.figure import Figure

    trained, *after = line["rows"]
    epochs = [row["epochs"] for row in after]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(epochs, [row["test_accuracy"] for row in after], "o-", label="forgotten, then repaired")
    left.plot(epochs, [row["retrained_test_accuracy"] for row in after], "s--", label="retrained on who is left")
    left.axhline(trained["test_accuracy"], color="grey", label="before anyone was forgotten")
    left.set(xlabel="epochs of repair", ylabel="test accuracy", title="half of the data forgotten")
    right.plot(epochs, [row["next_request"] for row in after], "o-")
    right.axhline(trained["next_request"], color="grey", ls="--", label="fresh rows, nobody gone")
    right.set(
        xlabel="epochs of repair",
        ylabel="error / size of its change",
        title="the next request's vector",
        ylim=(0, None),
    )
    left.legend(fontsize=8)
    right.legend(fontsize=8)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
