"""Under which settings does Newton come closer to retraining than doing nothing? MNIST, 784-32-32-10, 1,000 forgotten.

python benchmarks/newton_mnist.py [--save] [--small]

Each stage has one way to train and some ways to forget, over several seeds of start, schedule and request. It gives one
line of JSON. All results are compared with replayed retraining. A "relative_distance" of 1 is doing nothing.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
from harness import arguments, made, tell
from problems import images

import certunl as cu
from certunl.certificates.update import Unlearner

SEEDS = 5
SHOWN = (
    "relative_distance",
    "distance",
    "forget_accuracy",
    "retain_accuracy",
    "test_accuracy",
    "loss_change_correlation",
    "seconds",
    "solver_residual",
)

PAPER = cu.LiSSA(depth=1000, repeats=10, scale=50_000.0, batch_size=10)
"""The settings of Zhang et al., with damping 200."""
NEWTON = cu.Newton(operator="ggn", solver=cu.CG(tol=1e-2))
HEURISTICS: dict[str, Unlearner] = {
    "finetune": cu.FineTune(),
    "neggrad": cu.NegGrad(),
    "fisher": cu.FisherForgetting(),
    "influence": cu.DiagonalInfluence(),
    "lcodec": cu.LCODEC(),
}


def training_s_own_sum(rate_time: float, scale: float = 30.0) -> cu.Newton:
    """LiSSA as deep as training was long. x_s is then the response of gradient descent that stops when training did."""
    solver = cu.LiSSA(depth=round(rate_time * scale), repeats=2, scale=scale, batch_size=256)
    return replace(NEWTON, damping=0.0, solver=solver)


@dataclass(frozen=True)
class Stage:
    what: str
    activation: str
    recipe: cu.Recipe
    methods: dict[str, Unlearner]


ADAM = cu.Recipe(optimizer="adam", learning_rate=1e-3, weight_decay=5e-4, epochs=30, batch_size=128, radius=10.0)
SGD = cu.Recipe(learning_rate=0.05, weight_decay=5e-4, epochs=10, batch_size=128, radius=20.0)
LARGE = replace(SGD, batch_size=6000, epochs=50)
DECAYED = replace(LARGE, weight_decay=0.01)
DECAYED_STAGE = Stage(
    "batch 6,000, and weight decay 0.01",
    "softplus",
    DECAYED,
    {
        "newton": NEWTON,
        "newton, damping 0.1": replace(NEWTON, damping=0.1),
        "newton, fisher": replace(NEWTON, operator="fisher"),
        "newton, hessian": cu.Newton(solver=NEWTON.solver),
        "newton, two steps": replace(NEWTON, steps=2),
        "newton, training's own sum": training_s_own_sum(25.0),
        "hessian_free": cu.HessianFree(),
        **HEURISTICS,
    },
)
STAGES = (
    Stage(
        "the paper's: ReLU, Adam 0.001, batch 128, 30 epochs, radius 10, damping 200",
        "relu",
        ADAM,
        {
            "newton, retained": cu.Newton(damping=200.0, gradient="retained", solver=PAPER),
            "newton, difference": cu.Newton(damping=200.0, solver=PAPER),
            "newton, retained, damping 0.1, ggn": cu.Newton(damping=0.1, gradient="retained", operator="ggn"),
            "newton, difference, measured damping, ggn": NEWTON,
            "hessian_free": cu.HessianFree(),
            **HEURISTICS,
        },
    ),
    Stage(
        "plain SGD 0.05, batch 128, 10 epochs",
        "relu",
        SGD,
        {"newton": NEWTON, "newton, damping 0.1": replace(NEWTON, damping=0.1), "hessian_free": cu.HessianFree()},
    ),
    Stage(
        "and softplus",
        "softplus",
        SGD,
        {
            "newton": NEWTON,
            "newton, damping 0.1": replace(NEWTON, damping=0.1),
            "newton, retained": replace(NEWTON, gradient="retained"),
            "newton, hessian": cu.Newton(solver=NEWTON.solver),
            "newton, two steps": replace(NEWTON, steps=2),
            "hessian_free": cu.HessianFree(),
        },
    ),
    Stage(
        "and batch 6,000, 50 epochs",
        "softplus",
        LARGE,
        {
            "newton": NEWTON,
            "newton, two steps": replace(NEWTON, steps=2),
            "newton, training's own sum": training_s_own_sum(25.0),
            "hessian_free": cu.HessianFree(),
        },
    ),
    Stage("and rates falling to a twentieth", "softplus", replace(LARGE, decay=0.994), {"newton": NEWTON}),
    Stage("batch 6,000, and radius 5", "softplus", replace(LARGE, radius=5.0), {"newton": NEWTON}),
    DECAYED_STAGE,
    Stage(
        "the same, 100 epochs",
        "softplus",
        replace(DECAYED, epochs=100),
        {"newton": NEWTON, "newton, training's own sum": training_s_own_sum(50.0), "hessian_free": cu.HessianFree()},
    ),
)


def main(argv: Sequence[str] | None = None) -> list[dict[str, Any]]:
    given = arguments(__doc__, argv)
    stages = STAGES
    if given.small:
        few = {name: DECAYED_STAGE.methods[name] for name in ("newton", "hessian_free", "lcodec")}
        stages = (replace(DECAYED_STAGE, methods=few),)
    return [ask(stage, save=given.save, small=given.small) for stage in stages]


def ask(stage: Stage, *, save: bool, small: bool) -> dict[str, Any]:
    """One line of JSON, with mean and deviation over the seeds for every method of a stage."""
    train, source = images(300 if small else 60_000, real=not small)
    test = train[:100] if small else cu.datasets.load("mnist", train=1).test
    recipe = replace(stage.recipe, epochs=2, batch_size=100) if small else stage.recipe
    hidden, forgotten, seeds = ((4,), 10, 2) if small else ((32, 32), 1000, SEEDS)
    problem = cu.classification(cu.models.MLP(hidden=hidden, activation=stage.activation), train)
    rows: dict[str, dict[str, list[float]]] = {}
    failures: dict[str, str] = {}
    for seed in range(seeds):
        train_key, ask_key, forget_key = jax.random.split(jax.random.key(seed), 3)
        run = cu.train(problem, recipe, train_key)
        request = cu.requests.random(ask_key, run, size=forgotten)
        truth = cu.Retrain().forget(run, None, request, forget_key)
        updates = {}
        for name, method in stage.methods.items():
            try:
                updates[name] = method.forget(run, None, request, forget_key)
            except cu.Diverged as error:
                failures[name] = str(error)
        for name, row in cu.evaluate(run, request, updates, test=test, reference=truth).rows.items():
            for column in SHOWN:
                rows.setdefault(name, {}).setdefault(column, []).append(row[column])
    line = {
        "question": "newton_mnist",
        "stage": stage.what,
        "settings": {
            "model": "-".join(map(str, (784, *hidden, 10))),
            "activation": stage.activation,
            "data": source,
            "examples": len(train),
            "forgotten": forgotten,
            "seeds": seeds,
            "recipe": repr(recipe),
            "methods": {name: repr(method) for name, method in stage.methods.items()},
        },
        "rows": {name: {c: _spread(values) for c, values in row.items()} for name, row in rows.items()},
        "diverged": failures,
        **made(False),
    }
    return tell(line, save=save)


def _spread(values: list[float]) -> dict[str, float | None] | None:
    known = [value for value in values if value == value]
    if not known:
        return None
    return {"mean": statistics.mean(known), "deviation": statistics.stdev(known) if len(known) > 1 else None}


if __name__ == "__main__":
    main()
