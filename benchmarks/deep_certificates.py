"""How accurate is a deep network whose forgetting is PROVED, and what does a request cost?

python benchmarks/deep_certificates.py [--save] [--small] [--data cifar10] [--way NAME]

A network learns from private images alone. Either it consists of models on shards, of which forgetting retrains those
that hold the request. Or it is trained with noise, and forgetting is free at a price in epsilon, or goes back. Or a
linear model is trained on the features of a network with noise, and forgetting moves it by certified removal; the
accuracy is then that of a release. So is that of a linear model on the images. Accuracies are mean and deviation over
seeds of start, schedule, shards and noise.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from harness import arguments, made, tell
from problems import images

import certunl as cu
from certunl.bounds.theorems.noisy_training import request_epsilon
from certunl.certificates.gaussian import read_epsilon
from certunl.certificates.sharing import SHARE
from certunl.planning import noise_prices, replays

SEEDS = 5
DELTA = 1e-5
REQUESTS = (1, 10, 100, 600)
PLAIN = cu.Recipe(optimizer="momentum", learning_rate=0.05, epochs=20, batch_size=50)
NOISY = cu.Recipe(learning_rate=8.0, decay=0.99, epochs=20, batch_size=10_000, clip_each=1.0, noise=16.85)
SECRET = replace(NOISY, batch_size=2_000, decay=0.996, batches="secret")
SLICES = 5
HEAD = cu.Recipe(weight_decay=1e-5, learning_rate=4.0, epochs=40, batch_size=1000)


def ways_of(
    plain: cu.Recipe,
    noisy: cu.Recipe,
    noises: tuple[float, ...],
    of_heads: tuple[float, ...],
    secret: cu.Recipe,
    hidden: tuple[float, ...],
) -> dict[str, dict[str, Any]]:
    """How a network is trained, by name."""
    return {
        "1 model": {"recipe": plain, "shards": 1},
        "5 shards": {"recipe": plain, "shards": 5},
        "20 shards": {"recipe": plain, "shards": 20},
        **{
            f"{name}, {SLICES} slices": {"recipe": replace(plain, slices=SLICES), "shards": shards}
            for name, shards in (("1 model", 1), ("5 shards", 5), ("20 shards", 20))
        },
        **{f"noise {z:g}": {"recipe": replace(noisy, noise=z), "states": 20} for z in noises},
        **{f"noise {z:g}, secret batches": {"recipe": replace(secret, noise=z), "states": 20} for z in hidden},
        **{f"noise {z:g} and a head": {"recipe": replace(noisy, noise=z), "head": HEAD} for z in of_heads},
        "linear model": {"recipe": HEAD, "linear": True},
    }


WAYS = {
    "mnist": ways_of(PLAIN, NOISY, (5.0, 8.4, 16.85, 33.7), (5.2, 8.75, 17.5, 35.0), SECRET, (1.3, 2.0, 3.3, 6.5)),
    "cifar10": ways_of(
        cu.Recipe(optimizer="momentum", learning_rate=0.02, epochs=10, batch_size=50),
        replace(NOISY, learning_rate=2.0, batch_size=6_000),
        (16.85,),
        (17.5,),
        replace(SECRET, learning_rate=2.0, batch_size=600),
        (4.0,),
    ),
}
IMAGES = {"mnist": 60_000, "cifar10": 12_000}
TINY: dict[str, Any] = {"epochs": 1, "batch_size": 20}
SMALL: dict[str, dict[str, Any]] = {
    "2 shards": {"recipe": cu.Recipe(**TINY), "shards": 2},
    "1 model, 3 slices": {"recipe": cu.Recipe(epochs=4, batch_size=20, slices=3), "shards": 1},
    "noise 5": {"recipe": cu.Recipe(**TINY, clip_each=1.0, noise=5.0), "states": 2},
    "noise 9, secret batches": {"recipe": cu.Recipe(**TINY, clip_each=1.0, noise=9.0, batches="secret"), "states": 2},
    "noise 9 and a head": {"recipe": cu.Recipe(**TINY, clip_each=1.0, noise=9.0), "head": cu.Recipe(weight_decay=1e-2)},
}


def main(argv: Sequence[str] | None = None) -> list[dict[str, Any]]:
    more = {"--data": {"default": "mnist", "choices": tuple(WAYS)}, "--way": {"default": "", "help": "one way alone"}}
    given = arguments(__doc__, argv, more)
    if given.small:
        both = images(300, real=False)[0]
        data, model = (both[:200], both[200:]), cu.models.MLP(hidden=(8,), classes=10, activation="relu")
    else:
        splits = cu.datasets.load(given.data, train=IMAGES[given.data])
        data = (splits.train, jax.tree.map(jnp.asarray, splits.test))
        mlp, cnn = cu.models.MLP(hidden=(128,), activation="relu"), cu.models.CNN(activation="relu")
        model = mlp if given.data == "mnist" else cnn
    ways, seeds = (SMALL, 2) if given.small else (WAYS[given.data], SEEDS)
    chosen = {name: way for name, way in ways.items() if given.way in ("", name)}
    return [ask(given.data, name, way, data, model, seeds, save=given.save) for name, way in chosen.items()]


def ask(
    of: str,
    name: str,
    way: dict[str, Any],
    data: tuple[cu.Dataset, cu.Dataset],
    model: Any,
    seeds: int,
    *,
    save: bool,
) -> dict[str, Any]:
    """One line of JSON: accuracies, and epsilon, work and verdict for requests of each size."""
    train, test = data
    accuracies, seconds, run = [], [], None
    training = {key: value for key, value in way.items() if key not in ("head", "linear")}
    model = cu.models.Linear(classes=10, bound=1.0) if "linear" in way else model
    for seed in range(seeds):
        start = time.perf_counter()
        key = jax.random.key(seed)
        run, features = cu.train(cu.classification(model, train), key=key, **training), test
        if "head" in way:
            run, features = on_features(run, test, way["head"], key)
        params = released(run, key) if removed(run) else jax.block_until_ready(run.params)
        accuracies.append(float(np.mean(np.asarray(run.problem.scores(params, features).correct))))
        seconds.append(time.perf_counter() - start)
    assert run is not None
    sizes = [k for k in REQUESTS if k < len(train) // 2]
    line = {
        "question": "deep_certificates",
        "data": of,
        "way": name,
        "settings": {
            "examples": len(train),
            "model": " ".join(repr(model).split()),
            **{key: repr(value) if isinstance(value, cu.Recipe) else value for key, value in way.items()},
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


def on_features(run: cu.Run, test: cu.Dataset, recipe: cu.Recipe, key: Any) -> tuple[cu.Run, cu.Dataset]:
    """(the run of a linear model on the features of a network with noise, the features of the test set)."""
    extractor = cu.Features.of(run)
    problem = cu.classification(cu.models.Linear(classes=10, bound=1.0), extractor(run.problem.data))
    return cu.train(problem, recipe, key), jax.tree.map(jnp.asarray, extractor(test))


def removed(run: cu.Run) -> bool:
    """Whether a run forgets by certified removal, because it is that of a linear model."""
    return isinstance(run.problem.one.losses.model, cu.models.Linear)


def removal_of(run: cu.Run) -> cu.CertifiedRemoval:
    """Certified removal up to the distance 0.005."""
    return cu.CertifiedRemoval(tolerance=0.005 * run.recipe.weight_decay)


def released(run: cu.Run, key: Any) -> Any:
    """The release of a linear model that has forgotten one example."""
    update = removal_of(run).forget(run, None, cu.requests.random(key, run, size=1), key)
    return cu.certify(update, budget_of(update)).params


def budget_of(update: cu.Update) -> cu.Budget:
    """The least epsilon of a request on features of a network with noise. Without one, a noise of ratio 0.075."""
    if not update.guarantee.before:
        return cu.Budget(sigma=0.0665, delta=DELTA)
    return cu.Budget(epsilon=read_epsilon(SHARE / update.guarantee.before, DELTA), delta=DELTA)


def removal(run: cu.Run, size: int) -> dict[str, Any]:
    """The same as `forgotten` for a linear model."""
    update = removal_of(run).forget(
        run, None, cu.requests.random(jax.random.key(size), run, size=size), jax.random.key(0)
    )
    certificate = cu.certify(update, budget_of(update)).certificate
    facts = {"epsilon": certificate.epsilon, "verdict": certificate.verdict, "seconds": update.cost["seconds"]}
    return facts | {"sigma": certificate.sigma, "expected_share": 0.0}


def forgotten(run: cu.Run, size: int) -> dict[str, Any]:
    """Epsilon, the part of a training that is repeated, and the verdict, for a request of `size` drawn at random."""
    if removed(run):
        return removal(run, size)
    request = cu.requests.random(jax.random.key(size), run, size=size)
    if run.noise is None:
        update = cu.Retrain().forget(run, None, request, jax.random.key(0))
        release = cu.certify(update, cu.Budget(epsilon=1.0, delta=DELTA), cu.secret_key())
        expected = replays(run).share(size) if run.problem.sharded or run.states is not None else 1.0
        facts = {"expected_share": expected, "share": update.cost.get("share_of_training", 1.0)}
        return facts | {"epsilon": 0.0, "seconds": update.cost["seconds"], "verdict": release.certificate.verdict}
    gone = np.isin(np.arange(len(run.present)), request)
    epsilons = {place: request_epsilon(run, gone, DELTA, place) for place in run.noise.states}
    steps = len(run.schedule)
    place = max(place for place, epsilon in epsilons.items() if epsilon <= 1)
    update = cu.NoisyRetrain(rewind_to=place).forget(run, None, request, cu.secret_key())
    release = cu.certify(update, cu.Budget(epsilon=1.0, delta=DELTA))
    return {
        "epsilon": epsilons[steps] if np.isfinite(epsilons[steps]) else None,
        "share_for_1": 1 - place / steps,
        "seconds_for_1": update.cost["seconds"],
        "verdict": release.certificate.verdict,
    }


if __name__ == "__main__":
    main()
