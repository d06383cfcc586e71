"""The trainings of the paper: data, models, hyper-parameters, seeds and batches."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import certunl as cu
from benchmarks.papers.grounds import initialised, load, subset
from certunl.training.drawing import draw

__all__ = ["CNN", "LR", "ORIGIN", "SEEDS", "TARGETS", "WINE", "Training", "asked", "schedule", "smooth", "trained"]

SEEDS = (42, 930, 124, 114514, 3407, 5, 1)
TARGETS = {
    "paper": "the divisor stays |B| and the regulariser leaves with the example, as the text says",
    "mean": "the mean over who is left in the batch and the whole regulariser, as the retraining script computes",
}
ORIGIN = "drawn by the code of the benchmark"
"""One text for all runs, because runs of another origin compile their programs again."""
POOL, HELD_OUT = 10_000, 2000
"""The images that subsets are drawn from, and those of the test set."""


@dataclass(frozen=True)
class Training:
    """One training of the paper.

    Args:
        name: as tables name it.
        data: the data set.
        model: the network.
        recipe: rates, batches and clipping.
        l2: coefficient of (l2/2) ‖all parameters‖².
        examples: size of the random subset that is trained on.
        standardised: whether images of MNIST are (x/255 - 0.1307)/0.3081, as the authors', or x/255.
    """

    name: str
    data: str
    model: Any
    recipe: cu.Recipe
    l2: float
    examples: int
    standardised: bool = True

    def settings(self, **more: Any) -> dict[str, Any]:
        """All that decides the training but the seed, and `more`, as JSON."""
        made_of = {"model": " ".join(repr(self.model).split()), "recipe": repr(self.recipe)}
        plain = {"data": self.data, "examples": self.examples, "l2": self.l2, "standardised": self.standardised}
        return plain | made_of | more


LR = Training(
    name="MNIST, LR",
    data="mnist",
    model=cu.models.Linear(),
    recipe=cu.Recipe(learning_rate=0.05, decay=0.995, epochs=15, batch_size=32, clip_norm=5.0),
    l2=0.5,
    examples=1000,
)
CNN = Training(
    name="MNIST, CNN, ReLU",
    data="mnist",
    model=cu.models.CNN(activation="relu", pooling="max"),
    recipe=cu.Recipe(learning_rate=0.05, decay=0.995, epochs=20, batch_size=64, clip_norm=10.0),
    l2=1e-6,
    examples=1000,
)


WINE = Training(
    name="wine, MLP, ReLU",
    data="wine",
    model=cu.models.MLP((64,), 3, "relu"),
    recipe=cu.Recipe(learning_rate=0.01, decay=0.9995, epochs=40, batch_size=64, clip_norm=10.0),
    l2=0.005,
    examples=142,
)


def smooth(training: Training) -> Training:
    """The same with tanh and average pooling, the library's defaults for such networks."""
    settings = {"activation": "tanh"} | ({"pooling": "average"} if hasattr(training.model, "pooling") else {})
    return replace(training, model=training.model.clone(**settings), name=training.name.replace("ReLU", "tanh"))


@cache
def _standardised(name: str, seed: int, examples: int) -> tuple[cu.Dataset, cu.Dataset]:
    """A table whose rows are split by seed and standardised by the training rows, as the authors' loader does."""
    train, test = load(name)
    x, y = (np.concatenate([np.asarray(a), np.asarray(b)]) for a, b in ((train.x, test.x), (train.y, test.y)))
    order = np.random.default_rng(seed).permutation(len(x))
    rows, others = order[:examples], order[examples : examples + max(len(test), HELD_OUT)]
    mean, deviation = x[rows].mean(0), x[rows].std(0)
    x = ((x - mean) / np.where(deviation > 0, deviation, 1)).astype(np.float32)
    return cu.Dataset(x[rows], y[rows]), cu.Dataset(x[others], y[others])


def drawn(training: Training, seed: int) -> tuple[cu.Dataset, cu.Dataset]:
    """(a random subset, test examples)."""
    if training.data not in ("mnist", "fashion_mnist", "cifar10"):
        return _standardised(training.data, seed, training.examples)
    train, test = load(training.data, train=max(POOL, training.examples), test=HELD_OUT)
    if training.data == "mnist" and training.standardised:  # the other sets of images come with the authors' constants
        train, test = (replace(part, x=(part.x - 0.1307) / 0.3081) for part in (train, test))
    return subset(train, training.examples, seed), test


def schedule(key: Any, recipe: cu.Recipe, examples: int) -> cu.Schedule:
    """Batches of |B| and a shorter last one, in the same order each epoch, since the authors seed each epoch anew."""
    epoch = draw(key, replace(recipe, epochs=1, batches="fixed"), examples)
    indices, weights, divisors = (
        jnp.concatenate([leaf] * recipe.epochs) for leaf in (epoch.indices, epoch.weights, epoch.divisors)
    )
    rates = recipe.learning_rate * recipe.decay ** np.arange(len(indices))
    return cu.Schedule(indices, weights, jnp.asarray(rates), divisors)


@dataclass(frozen=True)
class TorchStart:
    """Draws kernels and biases uniformly from ±1/√(inputs of the layer), as PyTorch does by default.

    Args:
        init: the model's own start, for the shapes.
    """

    init: Any

    def __call__(self, key: Any) -> Any:
        return self._drawn(jax.eval_shape(self.init, key), key)

    def _drawn(self, tree: Any, key: Any) -> Any:
        keys = {name: jax.random.fold_in(key, number) for number, name in enumerate(sorted(tree))}
        if "kernel" not in tree:
            return {name: self._drawn(part, keys[name]) for name, part in tree.items()}
        end = float(np.prod(tree["kernel"].shape[:-1])) ** -0.5
        return {name: jax.random.uniform(keys[name], a.shape, a.dtype, -end, end) for name, a in tree.items()}


def trained(training: Training, seed: int, target: str = "paper") -> tuple[cu.Run, cu.Dataset]:
    """(the run, test examples). Training itself does not depend on `target`, one of `TARGETS` or "step".

    "step" is the library's own target: the divisor stays |B|, and the regulariser is in the step.
    """
    train, test = drawn(training, seed)
    start_key, order_key = jax.random.split(jax.random.key(seed))
    recipe, l2 = training.recipe, training.l2
    if target != "paper":
        denominator = "retained" if target == "mean" else "batch"
        recipe, l2 = replace(recipe, denominator=denominator, weight_decay=l2), 0.0
    problem = cu.classification(training.model, train, l2=l2)
    problem = initialised(replace(problem, init=TorchStart(problem.init)))
    batches = schedule(order_key, recipe, len(train))
    return cu.fit(problem, recipe, problem.init(start_key), batches, origin=ORIGIN), test


def asked(run: cu.Run, seed: int, share: float) -> np.ndarray:
    """Random examples, `share` of all."""
    key = jax.random.fold_in(jax.random.key(seed), round(1000 * share))
    return cu.requests.random(key, run, round(share * len(run.present)))
