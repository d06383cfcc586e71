"""No method, bound or budget is PROVED of a run whose start, schedule, initializer or optimizer came from outside."""

from dataclasses import replace

import optax
import pytest

import certunl as cu
from tests.cases import KEY
from tests.verdicts import PROBLEMS, RADIUS, of_every_method

RECIPE = cu.Recipe(learning_rate=0.1, epochs=2, batch_size=24, weight_decay=0.3, radius=RADIUS)


def drawn(recipe=RECIPE, **parts):
    return cu.train(replace(PROBLEMS["bounded softmax"](), **parts), recipe, KEY)


def given(**settings):
    first = drawn()
    return cu.fit(first.problem, first.recipe, first.params, first.schedule, **settings)


def holding(start):
    """An initializer that gives what it holds."""
    return lambda key: start


DOORS = {
    "a start": given,
    "a start with words": lambda: given(origin="trained before"),
    "a start put in": lambda: replace(drawn(), start=drawn().params),
    "a schedule": lambda: replace(drawn(), schedule=drawn().schedule.without([1])),
    "an initializer": lambda: drawn(init=holding(drawn().params)),
    "an optimizer": lambda: drawn(replace(RECIPE, optimizer=optax.sgd(1.0))),
}


@pytest.mark.parametrize("door", DOORS)
def test_nothing_is_proved_behind_a_door(door):
    verdicts = of_every_method(DOORS[door]())
    assert len(verdicts) > 40 and "PROVED" not in verdicts.values() and "CONDITIONAL" in verdicts.values()
