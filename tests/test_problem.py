"""Labels and targets that fit, scores in microbatches, and losses by hand."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.rows.origin import fingerprint
from certunl.timing import Stopwatch
from tests.cases import KEY, classes, network, trained


def test_classification_losses_by_hand():
    problem = network(l2=0.3)
    params = problem.init(KEY)
    logits = problem.losses.predict(params, problem.data.x)
    square = sum(float((leaf**2).sum()) for leaf in jax.tree.leaves(params))
    expected = -jax.nn.log_softmax(logits)[jnp.arange(30), problem.data.y] + 0.15 * square
    np.testing.assert_allclose(problem.losses(params, problem.data), expected, rtol=1e-12)


def test_regression_losses_by_hand_and_targets_that_do_not_fit():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(9, 4)), rng.normal(size=(9, 2))
    model = cu.models.Linear(classes=2, dtype=jnp.float64)
    problem = cu.regression(model, cu.Dataset(x, y))
    params = problem.init(KEY)
    outputs = problem.losses.predict(params, x)
    np.testing.assert_allclose(problem.losses(params, problem.data), 0.5 * ((outputs - y) ** 2).sum(1), rtol=1e-12)
    with pytest.raises(cu.BadInput, match="do not fit"):
        cu.regression(model, cu.Dataset(x, y[:, 0]))
    single = cu.regression(cu.models.Linear(classes=1, dtype=jnp.float64), cu.Dataset(x, y[:, 0]))
    assert single.losses(single.init(KEY), single.data).shape == (9,)


@pytest.mark.parametrize(
    "labels", [np.array([0, 1, 3]), np.array([0, -1, 2]), np.array([0.0, 1, 2]), np.eye(3, dtype=int)]
)
def test_labels_that_do_not_fit_the_model_are_refused(labels):
    with pytest.raises(cu.BadInput, match="label"):
        cu.classification(cu.models.Linear(classes=3), cu.Dataset(np.zeros((3, 2)), labels))


def test_scores_do_not_depend_on_microbatches():
    from certunl.training.scores import scored

    run = trained(network())
    whole = scored(run.problem.losses, "classification", run.params, run.problem.data)
    parts = scored(run.problem.losses, "classification", run.params, run.problem.data, 7)
    np.testing.assert_allclose(parts.losses, whole.losses, rtol=1e-12)
    np.testing.assert_array_equal(parts.correct, whole.correct)
    assert whole.losses.shape == (30,)


def test_a_dataset_indexes_like_its_arrays():
    data = classes(owners=np.arange(30) % 4)
    part = data[np.array([3, 1])]
    assert len(part) == 2 and part.y.tolist() == data.y[[3, 1]].tolist() and part.owners.tolist() == [3, 1]


def test_what_data_leave_unchecked_stays_with_them_is_on_the_certificate_and_compiles_nothing_anew():
    data = replace(classes(), unchecked=("features of unknown making",))
    assert data[:5].unchecked == jax.tree.map(jnp.asarray, data).unchecked == ("features of unknown making",)
    assert replace(data, unchecked="one word").unchecked == ("one word",)
    assert len(jax.tree.leaves(data)) == 2 and jax.tree.structure(data) != jax.tree.structure(classes())
    data.check()
    plain = cu.classification(cu.models.Linear(classes=3, dtype=jnp.float64), classes())
    run, same = (trained(replace(plain, data=jax.tree.map(jnp.asarray, d))) for d in (data, classes()))
    assert fingerprint(run) == fingerprint(same)
    prepared = cu.HessianFree().prepare(run)
    update = cu.HessianFree().forget(run, prepared, [3], KEY)
    small = replace(update, guarantee=replace(update.guarantee, says=cu.Distance(1e-9)))
    release = cu.certify(small, cu.Budget(epsilon=1.0, delta=1e-5, distance=1.0))
    assert release.certificate.verdict == "CONDITIONAL"
    assert "unchecked      features of unknown making" in str(release.certificate)
    with Stopwatch() as watch:
        again = trained(replace(plain, data=jax.tree.map(jnp.asarray, replace(data))))
    assert watch.compilations == 0 and again.problem.unchecked == run.problem.unchecked != same.problem.unchecked


def test_lists_become_arrays_and_unusable_owners_are_refused():
    data = cu.Dataset([[0.0, 1.0], [2.0, 3.0]], [0, 1], [4, 5])
    assert data.x.shape == (2, 2) and data[np.array([1])].owners.tolist() == [5]
    for owners in ([5, 5 + 2**32], [-1, 0], ["ann", "bob"], [0.5, 1.0]):
        with pytest.raises(cu.BadInput, match="owners of the data must"):
            cu.Dataset(np.zeros((2, 2)), np.zeros(2), np.array(owners)).check()
    with pytest.raises(cu.BadInput, match="no example"):
        cu.classification(cu.models.Linear(), cu.Dataset(np.zeros((0, 2)), np.zeros(0, int)))


@pytest.mark.parametrize(
    "model",
    [cu.models.MLP(hidden=h) for h in (3, ("a",))] + [cu.models.MLP(classes=2.5), cu.models.CNN()],
    ids=["hidden number", "hidden word", "classes fraction", "images wanted"],
)
def test_models_that_cannot_be_built_are_refused_in_a_sentence(model):
    with pytest.raises(cu.BadInput, match=r"cannot be built|labels"):
        cu.classification(model, classes())


@pytest.mark.parametrize("value", [1e-19, 1e19])
def test_norms_that_under_or_overflow_are_refused(value):
    for setting in ("radius", "clip_norm"):
        with pytest.raises(cu.BadInput, match=f"{setting} must lie between 1e-15 and 1e15"):
            cu.Recipe(**{setting: value})
    data = cu.Dataset(np.full((3, 2), max(value, 1e16)), np.zeros(3, np.int32))
    with pytest.raises(cu.BadInput, match="x of the data must lie within 1e15 of 0"):
        data.check()
