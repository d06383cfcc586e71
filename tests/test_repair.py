"""Rows age with what is forgotten: how fast is measured, a stream warns, and repairing carries them on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.rows import statistics
from tests.cases import KEY, gap, network, ridge, trained, vector

ASK = jax.random.split(jax.random.key(3))[0]


def distance(a, b):
    return np.linalg.norm(vector(a) - vector(b))


def test_rows_carried_on_through_a_repair_are_the_derivative_of_the_longer_training():
    run, method = trained(network(), weight_decay=0.05), cu.HessianFree(gather=cu.Forward(8))
    repaired, rows = method.repair(run, method.prepare(run), KEY, epochs=2)  # before anyone was forgotten
    assert len(repaired.schedule) == len(run.schedule) + 2 * 4
    assert gap(cu.Retrain().forget(repaired, None, [3], KEY).params, run.params) > 1e-3
    whole = cu.fit(run.problem, run.recipe, run.start, repaired.schedule)
    assert gap(whole.params, repaired.params) < 1e-12
    assert gap(rows.rows, method.prepare(whole).rows) < 1e-10


def test_forgetting_repairing_and_forgetting_again_stays_close_to_retraining():
    run, method = trained(network(), weight_decay=0.2, epochs=8), cu.HessianFree()
    first, second = list(range(10)), [20, 24]
    state = run.minus(first, method.forget(run, method.prepare(run), first, KEY).params)
    repaired, rows = method.repair(state, method.prepare(run).without(first), KEY, epochs=8)
    assert rows.units.tolist() == list(range(10, 30))
    truth = cu.Retrain().forget(run, None, first, KEY).params
    followed = cu.Retrain().forget(repaired, None, [29], KEY)  # replays old and new schedule without the ten
    assert distance(followed.params, repaired.params) < distance(truth, run.params)
    update = method.forget(repaired, rows, second, KEY)
    truth = cu.Retrain().forget(repaired, None, second, KEY).params
    assert distance(update.params, truth) < 0.5 * distance(repaired.params, truth)
    with pytest.raises(cu.BadInput, match="already forgotten"):
        method.forget(repaired, rows, [3], KEY)


def test_on_a_convex_problem_a_repair_shrinks_the_error_of_what_was_forgotten():
    run, method = trained(ridge(), weight_decay=0.5, epochs=3), cu.HessianFree()
    ids = list(range(8))
    state = run.minus(ids, method.forget(run, None, ids, KEY).params)
    repaired, _ = method.repair(state, method.prepare(run).without(ids), KEY, epochs=10)
    before = distance(state.params, cu.Retrain().forget(run, None, ids, KEY).params)
    follow = cu.fit(run.problem, run.recipe, run.start, repaired.schedule.without(ids))
    assert distance(repaired.params, follow.params) < 0.1 * before


def test_a_store_is_repaired_into_another(tmp_path):
    run, method = trained(network()), cu.HessianFree(gather=cu.Forward(4))
    store = method.store(run, tmp_path / "a").without([2])
    state = run.minus([2], run.params)
    with pytest.raises(cu.BadInput, match="give its place"):
        method.repair(state, store, KEY)
    repaired, new = method.repair(state, store, KEY, place=tmp_path / "b")
    same, rows = method.repair(state, method.prepare(run).without([2]), KEY)
    assert gap(new.correction([5, 9]), rows.correction([5, 9])) < 1e-12
    assert gap(repaired.params, same.params) < 1e-15
    opened = method.open(repaired, tmp_path / "b", carried=True)
    assert gap(opened.correction([7]), rows.correction([7])) < 1e-12
    with pytest.raises(cu.BadInput, match="other form"):
        method.store(repaired, tmp_path / "b")  # rows of training with everyone are not those that were carried on


def test_the_error_of_a_smooth_network_is_second_order_and_the_budget_foretells_it():
    run, method = trained(network(n=60), weight_decay=0.1), cu.HessianFree()
    prepared = method.prepare(run)
    small, large = (cu.measure_staleness(run, method, prepared, KEY, size=s, samples=6) for s in (3, 12))
    assert 0.25 < small.coefficient / large.coefficient < 4
    assert large.share(large.budget) == pytest.approx(large.tolerance)
    quadratic = trained(ridge(), epochs=1)
    exact = cu.measure_staleness(quadratic, method, method.prepare(quadratic), KEY, size=1)
    assert exact.coefficient < 1e-9 and exact.budget > 1e8


def test_a_stream_warns_when_its_rows_are_stale_until_it_is_measured_again(caplog):
    run, method = trained(network(), weight_decay=0.1), cu.HessianFree()
    prepared = method.prepare(run)
    staleness = cu.measure_staleness(run, method, prepared, KEY, size=3, tolerance=0.3)
    first = np.linalg.norm(vector(prepared.correction([4])))
    tolerance = 1.5 * staleness.coefficient * first
    staleness = cu.Staleness(coefficient=staleness.coefficient, tolerance=tolerance, samples=3, size=3)
    stream = cu.Stream(run=run, method=method, prepared=prepared, staleness=staleness)
    assert stream.moved == 0 and not stream.stale
    budget = cu.Budget(sigma=0.1, delta=1e-5)
    release, stream = stream.forget([4], budget, KEY)
    assert not stream.stale and not caplog.records
    assert stream.moved == pytest.approx(first)
    release, stream = stream.forget(list(range(10, 22)), budget, KEY)
    assert stream.stale and "measure it again" in caplog.text
    assert stream.moved == pytest.approx(distance(stream.run.params, run.params))  # of both requests together
    assert set(stream.prepared.units.tolist()) == set(range(30)) - {4, *range(10, 22)}
    assert release.certificate.verdict == "NOT CERTIFIED"
    repaired = stream.repair(KEY, epochs=1)
    assert repaired.stale and repaired.moved == pytest.approx(stream.moved)  # a repair does not make rows fresh
    carried = method.repair(stream.run, stream.prepared, KEY, epochs=1)[1]
    assert gap(repaired.prepared.correction([25]), carried.correction([25])) < 1e-12
    assert gap(repaired.prepared.correction([25]), stream.prepared.correction([25])) > 1e-3
    again = repaired.measured(KEY, size=2)
    assert again.moved == 0 and again.staleness.coefficient > 0
    _, last = again.forget([25], budget, KEY)
    assert last.moved == pytest.approx(distance(last.run.params, repaired.run.params))
    with pytest.raises(cu.BadInput, match="no prepared rows to repair"):
        cu.Stream(run=run, method=cu.Retrain()).repair(KEY)


def test_the_largest_of_the_samples_counts_and_none_to_measure_is_said(monkeypatch):
    run, method = trained(network(), weight_decay=0.1), cu.HessianFree()
    prepared = method.prepare(run)
    three = cu.measure_staleness(run, method, prepared, KEY, size=3, samples=3).coefficient
    alone = []
    for key in jax.random.split(KEY, 3):
        monkeypatch.setattr(jax.random, "split", lambda *_, key=key: key[None])
        alone.append(cu.measure_staleness(run, method, prepared, KEY, size=3, samples=1).coefficient)
    monkeypatch.undo()
    assert three == pytest.approx(max(alone)) and len(set(alone)) == 3
    few = cu.fit(
        run.problem, run.recipe, run.start, cu.Schedule(np.zeros((3, 1), np.int32), np.ones((3, 1)), np.ones(3))
    )
    with pytest.raises(cu.BadInput, match="every sampled request had a row of 0"):
        cu.measure_staleness(few, method, method.prepare(few), jax.random.key(1), size=1, samples=1)
    with pytest.raises(cu.BadInput, match="another run"):
        cu.measure_staleness(run, method, method.prepare(few), KEY, size=1)


def test_a_stream_forgets_a_part_of_an_owner_without_rows_and_drops_the_owner_s():
    run, method = trained(network(owners=np.arange(30) // 3)), cu.HessianFree()
    stream = cu.Stream(run=run, method=method, prepared=method.prepare(run))
    _, stream = stream.forget([0], cu.Budget(sigma=0.1, delta=1e-5), KEY)
    assert stream.prepared.units.tolist() == list(range(1, 10))
    assert method.prepare(stream.run).units.tolist() == list(range(1, 10))
    _, stream = stream.forget([1, 2], cu.Budget(sigma=0.1, delta=1e-5), KEY)
    expected = method.forget(run, None, [0, 1, 2], KEY).params
    assert gap(stream.run.params, expected) < 1e-12
    assert cu.measure_staleness(stream.run, method, stream.prepared, KEY, size=20).coefficient > 0


def test_rows_that_were_dropped_are_zero_and_many_sizes_of_request_run_few_programs():
    run, method = trained(network()), cu.HessianFree()
    prepared = method.prepare(run)
    rest = prepared.without([3, 7])
    assert not np.concatenate([np.ravel(leaf[jnp.array([3, 7])]) for leaf in jax.tree.leaves(rest.rows)]).any()
    for ids in ([8], [0, 9, 29], list(range(10, 27))):
        assert gap(rest.correction(ids), prepared.correction(ids)) < 1e-12
    before = statistics._sum_rows._cache_size()
    for count in (17, 18, 25, 28):
        rest.correction(np.setdiff1d(np.arange(30), [3, 7])[:count])
    assert statistics._sum_rows._cache_size() == before
