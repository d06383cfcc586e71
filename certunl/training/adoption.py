"""A run of parameters that were trained elsewhere."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from certunl.base import Params
from certunl.errors import BadInput
from certunl.training.dataset import placed
from certunl.training.placing import beside, spread_out
from certunl.training.problem import Problem
from certunl.training.provenance import Provenance
from certunl.training.recipe import Recipe
from certunl.training.run import Run
from certunl.training.schedule import Schedule
from certunl.training.starting import check_parts, fitting

__all__ = ["adopt"]


def adopt(problem: Problem, params: Params, *, recipe: Recipe | None = None, origin: str = "") -> Run:
    """The run of a model that was trained elsewhere, without the history of its training.

    Methods that need only parameters take it: Newton, CertifiedRemoval, DescentToDelete, NoisyFineTuning, FineTune and
    others. Methods that follow the training (HessianFree, RewindToDelete, Retrain) refuse it in one sentence. The
    reference of `evaluate` is then a model trained afresh, `Retrain(afresh=Recipe(...))`. If the steps of your training
    are known, `fit` or `record` give a run with its history instead.

    Nothing is known of how the parameters were made, so no certificate of a method that starts from them is PROVED.

    Args:
        problem: the model, the losses and the data that the parameters were trained on, in ids from 0 to n − 1.
        params: the trained parameters, a pytree as `problem.init` gives it. `read_params` reads them from a file.
        recipe: says what was minimised (weight_decay, denominator, radius) and how a method may train on (optimizer,
            learning_rate, batch_size). Default: `Recipe()`, without weight decay and ball.
        origin: where the parameters come from, in words, such as "trained in PyTorch for 90 epochs". Certificates
            repeat it under `unchecked`.

    Raises: BadInput for parameters that do not fit the model, and for unusable data or losses.

    >>> import jax, certunl as cu
    >>> data = cu.datasets.load("wine")
    >>> problem = cu.classification(cu.models.Linear(classes=3), data.train)
    >>> run = cu.adopt(problem, problem.init(jax.random.key(0)), origin="a start that nobody trained")
    >>> run.history
    False
    """
    recipe = Recipe() if recipe is None else recipe
    check_parts(problem, recipe)
    if not isinstance(origin, str):
        raise BadInput(f"origin says in words where the parameters come from, got {type(origin).__name__}")
    problem = replace(problem, data=placed(problem.data))
    params = spread_out(fitting(spread_out(params, problem.data), problem))
    problem = replace(problem, data=beside(problem.data, params))
    problem.check(params)
    nothing = Schedule(np.zeros((0, 1), np.int32), np.zeros((0, 1)), np.zeros(0))
    return Run(
        problem=problem,
        recipe=recipe,
        start=params,
        schedule=jax.tree.map(jnp.asarray, nothing),
        params=params,
        present=jnp.ones(len(problem.data), bool),
        provenance=Provenance(origin.strip()),
    )
