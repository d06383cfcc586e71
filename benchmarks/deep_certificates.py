"""How accurate is a deep network whose forgetting is PROVED, and what does a request cost?

python benchmarks/deep_certificates.py [--save] [--small]

A network learns from private images alone. Either it consists of models on shards, of which forgetting retrains those
that hold the request. Or it is trained with noise, and forgetting is free at a price in epsilon, or goes back.
Accuracies are mean and deviation over seeds of start, schedule, shards and noise.
"""

import statistics
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from harness import arguments, made, tell
from problems import images

import certunl as cu
from certunl.bounds.theorems.noisy_training import noisy_training
from certunl.certificates.gaussian import read_epsilon
from certunl.planning import noise_prices, replays

SEEDS = 5
DELTA = 1e-5
REQUESTS = (1, 10, 100, 600)
PLAIN = cu.Recipe(optimizer="momentum", learning_rate=0.05, epochs=20, batch_size=50)
NOISY = cu.Recipe(learning_rate=8.0, decay=0.99, epochs=20, batch_size=10_000, clip_each=1.0, noise=16.85)
WAYS: dict[str, dict[str, Any]] = {
    "1 model": {"recipe": PLAIN, "shards": 1},
    "5 shards": {"recipe": PLAIN, "shards": 5},
    "20 shards": {"recipe": PLAIN, "shards": 20},
    "noise 16.85": {"recipe": NOISY, "states": 20},
}
TINY: dict[str, Any] = {"epochs": 1, "batch_size": 20}
SMALL: dict[str, dict[str, Any]] = {
    "2 shards": {"recipe": cu.Recipe(**TINY), "shards": 2},
    "noise 5": {"recipe": cu.Recipe(**TINY, clip_each=1.0, noise=5.0), "states": 2},
}


def main(argv: Sequence[str] | None = None) -> list[dict[str, Any]]:
    given = arguments(__doc__, argv)
    if given.small:
        both = images(300, real=False)[0]
        data, hidden = (both[:200], both[200:]), 8
    else:
        splits = cu.datasets.load("mnist")
        data, hidden = (splits.train, jax.tree.map(jnp.asarray, splits.test)), 128
    ways, seeds = (SMALL, 2) if given.small else (WAYS, SEEDS)
    return [ask(name, way, data, hidden, seeds, save=given.save) for name, way in ways.items()]


def ask(
    name: str, way: dict[str, Any], data: tuple[cu.Dataset, cu.Dataset], hidden: int, seeds: int, *, save: bool
) -> dict[str, Any]:
    """One line of JSON: accuracies, and epsilon, work and verdict for requests of each size."""
    train, test = data
    problem = cu.classification(cu.models.MLP(hidden=(hidden,), classes=10, activation="relu"), train)
    accuracies, seconds, run = [], [], None
    for seed in range(seeds):
        start = time.perf_counter()
        run = jax.block_until_ready(cu.train(problem, key=jax.random.key(seed), **way))
        seconds.append(time.perf_counter() - start)
        accuracies.append(float(np.mean(np.asarray(run.problem.scores(run.params, test).correct))))
    assert run is not None
    sizes = [k for k in REQUESTS if k < len(train) // 2]
    line = {
        "question": "deep_certificates",
        "way": name,
        "settings": {
            "examples": len(train),
            "hidden": hidden,
            "recipe": repr(way["recipe"]),
            **{key: value for key, value in way.items() if key != "recipe"},
            "delta": DELTA,
            "seeds": seeds,
        },
        "accuracy": {"mean": statistics.mean(accuracies), "deviation": statistics.stdev(accuracies)},
        "training_seconds": statistics.median(seconds),
        "requests": {str(k): forgotten(run, k) for k in sizes},
        **made(False),
    }
    if run.noise is not None:
        line["worst_epsilon"] = noise_prices(run, delta=DELTA).worst[-1]
    return tell(line, save=save)


def forgotten(run: cu.Run, size: int) -> dict[str, Any]:
    """Epsilon, the part of a training that is repeated, and the verdict, for a request of `size` drawn at random."""
    request = cu.requests.random(jax.random.key(size), run, size=size)
    if run.noise is None:
        update = cu.Retrain().forget(run, None, request, jax.random.key(0))
        release = cu.certify(update, cu.Budget(epsilon=1.0, delta=DELTA), cu.secret_key())
        expected = replays(run).share(size) if run.problem.sharded else 1.0
        facts = {"expected_share": expected, "share": update.cost.get("share_of_training", 1.0)}
        return facts | {"epsilon": 0.0, "seconds": update.cost["seconds"], "verdict": release.certificate.verdict}
    gone = np.isin(np.arange(len(run.present)), request)
    ratios = {place: noisy_training(run, gone, until=place).bound or 0.0 for place in run.noise.states}
    epsilons = {place: read_epsilon(1 / ratio, DELTA) if ratio else 0.0 for place, ratio in ratios.items()}
    steps = len(run.schedule)
    place = max(place for place, epsilon in epsilons.items() if epsilon <= 1)
    update = cu.NoisyRetrain(rewind_to=place).forget(run, None, request, cu.secret_key())
    release = cu.certify(update, cu.Budget(epsilon=1.0, delta=DELTA))
    return {
        "epsilon": epsilons[steps],
        "share_for_1": 1 - place / steps,
        "seconds_for_1": update.cost["seconds"],
        "verdict": release.certificate.verdict,
    }


if __name__ == "__main__":
    main()
