"""A certificate's bound stands beside the measured distance to the reference that the certificate names."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from tests.cases import KEY, classes, ridge, trained, vector

BUDGET = cu.Budget(epsilon=1.0, delta=1e-5, distance=1.0)
DECAY = 0.3


def squares(**recipe):
    """Least squares without a bias, whose minimiser has a closed form."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3))
    y = x @ [1.0, -2.0, 0.5] + 0.3 * rng.normal(size=40)
    problem = cu.regression(cu.models.Linear(classes=1, dtype=jnp.float64), cu.Dataset(x, y))
    return trained(problem, weight_decay=DECAY, learning_rate=0.01, epochs=2, **recipe), x, y


def minimiser(x, y):
    """argmin of the sum of squared errors/80 + DECAY/2 ‖w‖² (denominator="batch"), with the bias as one more input."""
    inputs = np.concatenate([np.ones((len(x), 1)), x], axis=1)  # leaves are sorted by name: bias, kernel
    return np.linalg.solve(inputs.T @ inputs / 40 + DECAY * np.eye(4), inputs.T @ y / 40)


@pytest.mark.parametrize("tolerance", [0.3, 0.03])
def test_the_distance_to_the_exact_minimiser_is_that_of_the_closed_form(tolerance):
    run, x, y = squares()
    request, kept = [1, 4], np.delete(np.arange(40), [1, 4])
    update = cu.CertifiedRemoval(tolerance=tolerance).forget(run, None, request, KEY)
    row = cu.evaluate(run, request, cu.certify(update, BUDGET)).rows["certified_removal"]
    exact, truth = minimiser(x[kept], y[kept]), vector(cu.Retrain().forget(run, None, request, KEY).params)
    slack = row["bound_to_its_reference"] / 1000
    assert row["distance_to_its_reference"] == pytest.approx(np.linalg.norm(vector(update.params) - exact), abs=slack)
    assert row["reference_to_retraining"] == pytest.approx(np.linalg.norm(exact - truth), abs=slack)
    assert row["distance_to_its_reference"] <= row["bound_to_its_reference"] < row["reference_to_retraining"]


def test_in_float32_as_well():
    run = trained(cu.classification(cu.models.Linear(classes=3), classes()), weight_decay=0.1)
    update = cu.CertifiedRemoval().forget(run, None, [1], KEY)
    row = cu.evaluate(run, [1], cu.certify(update, BUDGET)).rows["certified_removal"]
    assert row["distance_to_its_reference"] <= row["bound_to_its_reference"] < row["reference_to_retraining"]


def test_a_certificate_that_compares_with_retraining_has_retraining_as_its_reference():
    run = trained(cu.classification(cu.models.Linear(classes=3, bound=1.0), classes()), weight_decay=0.1)
    release = cu.certify(cu.HessianFree(assumed="linear").forget(run, None, [1], KEY), BUDGET)
    row = cu.evaluate(run, [1], release).rows["hessian_free"]
    assert row["reference_to_retraining"] == 0.0 and row["distance_to_its_reference"] == pytest.approx(row["distance"])


def test_laws_have_no_distance():
    run = trained(ridge(), radius=5.0)
    release = cu.certify(cu.FineTune().forget(run, None, [1], KEY), cu.Budget(epsilon=1.0, delta=1e-5), trivial=True)
    assert "reference_to_retraining" in cu.evaluate(run, [1], release).rows["finetune"]
    noisy = cu.certify(
        cu.NoisyFineTuning(noise=2.0).forget(run, None, [1], jax.random.key(1)), cu.Budget(epsilon=50.0, delta=1e-5)
    )
    assert "distance_to_its_reference" not in cu.evaluate(run, [1], noisy).rows["noisy_finetuning"]
