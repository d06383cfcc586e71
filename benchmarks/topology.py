"""What do the programs of five networks take on TPUs that are not here, by compiling for them?

python benchmarks/topology.py [--save] [--small]
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import jax
import numpy as np
from harness import arguments, made, tell

import certunl as cu
from certunl.base import width
from certunl.planning import forecast
from certunl.timing import Stopwatch
from certunl.training.drawing import draw

TOPOLOGIES = ("v5e:2x4", "v5p:2x2x1")
MNIST, CIFAR = (60_000, 28, 28, 1), (50_000, 32, 32, 3)
FULL = {"linear": MNIST, "mlp": MNIST, "cnn": MNIST, "allcnn": CIFAR, "resnet18": CIFAR}
SMALL = {"linear": (64, 28, 28, 1)}
RECIPE = cu.Recipe(learning_rate=0.05, epochs=15, batch_size=128, weight_decay=5e-4)


def main(argv: Sequence[str] | None = None) -> list[dict[str, Any]]:
    words = arguments(__doc__, argv)
    models, places = (SMALL, ("v5e:2x2",)) if words.small else (FULL, TOPOLOGIES)
    return [ask(name, models[name], place, save=words.save) for name in models for place in places]


def ask(name: str, shape: tuple[int, ...], topology: str, *, save: bool) -> dict[str, Any]:
    """One line of JSON for one network on one topology. Nothing is trained: shapes and types are all that counts."""
    data = cu.Dataset(np.zeros(shape, np.float32), np.zeros(shape[0], np.int32))
    settings = {"hidden": (128,)} if name == "mlp" else {}
    problem = cu.classification(cu.registry.build("models", name, classes=10, **settings), data)
    start = jax.jit(problem.init)(jax.random.key(0))
    schedule = draw(jax.random.key(1), RECIPE, shape[0])
    run = cu.Run(problem, RECIPE, start, schedule, start, jax.numpy.ones(shape[0], bool))
    with Stopwatch() as watch:
        costs = forecast(run, topology)
    facts: dict[str, Any] = asdict(costs)
    return tell(
        {
            "question": "topology",
            "settings": {
                "model": name,
                "parameters": width(start),
                "examples": shape[0],
                "steps": len(schedule),
                "batch_size": RECIPE.batch_size,
                "topology": topology,
            },
            **facts,
            "all_seconds": watch.seconds + watch.compile_seconds,
            **made(with_torch=False),
        },
        save=save,
    )


if __name__ == "__main__":
    main()
