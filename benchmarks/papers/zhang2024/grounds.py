"""The three trainings of Zhang et al., at the paper's size and at one that two CPU cores finish."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import jax

import certunl as cu
from benchmarks.papers.grounds import initialised, load, shrunk, subset

__all__ = [
    "GROUNDS",
    "Ground",
    "Trained",
    "as_published",
    "asked",
    "described",
    "fitted",
    "house",
    "retrained",
    "trained",
]

SIGMA = 0.01
"""The noise of the paper."""


@dataclass(frozen=True)
class Ground:
    """One training of the paper. `radius`, `damping` and LiSSA's settings are those attributed to the paper."""

    data: str
    model: Any
    examples: int
    held_out: int
    epochs: int
    radius: float
    damping: float
    forgotten: int
    depth: int = 1000
    repeats: int = 10
    scale: float = 50_000.0
    learning_rate: float = 1e-3
    shrink: int = 1

    def recipe(self) -> cu.Recipe:
        """Adam, batch 128, weight decay 5e-4, and a projection after every step."""
        return cu.Recipe(
            optimizer="adam",
            learning_rate=self.learning_rate,
            weight_decay=5e-4,
            epochs=self.epochs,
            batch_size=128,
            radius=self.radius,
        )

    def solver(self) -> cu.LiSSA:
        return cu.LiSSA(depth=self.depth, repeats=self.repeats, scale=self.scale, batch_size=10)


def _mnist(epochs: int) -> Ground:
    model = cu.models.MLP(hidden=(32, 32), classes=10, activation="relu")
    return Ground("mnist", model, 48_000, 10_000, epochs, 10.0, 200.0, 1000)


def _allcnn(width: int, activation: str = "relu", **sizes: Any) -> Ground:
    return Ground("cifar10", cu.models.AllCNN(width=width, activation=activation), radius=20.0, damping=200.0, **sizes)


def _resnet18(data: str, width: int, **sizes: Any) -> Ground:
    return Ground(data, cu.models.ResNet18(width=width, activation="relu"), radius=21.0, damping=2000.0, **sizes)


_FEW: dict[str, Any] = {"held_out": 1000, "depth": 100, "repeats": 2, "shrink": 4, "forgotten": 50}
GROUNDS: dict[str, dict[str, Ground]] = {
    "small": {
        "MNIST, MLP": _mnist(30),
        "CIFAR-10, AllCNN": _allcnn(32, examples=500, epochs=20, **_FEW),
        "CIFAR-10, ResNet-18": _resnet18("cifar10", 32, examples=500, epochs=10, **_FEW),
    },
    "paper": {
        "MNIST, MLP": _mnist(30),
        "MNIST, MLP, 50 epochs": _mnist(50),
        "CIFAR-10, AllCNN": _allcnn(96, examples=40_000, held_out=10_000, epochs=30, forgotten=1000),
        "CIFAR-10, AllCNN, 50 epochs": _allcnn(96, examples=40_000, held_out=10_000, epochs=50, forgotten=1000),
        "SVHN, ResNet-18": _resnet18("svhn", 64, examples=58_606, held_out=26_032, epochs=30, forgotten=1000),
        "CIFAR-10, ResNet-18": _resnet18("cifar10", 64, examples=40_000, held_out=10_000, epochs=30, forgotten=1000),
    },
}
GROUNDS["small"]["MNIST, MLP, 50 epochs"] = _mnist(50)


@dataclass(frozen=True)
class Trained:
    """A trained model with what a table needs."""

    ground: Ground
    run: cu.Run
    test: cu.Dataset
    request: Any
    other: Any
    forget_key: Any
    judge_key: Any


def described(ground: Ground, seed: int) -> dict[str, Any]:
    """The settings of a training, as JSON."""
    return {
        "data": ground.data,
        "model": " ".join(repr(ground.model).split()),
        "examples": ground.examples,
        "held_out": ground.held_out,
        "recipe": repr(ground.recipe()),
        "forgotten": ground.forgotten,
        "shrink": ground.shrink,
        "seed": seed,
    }


@cache
def trained(ground: Ground, seed: int) -> Trained:
    """The model of `seed`, a random request, and another one of the same size to choose settings on."""
    return asked(ground, seed, *_fitted(replace(ground, forgotten=0), seed))


def fitted(ground: Ground, seed: int) -> tuple[cu.Run, cu.Dataset]:
    """The model of `seed` and the unseen examples. The number of forgotten examples makes no difference."""
    train, test = load(ground.data)
    sizes = (ground.examples, min(ground.held_out, len(test)))
    parts = [shrunk(subset(p, size, seed), ground.shrink) for p, size in zip((train, test), sizes, strict=True)]
    problem = initialised(cu.classification(ground.model, parts[0]))
    return cu.train(problem, ground.recipe(), _keys(seed)[0]), parts[1]


_fitted = cache(fitted)


def asked(ground: Ground, seed: int, run: cu.Run, test: cu.Dataset) -> Trained:
    """`run` with its two requests."""
    _, ask_key, other_key, forget_key, judge_key = _keys(seed)
    request = cu.requests.random(ask_key, run, size=ground.forgotten)
    rest, most = run.minus(request, run.params), len(run.problem.data) // 4
    other = cu.requests.random(other_key, rest, size=min(ground.forgotten, most))
    return Trained(ground, run, test, request, other, forget_key, judge_key)


def _keys(seed: int) -> Any:
    """The keys of training, of the request, of the other request, of forgetting, and of judging."""
    return jax.random.split(jax.random.key(seed), 5)


@cache
def retrained(ground: Ground, seed: int) -> cu.Update:
    """The model of `trained` without the request."""
    at = trained(ground, seed)
    return cu.Retrain().forget(at.run, None, at.request, at.forget_key)


def as_published(ground: Ground, damping: float | None = None) -> cu.Newton:
    """One step along the retained gradient with LiSSA, at the paper's damping."""
    return cu.Newton(damping=damping or ground.damping, gradient="retained", solver=ground.solver())


def house() -> cu.Newton:
    """The library's own step: the difference of gradients, Gauss-Newton, a damping measured from training."""
    return cu.Newton(operator="ggn", solver=cu.CG(tol=1e-2, max_steps=100))
