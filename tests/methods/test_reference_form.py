"""The order of the authors' code: an injection is multiplied by the factor of its own step too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import certunl as cu
from certunl.training.sensitivity import vector
from tests.cases import KEY, classes, gap, network, trained

METHOD = cu.HessianFree(form="reference")


def by_hand(run, ids, *, code):
    """The recursion of one vector, with explicit Hessians; `code` multiplies the injection by its own step's factor."""
    w, shaped = ravel_pytree(run.start)
    a = jnp.zeros_like(w)
    for slot in zip(*run.schedule.arrays().values(), strict=True):
        row = dict(zip(run.schedule.arrays(), slot, strict=True))
        batch = run.problem.data[np.asarray(row["indices"])]

        def losses(flat, batch=batch):
            return run.problem.per_example(shaped(flat), batch)

        weights = row["weights"] / row["divisors"]
        gradients, hessian = jax.jacobian(losses)(w), jax.hessian(lambda flat, f=losses, v=weights: f(flat) @ v)(w)
        factor = jnp.eye(len(w)) - row["rates"] * hessian
        injected = row["rates"] * gradients.T @ (weights * np.isin(row["indices"], ids))
        a = factor @ (a + injected) if code else factor @ a + injected
        w = w - row["rates"] * gradients.T @ weights
    return shaped(a)


def test_rows_are_those_of_the_recursion_by_hand():
    run = trained(network(), epochs=2, batch_size=10)
    for method, code in ((METHOD, True), (cu.HessianFree(), False)):
        expected = by_hand(run, [3], code=code)
        assert gap(method.prepare(run).correction([3]), expected) < 1e-12
        assert gap(vector(run, jnp.arange(30) == 3, method.form)[0], expected) < 1e-12
    assert gap(by_hand(run, [3], code=True), by_hand(run, [3], code=False)) > 1e-3


@pytest.mark.parametrize("settings", [{}, {"optimizer": "momentum", "clip_norm": 0.5}, {"denominator": "retained"}])
def test_rows_add_up(settings):
    run = trained(network(), **settings)
    rows = METHOD.prepare(run)
    together = METHOD.forget(run, None, [3, 7, 11], KEY).params
    assert gap(together, METHOD.forget(run, rows, [3, 7, 11], KEY).params) < 1e-12


def test_the_paper_s_order_is_closer_to_retraining_than_that_of_the_code():
    problem = cu.classification(cu.models.Linear(classes=3), classes(n=60), l2=0.1)
    run = trained(problem, epochs=10, learning_rate=0.2, batch_size=10)
    truth = cu.Retrain().forget(run, None, [5], KEY).params
    ours, theirs = (gap(m.forget(run, None, [5], KEY).params, truth) for m in (cu.HessianFree(), METHOD))
    assert ours < theirs < gap(run.params, truth)


def test_it_has_no_theorem_and_rows_of_its_own(tmp_path):
    run = trained(network())
    with pytest.raises(cu.BadInput, match='form "reference" has no theorem'):
        cu.HessianFree(form="reference", assumed="linear")
    with pytest.raises(cu.BadInput, match="can be gathered backward"):
        cu.HessianFree(form="reference", gather=cu.Backward())
    store = METHOD.store(run, tmp_path / "s")
    assert gap(store.correction([3]), METHOD.prepare(run).correction([3])) < 1e-12
    for other in (cu.HessianFree(), cu.HessianFree(form="retained")):
        with pytest.raises(cu.BadInput, match="other form"):
            other.open(run, tmp_path / "s")
        with pytest.raises(cu.BadInput, match="another run, method or form"):
            other.forget(run, METHOD.prepare(run), [3], KEY)
    assert METHOD.forget(run, None, [3], KEY).guarantee.says is None
