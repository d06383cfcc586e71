"""A plan counts what each order costs, picks the cheaper way to all rows, and says when retraining is cheaper."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.planning.costs import Order, Plan
from tests.cases import classes, gap, network, trained


@pytest.fixture(scope="module")
def found():
    return cu.plan(trained(network(), epochs=5))


def test_sizes_and_operations_are_those_of_the_problem(found):
    run = trained(network(), epochs=5)
    d = 4 * 6 + 6 + 6 * 3 + 3
    orders = found.orders
    assert set(orders) == {"forward", "backward", "vector", "query", "retraining"}
    assert orders["forward"].kept == orders["backward"].kept == 30 * d * 8
    assert orders["vector"].kept == 0 and all(order.seconds > 0 for order in orders.values())
    twice = cu.plan(trained(network(), epochs=10)).orders
    for name in orders:
        assert twice[name].flops == pytest.approx(2 * orders[name].flops, rel=1e-6)
    some = cu.plan(run, units=(1, 2, 3)).orders["forward"]
    each = (orders["forward"].flops - some.flops) / 27
    assert some.flops == pytest.approx(orders["retraining"].flops + 3 * each, rel=0.05)
    products = 2 * 8 * 20 * (2 * 4 * 6 + 6 * 6 * 3)  # a tangent's matrix products in a step of 8 examples, 20 steps
    assert 0.8 * products < each < 5 * products


def test_operations_of_softmax_regression_are_its_two_products():
    model = cu.models.Linear(classes=3, bias=False, dtype=jnp.float64)
    run = trained(cu.classification(model, classes(d=400)))
    orders = cu.plan(run).orders
    rows = 30 * 12 * 8 * 4 * 1200  # units, steps, batch, two products of 2 operations
    assert rows < orders["forward"].flops < 1.3 * rows


def test_the_cheaper_order_is_picked_and_retraining_is_named_where_it_is(found):
    def made(**seconds):
        orders = {name: replace(order, seconds=seconds[name]) for name, order in found.orders.items()}
        return replace(found, orders=orders)

    costs = {"forward": 4.0, "backward": 2.0, "vector": 0.3, "query": 0.1, "retraining": 0.2}
    plan = made(**costs)
    assert plan.method == cu.HessianFree(gather=cu.Backward()) and plan.break_even == pytest.approx(10)
    assert "one known request: retraining, which is exact" in str(plan) and "cost 10 retrainings" in str(plan)
    plan = made(**costs | {"forward": 1.0, "vector": 0.1})
    assert plan.method.gather == cu.Forward(found.chunk)
    assert "one known request: its vector" in str(plan)


def test_seconds_are_those_of_a_step_times_steps_rounds_and_passes(monkeypatch):
    run = trained(network(), epochs=5)
    monkeypatch.setattr("certunl.planning.costs._timed", lambda *_: [1.0, 2.0, 3.0, 4.0, 5.0])
    monkeypatch.setattr("certunl.planning.costs.chunk_size", lambda *_: 4)
    monkeypatch.setattr("certunl.planning.costs.workers", lambda run: [None, None])
    orders = cu.plan(run).orders
    assert len(run.schedule) == 20
    expected = {"forward": 3 * 4, "backward": 5 * 51 / 16, "vector": 2, "query": 4, "retraining": 1}  # 30 units by 8
    assert {name: order.seconds for name, order in orders.items()} == pytest.approx(
        {n: 20 * s for n, s in expected.items()}
    )
    assert cu.plan(run, units=(1, 2)).method.units == (1, 2)


def test_the_method_a_plan_picks_gathers_the_same_rows(found):
    run = trained(network(), epochs=5)
    assert gap(found.method.prepare(run).rows, cu.HessianFree().prepare(run).rows) < 1e-10


def test_a_plan_of_unknown_units_is_refused():
    with pytest.raises(cu.BadInput, match="no unit 30"):
        cu.plan(trained(network()), units=(30,))


def test_a_plan_prints_a_line_for_each_order(found):
    assert isinstance(found, Plan) and all(isinstance(order, Order) for order in found.orders.values())
    assert len(str(found).splitlines()) == 1 + len(found.orders) + 3
    assert np.all([name in str(found) for name in found.orders])
