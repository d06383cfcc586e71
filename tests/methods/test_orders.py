"""One derivative, several orders of evaluation and two forms: the same rows backward, queried, on disk, in chunks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.rows.origin import Origin
from certunl.training import workers
from certunl.training.mesh import Worker
from tests.cases import KEY, gap, network, ridge, trained, vector

RECIPES = {
    "sgd": {"decay": 0.9, "weight_decay": 0.05},
    "everything": {"optimizer": "adam", "learning_rate": 0.02, "clip_norm": 0.5, "radius": 2.5, "weight_decay": 0.1},
    "retained": {"denominator": "retained", "batches": "fixed"},
    "one step": {"epochs": 1, "batch_size": 30},
}


@pytest.mark.parametrize("name", RECIPES)
def test_rows_gathered_backward_are_those_gathered_forward(name, monkeypatch):
    run = trained(network(), **RECIPES[name])
    monkeypatch.setattr("certunl.rows.gathering._QUERY_BYTES", 8 * 20 * 150)  # several blocks of queries
    forward, backward = (cu.HessianFree(gather=g).prepare(run) for g in (cu.Forward(), cu.Backward()))
    assert gap(backward.rows, forward.rows) < 1e-10


def test_rows_of_some_owners_can_be_gathered_backward():
    run = trained(network(owners=np.arange(30) % 7 + 100))
    forward, backward = (cu.HessianFree(gather=g, units=(101, 105)).prepare(run) for g in (cu.Forward(), cu.Backward()))
    assert gap(backward.rows, forward.rows) < 1e-10


def test_a_query_is_the_product_with_every_row():
    for owners in (None, np.arange(30) % 7 + 100):
        run = trained(network(owners=owners), optimizer="momentum", weight_decay=0.1)
        query = jax.tree.map(lambda p: jax.random.normal(KEY, p.shape), run.params)
        rows = cu.HessianFree().prepare(run).rows
        expected = sum(
            jnp.einsum("...,m...->m", q, a) for q, a in zip(*map(jax.tree.leaves, (query, rows)), strict=True)
        )
        np.testing.assert_allclose(cu.attribute(run, query), expected, rtol=1e-9, atol=1e-12)


def test_loss_changes_predict_what_retraining_without_each_example_does():
    run = trained(network(), weight_decay=0.1)
    data = run.problem.data[np.arange(5)]

    def loss(params):
        return float(run.problem.losses(params, data).mean())

    predicted = np.asarray(cu.loss_changes(run, data))
    truth = [loss(cu.Retrain().forget(run, None, [u], KEY).params) - loss(run.params) for u in range(30)]
    assert np.corrcoef(predicted, truth)[0, 1] > 0.99
    np.testing.assert_allclose(predicted, truth, atol=0.2 * np.abs(truth).max())


def test_a_query_of_other_shapes_is_refused():
    run = trained(network())
    with pytest.raises(cu.BadInput, match="shapes of the parameters"):
        cu.attribute(run, {"w": jnp.zeros(3)})


def test_memory_of_a_query_grows_with_the_square_root_of_the_schedule():
    from certunl.training import sensitivity

    def temporary(epochs):
        run = trained(network(hidden=(60,)), epochs=epochs)
        queries = jax.tree.map(lambda p: p[None], run.params)
        compiled = sensitivity.adjoint.lower(run, jnp.arange(30), queries, 30).compile()
        return compiled.memory_analysis().temp_size_in_bytes / len(run.schedule)

    assert temporary(64) < 0.5 * temporary(4)


def test_own_curvature_left_out_is_exact_for_one_deletion_on_a_quadratic_at_any_number_of_epochs():
    run = trained(ridge(), epochs=4, weight_decay=0.1)
    exact, method = cu.HessianFree(form="retained"), cu.HessianFree()
    prepared = exact.prepare(run)
    for unit in (0, 5):
        truth = cu.Retrain().forget(run, None, [unit], KEY).params
        assert gap(exact.forget(run, prepared, [unit], KEY).params, truth) < 1e-12
        assert gap(method.forget(run, None, [unit], KEY).params, truth) > 1e-6


def test_the_retained_map_is_exact_for_a_known_request_on_a_quadratic_and_its_rows_are_not():
    run, ids = trained(ridge(), epochs=4, weight_decay=0.1), [1, 2, 3, 4]
    exact = cu.HessianFree(form="retained")
    truth = cu.Retrain().forget(run, None, ids, KEY).params
    assert gap(exact.forget(run, None, ids, KEY).params, truth) < 1e-12
    assert gap(exact.forget(run, exact.prepare(run), ids, KEY).params, truth) > 1e-6


def test_the_forms_agree_to_first_order_on_a_network():
    run = trained(network(), optimizer="momentum", learning_rate=0.03)
    first, retained = (cu.HessianFree(form=form).prepare(run) for form in ("first_order", "retained"))
    truth = [vector(cu.Retrain().forget(run, None, [u], KEY).params) - vector(run.params) for u in range(30)]
    errors = [
        sum(np.linalg.norm(vector(p.correction([u])) - t) for u, t in enumerate(truth)) for p in (first, retained)
    ]
    assert errors[1] < errors[0] < 0.5 * sum(np.linalg.norm(t) for t in truth)


def test_rows_on_disk_are_the_rows_and_a_store_of_another_form_or_run_is_refused(tmp_path):
    run, method = trained(network()), cu.HessianFree(gather=cu.Forward(4))
    store, rows = method.store(run, tmp_path / "s"), method.prepare(run)
    assert gap(store.correction([3, 17]), rows.correction([3, 17])) < 1e-12
    updates = [vector(method.forget(run, prepared, [3], KEY).params) for prepared in (store, rows)]
    np.testing.assert_allclose(*updates, rtol=1e-13)
    opened = method.open(run.minus([3], run.params), tmp_path / "s")
    assert gap(opened.correction([5]), rows.correction([5])) < 1e-12
    with pytest.raises(cu.BadInput, match="other form"):
        cu.HessianFree(form="retained").store(run, tmp_path / "s")
    other = trained(network(), seed=1)
    for ask in (method.open, method.store):
        with pytest.raises(cu.BadInput, match="another run"):
            ask(other, tmp_path / "s")
    with pytest.raises(cu.BadInput, match="another run"):
        method.forget(other, store, [3], KEY)


def test_statistics_know_their_run_by_its_schedule_too():
    run = trained(network())
    other, rows = cu.fit(run.problem, run.recipe, run.start, run.schedule.without([2])), cu.HessianFree().prepare(run)
    with pytest.raises(cu.BadInput, match="another run"):
        cu.HessianFree().forget(other, rows, [1], KEY)
    less = rows.without([2])
    assert rows != less and rows.origin is less.origin and rows.origin != Origin.of(other, "hessian_free, first_order")


def test_in_single_precision_the_chunk_changes_a_row_by_rounding_only():
    data = cu.Dataset(*(np.asarray(a, t) for a, t in zip((network().data.x, network().data.y), "fi", strict=True)))
    run = trained(cu.classification(cu.models.MLP(hidden=(6,), classes=3), data), epochs=10)
    whole = cu.HessianFree(gather=cu.Forward(30)).prepare(run)
    for chunk in (1, 4, 7):
        assert gap(cu.HessianFree(gather=cu.Forward(chunk)).prepare(run).rows, whole.rows) < 2e-6


def test_settings_that_exclude_each_other_are_refused(tmp_path):
    for settings in ({"form": "exact"}, {"gather": "sideways"}, {"form": "retained", "gather": cu.Backward()}):
        with pytest.raises(cu.BadInput):
            cu.HessianFree(**settings)
    with pytest.raises(cu.BadInput, match="forward"):
        cu.HessianFree(gather=cu.Backward()).store(trained(network()), tmp_path / "s")


def test_rows_of_another_recipe_loss_form_or_method_are_refused():
    run, method = trained(network()), cu.HessianFree()
    rows = method.prepare(run)
    others = (
        cu.fit(run.problem, cu.Recipe(optimizer="momentum"), run.start, run.schedule),
        cu.fit(network(l2=0.5), run.recipe, run.start, run.schedule),
    )
    for other in others:
        with pytest.raises(cu.BadInput, match="another run, method or form"):
            method.forget(other, rows, [3], KEY)
    for prepared in (
        cu.HessianFree(form="retained").prepare(run),
        cu.Jackknife(operator="ggn", damping=1.0).prepare(run),
    ):
        with pytest.raises(cu.BadInput, match="another run, method or form"):
            method.forget(run, prepared, [3], KEY)


def test_rows_are_gathered_on_several_devices_and_from_a_run_on_any(monkeypatch, tmp_path):
    run, first = trained(network()), cu.HessianFree(gather=cu.Forward(4))
    rows = first.prepare(run)
    both = jax.local_devices()[:2]
    for module in ("certunl.training.workers", "certunl.rows.gatherers", "certunl.rows.gathering"):
        monkeypatch.setattr(f"{module}.workers", lambda run: [Worker((device,)) for device in both])
    assert gap(first.prepare(run).rows, rows.rows) < 1e-12
    assert gap(first.store(run, tmp_path / "s").correction([3, 29]), rows.correction([3, 29])) < 1e-12
    moved = jax.device_put(run, both[1])
    assert gap(first.prepare(moved).rows, rows.rows) < 1e-12
    assert (
        gap(first.forget(moved, first.prepare(moved), [3], KEY).params, first.forget(run, rows, [3], KEY).params)
        < 1e-12
    )


def test_threads_keep_the_caller_s_settings(monkeypatch):
    seen = []

    def work(item, device):
        seen.append((jnp.ones(1).dtype, jax.config.jax_default_matmul_precision))

    with jax.enable_x64(False), jax.default_matmul_precision("bfloat16"):
        list(workers.spread(work, range(4), workers.workers(trained(ridge()))))
    assert seen == [(jnp.float32, "bfloat16")] * 4


def test_a_store_goes_on_after_a_deletion_and_never_writes_a_forgotten_unit(tmp_path):
    run, method = trained(network()), cu.HessianFree(gather=cu.Forward(2))
    store = method.store(run, tmp_path / "s")
    next((tmp_path / "s").glob("c/3/0")).unlink()
    state = run.minus([3, 13], run.params)
    store = method.store(state, tmp_path / "s")
    assert store.units.tolist() == [u for u in range(30) if u not in (3, 13)]
    assert cu.HessianFree(units=(3, 5)).prepare(state).units.tolist() == [5]
    with pytest.raises(cu.BadInput, match="already forgotten"):
        cu.HessianFree(units=(3,)).prepare(state)


def test_a_query_whose_derivative_leaves_the_numbers_is_reported():
    run = trained(ridge())
    wild = run.replace(schedule=run.schedule.replace(rates=jnp.full_like(run.schedule.rates, 1e200)))
    with pytest.raises(cu.Diverged, match="became NaN or infinite"):
        cu.attribute(wild, run.params)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_without_jit_rows_and_attributions_are_the_same(steps):
    run = trained(ridge(n=4 * steps), epochs=1, batch_size=4)
    query = {"w": np.arange(5.0)}
    compiled = cu.attribute(run, query), cu.HessianFree(gather=cu.rows.Backward()).prepare(run).rows["w"]
    with jax.disable_jit():
        plain = cu.attribute(run, query), cu.HessianFree(gather=cu.rows.Backward()).prepare(run).rows["w"]
    for a, b in zip(compiled, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
