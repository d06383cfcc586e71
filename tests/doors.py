"""Runs into which something may have entered that knew the forgotten, one function for each door."""

from dataclasses import replace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

import certunl as cu
from tests.cases import KEY, classes

RECIPE = cu.Recipe(learning_rate=0.1, epochs=2, batch_size=10, weight_decay=0.1)


def problem(model=None, data=None):
    return cu.classification(model or cu.models.Linear(classes=3, bound=1.0), data or classes())


def run():
    return cu.train(problem(), RECIPE, KEY)


def given(**settings):
    """A run whose start knew everyone."""
    first = run()
    return cu.fit(first.problem, RECIPE, first.params, first.schedule, **settings)


def holding_labels():
    start = run().params
    return cu.train(replace(problem(), init=lambda key: start), RECIPE, KEY)


def ordered():
    """Batches ordered by the losses of a model that saw everyone."""
    first = run()
    order = np.argsort(np.asarray(first.problem.scores(first.params, first.problem.data).losses))
    schedule = cu.Schedule(order.astype(np.int32).reshape(3, 10), np.ones((3, 10)), np.full(3, 0.1))
    return cu.fit(first.problem, RECIPE, first.start, schedule)


def of_features(**settings):
    extractor = cu.Features.random(cu.models.MLP(hidden=(5,), classes=3), KEY, (4,))
    if settings:
        extractor.params["Dense_0"] = jax.tree.map(lambda a: a + 1, extractor.params["Dense_0"])
    return cu.train(problem(data=extractor(classes())), RECIPE, KEY)


class Net(nn.Module):
    """A module of the user's, which may hold data."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(x)


class Softer(cu.models.Linear):
    """A class derived from one of certunl's is the user's."""


def by_hand(first):
    return cu.Run(
        problem=first.problem,
        recipe=first.recipe,
        start=first.start,
        schedule=first.schedule,
        params=first.params,
        present=first.present,
    )


class Stubborn(cu.Schedule):
    """It masks nothing, so retraining forgets nothing."""

    def masked(self, gone):
        return self


class Pulled(cu.Recipe):
    """It may step anywhere."""


def derived(**parts):
    """A run with parts of a class derived from the library's."""
    first = run()
    return replace(first, **parts) if parts else first


def teacher():
    """Losses towards the outputs of a model that saw everyone."""
    first = run()
    own = first.problem.losses
    target = first.params

    def losses(params, batch):
        return jnp.sum((own.predict(params, batch.x) - own.predict(target, batch.x)) ** 2, axis=1)

    return cu.train(replace(first.problem, losses=losses), RECIPE, KEY)
