"""Which methods prove something of real data at epsilon 1? A softmax head on MNIST images shortened to norm 1.

python benchmarks/certified.py [--save] [--small]

One distance is fixed before the request, and every method does the work that its proof needs for that distance. All
releases therefore carry the same noise. Methods whose own steps carry noise carry as much as (epsilon, delta) needs.
Each stage gives one line of JSON. Accuracies are means over draws of the release's noise. All runs are in float64, so
rounding is no part of any bound.
"""

import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
from harness import arguments, made, tell
from problems import images

import certunl as cu
from certunl.certificates.update import Unlearner

EPSILON, DELTA, SEED, DRAWS = 1.0, 1e-5, 0, 5
HEAD = cu.models.Linear(classes=10, bound=1.0, dtype="float64")


@dataclass(frozen=True)
class Entry:
    """A method and its budget. `distance` is None if its own steps carry the noise."""

    method: Unlearner
    distance: float | None = None
    ball: bool = False
    trivial: bool = False


@dataclass(frozen=True)
class Stage:
    forgotten: int
    recipe: cu.Recipe
    radius: float
    """Of the ball, where a method needs one; the minimiser lies in it: at least √(2 ln 10/weight decay)."""
    entries: dict[str, Entry]


def entries(
    weight_decay: float,
    distance: float,
    *,
    forgotten: int,
    descent: int | None,
    rewound: int,
    trained: cu.NoisySGD,
    ball: cu.NoisySGD | None,
    objective_noise: float,
) -> dict[str, Entry]:
    tolerance = distance * weight_decay
    slow = cu.DescentToDelete(steps=descent or 1, learning_rate=1.9, assumed="linear")
    return {
        "retrain": Entry(cu.Retrain(), distance),
        "certified_removal": Entry(cu.CertifiedRemoval(tolerance=tolerance), distance),
        "newton": Entry(
            cu.Newton(damping=0.0, gradient="retained", assumed="residual", steps=3, solver=cu.CG(tol=1e-2)), distance
        ),
        **({"descent_to_delete": Entry(slow, distance, ball=True)} if descent else {}),
        "rewind_to_delete": Entry(cu.RewindToDelete(steps=rewound, assumed="linear"), distance),
        "hessian_free": Entry(cu.HessianFree(assumed="linear", capacity=forgotten), distance),
        "noisy_sgd, from training's end": Entry(trained, ball=True),
        **({"noisy_sgd, from the ball": Entry(ball, ball=True)} if ball else {}),
        "noisy_finetuning": Entry(
            cu.NoisyFineTuning(radius=1.0, clip_norm=0.1, noise=0.72, epochs=2, learning_rate=0.05, weight_decay=0.2)
        ),
        "model_clipping": Entry(cu.ModelClipping(radius=1.0, noise=0.42, epochs=2, learning_rate=1.0)),
        "output perturbation": Entry(cu.FineTune(epochs=1, learning_rate=1e-9), ball=True, trivial=True),
        "certified_removal, as published": Entry(
            cu.PerturbedRemoval(objective_noise=objective_noise, tolerance=tolerance)
        ),
    }


STAGES = (
    Stage(
        600,
        cu.Recipe(learning_rate=1.0, weight_decay=1e-3, epochs=10, batch_size=1000),
        70.0,
        entries(
            1e-3,
            0.03,
            forgotten=600,
            descent=None,  # 4,500 full gradients
            rewound=597,
            trained=cu.NoisySGD(assumed="linear", start="trained", epochs=40, noise=0.026),
            ball=None,  # 4,200 steps
            objective_noise=9.0,
        ),
    ),
    Stage(
        6,
        cu.Recipe(learning_rate=1.0, weight_decay=1e-2, epochs=20, batch_size=1000),
        22.0,
        entries(
            1e-2,
            0.02,
            forgotten=6,
            descent=420,
            rewound=100,
            trained=cu.NoisySGD(assumed="linear", start="trained", epochs=1, noise=0.006),
            ball=cu.NoisySGD(assumed="linear", start="ball", epochs=8, noise=0.006),
            objective_noise=60.0,
        ),
    ),
)


def main(argv: Sequence[str] | None = None) -> list[dict[str, Any]]:
    given = arguments(__doc__, argv)
    with jax.enable_x64(True):
        return [ask(stage, save=given.save, small=given.small) for stage in (STAGES[1:] if given.small else STAGES)]


def ask(stage: Stage, *, save: bool = False, small: bool = False) -> dict[str, Any]:
    """One line of JSON, with every entry of a stage."""
    # small: 300 retained examples in batches of 5 give as many noisy steps per epoch as 60,000 in batches of 1,000
    train, source = images(300 + stage.forgotten if small else 60_000, real=not small)
    test = train[:100] if small else cu.datasets.load("mnist", train=1).test
    recipe = replace(stage.recipe, epochs=2, batch_size=5) if small else stage.recipe
    problem = cu.classification(HEAD, train)
    rows: dict[str, dict[str, float | None]] = {}
    verdicts: dict[str, str] = {}
    refused: dict[str, str] = {}
    train_key, ask_key, forget_key = jax.random.split(jax.random.key(SEED), 3)
    open_run = cu.train(problem, recipe, train_key)
    runs = {False: open_run, True: cu.train(problem, replace(recipe, radius=stage.radius), train_key)}
    request = cu.requests.random(ask_key, open_run, size=stage.forgotten)
    truths = {ball: cu.Retrain().forget(run, None, request, forget_key).params for ball, run in runs.items()}
    for name, entry in stage.entries.items():
        print(name, file=sys.stderr, flush=True)
        run = runs[entry.ball]
        try:
            # one vector is enough for one request; rows of all examples would be for many
            prepared = None if isinstance(entry.method, cu.HessianFree) else entry.method.prepare(run)
            key: Any = cu.secret_key() if entry.method.own_noise else forget_key
            update = entry.method.forget(run, prepared, request, key)
            releases = [released(update, entry) for _ in range(1 if update.guarantee.own_noise else DRAWS)]
        except (cu.BadInput, cu.Diverged) as refusal:
            refused[name] = str(refusal)
            continue
        facts = releases[0].certificate
        verdicts[name] = facts.verdict
        if entry.distance is not None and facts.budget.distance is None:
            refused[name] = f"its bound exceeds the distance {entry.distance:g}"
        rows[name] = {
            "accuracy": statistics.mean(accuracy(problem, release.params, test) for release in releases),
            "accuracy_without_noise": None if update.guarantee.own_noise else accuracy(problem, update.params, test),
            "distance_to_replay": apart(update.params, truths[entry.ball]),
            "signal_to_noise": facts.signal_to_noise,
            "bound": facts.bound,
            "sigma": facts.sigma,
            "epsilon": facts.epsilon,
            "seconds": update.cost["seconds"],
        }
    line = {
        "question": "certified",
        "settings": {
            "model": repr(HEAD),
            "data": source,
            "examples": len(train),
            "forgotten": stage.forgotten,
            "seed": SEED,
            "draws": DRAWS,
            "epsilon": EPSILON,
            "delta": DELTA,
            "recipe": repr(recipe),
            "radius": stage.radius,
            "methods": {name: repr(entry) for name, entry in stage.entries.items()},
        },
        "rows": rows,
        "verdicts": verdicts,
        "refused": refused,
        **made(False),
    }
    return tell(line, save=save)


def released(update: cu.Update, entry: Entry) -> cu.Release:
    """The release within the fixed distance. If the bound exceeds that distance, sigma follows from the bound."""
    budget = cu.Budget(epsilon=EPSILON, delta=DELTA, distance=entry.distance)
    if entry.distance is not None and update.bound is not None and update.bound > entry.distance:
        budget = replace(budget, distance=None)
    return cu.certify(update, budget, cu.secret_key(), trivial=entry.trivial)


def accuracy(problem: cu.Problem, params: Any, test: cu.Dataset) -> float:
    correct: Any = problem.scores(params, jax.tree.map(jax.numpy.asarray, test)).correct
    return float(correct.mean())


def apart(a: Any, b: Any) -> float:
    return float(sum(float(((x - y) ** 2).sum()) for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True)) ** 0.5)


if __name__ == "__main__":
    main()
