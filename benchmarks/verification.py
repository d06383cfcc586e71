"""How close are methods to true retraining, and how well do they predict its loss changes? Experiments of Qiao et al.

python benchmarks/verification.py [--save] [--small]

Each training (stage, seed) gives one line of JSON with all its deletion rates. With `--save` trainings that are already
saved are skipped, and the tables show all saved lines. A "relative_distance" of 1 is doing nothing.
Differs from the paper's training: batches of equal size, drawn again each epoch; clipping only in stages that name it.
"""

import functools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import harness
import jax
import jax.numpy as jnp
import numpy as np
from harness import arguments, made, tell
from verification_plots import tables

import certunl as cu
from certunl.certificates.update import Unlearner
from certunl.solvers import Solver
from certunl.training.curvature import extreme_eigenvalues
from certunl.training.risk import Risk

SEEDS = (42, 930, 124, 114514, 3407, 5, 1)
RATES = (0.01, 0.05, 0.1, 0.2, 0.3)
TARGETS = {
    "in loss": "denominator batch, the regulariser inside each loss: the paper's",
    "retained": "denominator retained, weight decay in the step: what people usually mean",
}
LANCZOS = 48  # number of products that find the damping for a positive definite Hessian
SHOWN = ("distance", "relative_distance", "loss_change_correlation", "test_accuracy", "forget_accuracy", "seconds")
COSTS = ("damping", "residual", "solver_steps")
once = functools.cache(jax.jit)  # equal initialisers, so that another seed compiles nothing again

LOGISTIC = cu.Recipe(learning_rate=0.05, decay=0.995, epochs=15, batch_size=32)
CONVOLUTIONAL = cu.Recipe(learning_rate=0.05, decay=0.995, epochs=20, batch_size=64)
WINE = cu.Recipe(learning_rate=0.01, decay=0.9995, epochs=40, batch_size=64)
DENSE, CG, ROUGH = cu.Dense(max_dimension=2000), cu.CG(tol=1e-4, max_steps=1000), cu.CG(tol=1e-2, max_steps=40)


@dataclass(frozen=True)
class Stage:
    """One way to train, over seeds. `solver` is that of the second-order methods; None leaves them out. With `prepared`
    the rows of all examples are gathered at once, else one vector per request (the same, because rows add up)."""

    problem: str
    training: str
    target: str
    model: Any
    recipe: cu.Recipe
    regulariser: float
    solver: Solver | None
    prepared: bool = True
    seeds: tuple[int, ...] = SEEDS
    rates: tuple[float, ...] = RATES


def cnn(smoothness: str, rate: float, target: str, seeds: Any, solver: Any = None, rates: Any = RATES) -> Stage:
    activation, pooling = smoothness.split()
    model = cu.models.CNN(activation=activation, pooling=pooling)
    training, recipe = f"{smoothness} pooling, rate {rate:g}", replace(CONVOLUTIONAL, learning_rate=rate)
    return Stage("MNIST, CNN", training, target, model, recipe, 1e-6, solver, False, seeds, rates)


def mlp(activation: str, target: str) -> Stage:
    return Stage("wine, MLP", activation, target, cu.models.MLP((64,), 3, activation), WINE, 0.005, DENSE)


KINDS = ("relu max", "softplus average", "tanh average")
STAGES = (
    *(mlp(activation, target) for activation in ("relu", "softplus") for target in TARGETS),
    *(
        Stage("MNIST, logistic", training, target, cu.models.Linear(), recipe, l2, CG)
        for training, l2, recipe in (
            ("l2 0.5", 0.5, LOGISTIC),
            ("l2 0.01", 0.01, LOGISTIC),
            ("l2 0.5, clipped at 5", 0.5, replace(LOGISTIC, clip_norm=5.0)),
        )
        for target in TARGETS
    ),
    *(cnn(kind, 0.05, "in loss", SEEDS[:2], ROUGH) for kind in KINDS),
    *(cnn(kind, 0.05, "retained", SEEDS[:2]) for kind in KINDS),
    *(cnn(kind, rate, "in loss", SEEDS[:2], rates=(0.01, 0.1, 0.3)) for kind in KINDS for rate in (0.02, 0.01)),
    *(cnn(kind, 0.05, "in loss", SEEDS[2:]) for kind in KINDS),
)


def main(argv: Sequence[str] | None = None) -> list[dict[str, Any]]:
    given = arguments(__doc__, argv)
    stages = STAGES
    if given.small:
        tiny = {"recipe": replace(WINE, epochs=3), "seeds": SEEDS[:1], "rates": (0.05, 0.1)}
        stages = (replace(mlp("softplus", "retained"), model=cu.models.MLP((4,), 3), **tiny),)
    path, known = harness.HERE / "results" / "verification.jsonl", []
    if given.save and path.exists():
        known = [json.loads(text) for text in path.read_text().splitlines()]
    done, lines = [line["settings"] for line in known], []
    for stage in stages:
        for seed in stage.seeds:
            if (settings := described(stage, seed)) not in done:
                lines.append(tell(ask(stage, seed, settings), save=given.save))
    print(tables(known + lines))
    return lines


def recipe_for(stage: Stage) -> cu.Recipe:
    inside = stage.target == "in loss"
    decay, denominator = (0.0, "batch") if inside else (stage.regulariser, "retained")
    return replace(stage.recipe, weight_decay=decay, denominator=denominator)


def described(stage: Stage, seed: int) -> dict[str, Any]:
    named = {name: getattr(stage, name) for name in ("problem", "training", "target", "regulariser", "prepared")}
    more = {"meaning": TARGETS[stage.target], "seed": seed, "rates": list(stage.rates)}
    made_of = {"model": " ".join(repr(stage.model).split()), "recipe": repr(recipe_for(stage))}
    return named | more | made_of | {"solver": stage.solver and repr(stage.solver)}


@functools.cache
def mnist() -> Any:
    return cu.datasets.load("mnist", train=10_000, test=2000)


def data_for(problem: str, seed: int) -> tuple[cu.Dataset, cu.Dataset]:
    """All of wine, or 1,000 of the first 10,000 training images of MNIST by seed with the first 2,000 test images."""
    if problem.startswith("wine"):
        return cu.datasets.load("wine")[:2]
    train, test, _ = mnist()
    return train[np.sort(np.random.default_rng(seed).choice(len(train), 1000, replace=False))], test


def ask(stage: Stage, seed: int, settings: dict[str, Any]) -> dict[str, Any]:
    """One line of JSON, with every deletion rate of one training."""
    train, test = data_for(stage.problem, seed)
    problem = cu.classification(stage.model, train, l2=stage.regulariser if stage.target == "in loss" else 0.0)
    problem = replace(problem, init=once(problem.init))
    train_key, ask_key, forget_key = jax.random.split(jax.random.key(seed), 3)
    run = cu.train(problem, recipe_for(stage), train_key)
    prepared = cu.HessianFree().prepare(run) if stage.prepared else None
    lowest = float(smallest_eigenvalue(run, forget_key)) if stage.solver else None
    requests = []
    for rate in stage.rates:
        request = cu.requests.random(jax.random.fold_in(ask_key, round(1000 * rate)), run, round(rate * len(train)))
        truth = cu.Retrain().forget(run, None, request, forget_key)
        updates = {"hessian_free": cu.HessianFree().forget(run, prepared, request, forget_key)}
        for name, method in second_order(stage.solver, lowest):
            if name not in updates:
                try:
                    updates[name] = method.forget(run, None, request, forget_key)
                except cu.Diverged:
                    continue
        found = cu.evaluate(run, request, updates, test=test, reference=truth).rows
        rows = {name: {column: row[column] for column in SHOWN} for name, row in found.items()}
        for name, update in updates.items():
            rows[name] |= {c: update.cost[c] for c in COSTS if c in update.cost}
            rows[name]["loss_change_rank_correlation"] = spearman(run, request, truth, update)
        rows = {name: {c: v if np.isfinite(v) else None for c, v in row.items()} for name, row in rows.items()}
        requests.append({"rate": rate, "forgotten": len(request), "rows": rows})
    facts = {"examples": len(train), "parameters": sum(leaf.size for leaf in jax.tree.leaves(run.params))}
    facts |= {"held_out": len(test), "smallest_eigenvalue": lowest}
    return {"question": "verification", "settings": settings, **facts, "requests": requests, **made(False)}


def second_order(solver: Solver | None, lowest: float | None) -> Iterator[tuple[str, Unlearner]]:
    """(name, method). A name comes again with the next larger damping, in case the last one was not enough."""
    if solver is None or lowest is None:
        return
    yield "newton", cu.Newton(operator="ggn", solver=ROUGH)
    for damping in [0.0] * (lowest > 0) + [1.1 * abs(lowest) * 1.5**k for k in range(12)]:
        yield "newton_step", cu.NewtonStep(damping=damping, solver=solver)
        yield "jackknife", cu.Jackknife(damping=damping, solver=solver)


@jax.jit
def smallest_eigenvalue(run: cu.Run, key: jax.Array) -> jax.Array:
    """The smallest eigenvalue of the Hessian over all data, approached from above."""

    def product(v: Any, k: jax.Array) -> Any:
        return Risk(run).product(run.params, v, run.present, "hessian")

    return extreme_eigenvalues(product, run.params, key, LANCZOS)[0]


def spearman(run: cu.Run, request: Any, truth: cu.Update, update: cu.Update) -> float:
    """Spearman's rho of the forgotten examples' loss changes and retraining's (r is `loss_change_correlation`)."""
    from scipy.stats import spearmanr

    forgotten, models = run.problem.data[jnp.asarray(request)], (run.params, update.params, truth.params)
    before, after, real = (np.asarray(run.problem.scores(p, forgotten).losses, np.float64) for p in models)
    if len(request) < 3 or not (np.std(after - before) > 0 and np.std(real - before) > 0):
        return float("nan")
    return float(np.asarray(spearmanr(after - before, real - before))[0])


if __name__ == "__main__":
    main()
