"""How do distance, budget and compilations grow over ten requests of 100, one after another?

python benchmarks/newton_stream.py [--save] [--small]
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from harness import arguments, made, tell
from newton_mnist import DECAYED, training_s_own_sum
from problems import images

import certunl as cu
from certunl.timing import Stopwatch

TOTAL = cu.Budget(epsilon=4.0, delta=1e-5)
EACH = cu.Budget(epsilon=1.0, delta=1e-5)


def main(argv: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """One line of JSON. For each request it has the distance of newton and of doing nothing to retraining without all
    examples forgotten so far, the composed epsilon, and the compilations. The trivial bound is the only one here."""
    given = arguments(__doc__, argv)
    size, count = (5, 3) if given.small else (100, 10)
    train, source = images(600 if given.small else 60_000, real=not given.small)
    recipe = cu.Recipe(learning_rate=0.05, epochs=2, radius=20.0) if given.small else DECAYED
    hidden = (4,) if given.small else (32, 32)
    problem = cu.classification(cu.models.MLP(hidden=hidden), train)
    train_key, ask_key, forget_key = jax.random.split(jax.random.key(0), 3)
    run = cu.train(problem, recipe, train_key)
    method = training_s_own_sum(float(np.sum(run.schedule.rates)))
    stream = cu.Stream(run=run, method=method, account=cu.Account(total=TOTAL))
    steps = []
    for number, request in enumerate(cu.requests.stream(ask_key, run, [size] * count)):
        with Stopwatch() as watch:
            release, stream = stream.forget(
                request, EACH, jax.random.fold_in(forget_key, number), cu.secret_key(), trivial=True
            )
        gone = np.flatnonzero(~np.asarray(stream.run.present))
        truth = cu.Retrain().forget(run, None, gone, forget_key)
        rows = cu.evaluate(run, gone, release.update, reference=truth).rows
        steps.append(
            {
                "forgotten": len(gone),
                "distance": rows["newton"]["distance"],
                "doing_nothing": rows["original"]["distance"],
                "epsilon": release.certificate.account.epsilon(TOTAL.delta),
                "verdict": release.certificate.verdict,
                "seconds": release.update.cost["seconds"],
                "compilations": watch.compilations,
            }
        )
    refused = ""
    try:
        for request in cu.requests.stream(ask_key, stream.run, [size] * 3):
            _, stream = stream.forget(request, EACH, forget_key, cu.secret_key(), trivial=True)
    except cu.BadInput as error:
        refused = str(error)
    line = {
        "question": "newton_stream",
        "settings": {
            "model": "-".join(map(str, (784, *hidden, 10))),
            "data": source,
            "examples": len(train),
            "recipe": repr(recipe),
            "method": repr(method),
            "each": repr(EACH),
            "total": repr(TOTAL),
            "seed": 0,
        },
        "steps": steps,
        "refused": refused,
        **made(False),
    }
    return [tell(line, save=given.save)]


if __name__ == "__main__":
    main()
