"""Losses of whole batches: whether an example's loss depends on the others."""

import jax
import numpy as np
import optax

from certunl.training.run import Run

__all__ = ["coupled"]


def coupled(run: Run) -> bool:
    """Whether an example's loss depends on the other examples of its batch.

    The losses of a mixed batch are compared with those of batches of one repeated example. That happens at the start,
    at the current parameters and at random parameters, because some couplings vanish at zero.
    """
    few, data = np.arange(min(8, len(run.problem.data))), run.problem.data
    noise = optax.tree.random_like(jax.random.key(0), run.params)
    for params in (run.start, run.params, jax.tree.map(lambda p, z: p + 0.5 * z, run.params, noise)):
        together = np.asarray(run.problem.per_example(params, data[few]))
        alone = [np.asarray(run.problem.per_example(params, data[np.full_like(few, i)]))[0] for i in few[:3]]
        if not np.allclose(together[:3], alone, rtol=1e-4, atol=1e-6, equal_nan=True):
            return True
    return False
