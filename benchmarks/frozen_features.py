"""How much of a network's accuracy does a head on frozen features keep, and how much is its certificate worth?

python benchmarks/frozen_features.py [--save] [--small]

A CNN is trained on public images, or is only drawn. A softmax regression on its features is trained on the private
images, forgets 1% of them at (1, 1e-5) and is released with its noise. The line also has the head that is retrained by
replay. Numbers are mean and deviation over seeds of start, schedule, request and noise.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from harness import arguments, made, tell
from problems import images

import certunl as cu
from certunl.certificates.update import Unlearner

SEEDS = 3
BUDGET = cu.Budget(epsilon=1.0, delta=1e-5)
METHOD: Unlearner = cu.CertifiedRemoval(tolerance=1e-6)
HEAD = cu.Recipe(learning_rate=1.0, epochs=30, batch_size=1000, weight_decay=1e-3)
NETWORK = cu.Recipe(optimizer="momentum", learning_rate=0.02, weight_decay=1e-4, epochs=5, batch_size=64)
SHOWN = ("test_accuracy", "forget_accuracy", "retain_accuracy", "seconds")


@dataclass(frozen=True)
class Stage:
    """The network is trained on `public` images, or only drawn if that is 0. All other images are private."""

    what: str
    dataset: str
    model: Any
    public: int
    recipe: cu.Recipe


STAGES = (
    Stage("mnist, learnt from 10,000", "mnist", cu.models.CNN(), 10_000, NETWORK),
    Stage("mnist, drawn", "mnist", cu.models.CNN(hidden=100), 0, NETWORK),
    Stage(
        "cifar10, learnt from 25,000",
        "cifar10",
        cu.models.CNN(channels=(32, 64), hidden=128, activation="gelu"),
        25_000,
        replace(NETWORK, learning_rate=0.01, epochs=8),
    ),
)


def main(argv: Sequence[str] | None = None) -> list[dict[str, Any]]:
    given = arguments(__doc__, argv)
    if given.small:
        small = Stage("noise, learnt from 100", "", cu.models.CNN(), 100, cu.Recipe(epochs=1, batch_size=50))
        return [ask(stage, 2, save=given.save) for stage in (small, replace(small, public=0))]
    return [ask(stage, SEEDS, save=given.save) for stage in STAGES]


def ask(stage: Stage, seeds: int, *, save: bool) -> dict[str, Any]:
    """One line of JSON, with the network, and the head before and after forgetting, with noise, and retrained."""
    if stage.dataset:
        train, test, classes, *_ = cu.datasets.load(stage.dataset)
    else:
        train, classes = images(300, real=False)[0], 10
        test = train[-50:]
    train_key, draw_key = jax.random.split(jax.random.key(0))
    model, network = stage.model.clone(classes=classes), None
    seconds: dict[str, float] = {}
    start = time.perf_counter()
    if stage.public:
        public = cu.train(cu.classification(model, train[: stage.public]), stage.recipe, train_key)
        seen = jax.tree.map(jnp.asarray, test)
        network = float(np.mean(np.asarray(public.problem.scores(public.params, seen).correct)))
        extractor = cu.Features.of(public)
    else:
        extractor = cu.Features.random(model, draw_key, train.x.shape[1:])
    seconds["network"] = time.perf_counter() - start
    start = time.perf_counter()
    private, test = extractor(train[stage.public :]), extractor(test)
    seconds["features"] = time.perf_counter() - start
    problem = cu.classification(cu.models.Linear(classes=int(classes or 0), bound=1.0), private)
    rows: dict[str, dict[str, list[float]]] = {}
    times: list[float] = []
    for seed in range(seeds):
        head_key, ask_key, forget_key = jax.random.split(jax.random.key(seed), 3)
        start = time.perf_counter()
        run = jax.block_until_ready(cu.train(problem, HEAD, head_key))
        times.append(time.perf_counter() - start)
        request = cu.requests.random(ask_key, run, size=len(private) // 100)
        release = cu.certify(METHOD.forget(run, None, request, forget_key), BUDGET, cu.secret_key())
        for name, row in cu.evaluate(run, request, release, test=test).rows.items():
            for column in SHOWN:
                rows.setdefault(name, {}).setdefault(column, []).append(row[column])
    certificate = release.certificate
    line = {
        "question": "frozen_features",
        "stage": stage.what,
        "settings": {
            "data": stage.dataset or "synthetic, shaped like mnist",
            "public": stage.public,
            "private": len(private),
            "forgotten": len(private) // 100,
            "features": private.x.shape[1],
            "model": " ".join(repr(model).split()),
            "recipe": repr(stage.recipe) if stage.public else None,
            "head": repr(HEAD),
            "method": repr(METHOD),
            "budget": repr(BUDGET),
            "seeds": seeds,
        },
        "network_test_accuracy": network,
        "rows": {
            name: {c: _spread(v) for c, v in row.items() if v[0] == v[0]} for name, row in rows.items()
        },  # the seconds of the original are NaN
        "certificate": {
            "verdict": certificate.verdict,
            "bound": certificate.bound,
            "sigma": certificate.sigma,
            "noise_norm": certificate.noise_norm,
            "parameter_norm": certificate.parameter_norm,
            "unchecked": certificate.unchecked,
        },
        "seconds": {**seconds, "head": statistics.median(times)},
        **made(False),
    }
    return tell(line, save=save)


def _spread(values: list[float]) -> dict[str, float]:
    return {"mean": statistics.mean(values), "deviation": statistics.stdev(values)}


if __name__ == "__main__":
    main()
