"""Batches and queries that are spread over devices: the numbers of one device, and no needless exchange."""

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import certunl as cu
from certunl.training import sensitivity
from certunl.training.batches import by_batches
from certunl.training.ensemble import _together
from certunl.training.mesh import Worker
from tests.cases import KEY, gap, network, ridge, trained
from tests.spread import COLLECTIVE, TWO, collectives, spread_over


@pytest.mark.parametrize(
    ("form", "recipe"),
    [
        ("first_order", {"batch_size": 7, "batches": "fixed", "denominator": "retained"}),  # 2 does not divide 7
        ("retained", {"batches": "poisson"}),
        ("reference", {"optimizer": "momentum", "clip_norm": 0.5, "radius": 2.0}),
        ("first_order", {"optimizer": optax.adam(1.0, eps_root=1e-16), "batch_size": 9}),
    ],
)
def test_one_vector_over_two_devices_is_that_of_one(form, recipe):
    run = trained(network(), **recipe)
    gone = ~run.retained(np.array([1, 2]))
    one, two = spread_over(TWO, lambda: sensitivity.vector(run, gone, form))
    assert gap(one, two) < 1e-12
    assert {leaf.device for leaf in jax.tree.leaves(two)} == {TWO[0]}


def test_attributions_and_rows_gathered_backward_are_the_same_over_two_devices():
    run = trained(network(owners=np.arange(30) // 4), batch_size=7)
    assert gap(*spread_over(TWO, lambda: cu.rows.loss_changes(run, run.problem.data))) < 1e-12
    backward = cu.HessianFree(gather=cu.Backward())  # of 51 parameters, which 2 does not divide
    assert len(jax.flatten_util.ravel_pytree(run.params)[0]) == 51
    assert gap(*spread_over(TWO, lambda: backward.prepare(run).rows)) < 1e-12


def test_losses_of_whole_batches_meet_no_slots_that_fill_up():
    def losses(params, batch):
        return (batch.x @ params["w"] - jnp.mean(batch.x) - batch.y) ** 2

    for size in (6, 7):
        run = trained(ridge().replace(losses=losses), batch_size=size, batches="fixed", epochs=1)
        request = ~run.retained(np.array([1, 2]))
        assert gap(*spread_over(TWO, lambda run=run, gone=request: sensitivity.vector(run, gone))) < 1e-12


def test_dropout_of_a_spread_batch_is_that_of_one_device():
    def losses(params, batch):
        kept = jax.vmap(lambda key: jax.random.bernoulli(key, 0.5, (5,)))(batch.keys)
        return (jnp.sum(batch.x * kept * params["w"], axis=1) - batch.y) ** 2

    problem = ridge().replace(losses=lambda p, b: losses(p, b) if b.keys is not None else b.y, randomness=3)
    run = trained(problem, batch_size=7, learning_rate=0.01)
    gone = ~run.retained(np.array([1, 2]))
    assert gap(*spread_over(TWO, lambda: sensitivity.vector(run, gone))) < 1e-12


def test_a_line_of_requests_goes_on_after_a_step_on_two_devices():
    run, method = trained(network(), weight_decay=0.1), cu.Newton(damping=1.0)

    def both():
        after = run.minus([1, 2], method.forget(run, None, [1, 2], KEY).params)
        return method.forget(after, None, [3], KEY).params

    assert gap(*spread_over(TWO, both)) < 1e-12


def test_statistics_and_models_need_no_collective():
    run = trained(network())
    worker = Worker(tuple(TWO))
    whole, owners = worker.copied((run, jnp.arange(30)), "units")
    units = worker.split(jnp.arange(8), "units")
    models = worker.copied(run, "models")
    present = worker.split(jnp.ones((4, 30), bool), "models")
    programs = [
        sensitivity.block.lower(whole, owners, units).compile(),
        _together.lower(models, present, None, None, apart=False).compile(),
        _together.lower(models, present, None, None, apart=True).compile(),
    ]
    for program in programs:
        assert collectives(program.as_text()) == []
        assert all(len(leaf.device_set) == 2 for leaf in jax.tree.leaves(program.output_shardings))
    rows = worker.split(jnp.ones((8, 3)), "units")
    joined = jax.jit(lambda rows: (rows.sum(0), rows[0] * rows[5])).lower(rows).compile()
    assert collectives(joined.as_text())  # what the search would find
    assert COLLECTIVE.search("  %r = (f32[3]{0}, f32[5]{0}) all-reduce(%a, %b), channel_id=1")


def meetings(work, run, *inputs):
    """The collectives of `work` by `by_batches` over two devices."""
    texts = []

    def compiled(run, *inputs):
        texts.append(work.lower(run, *inputs).compile().as_text())
        return run.params

    with cu.use_mesh(TWO):
        by_batches(compiled, run, *inputs)
    return collectives(texts[0])


def test_a_spread_batch_meets_once_in_a_step_for_gradient_and_tangent_together():
    run = trained(network(), batch_size=7, optimizer="momentum", clip_norm=0.5)
    gone = ~run.retained(np.array([1, 2]))
    ((name, place),) = meetings(sensitivity.one_row, run, gone)
    assert name == "all-reduce" and place.count("while/body") == 1
    query = jax.tree.map(lambda leaf: leaf[None], run.params)
    adjoint = jax.jit(lambda *inputs: sensitivity.adjoint(*inputs, 30))
    found = meetings(adjoint, run, jnp.arange(30), query)
    assert {name for name, _ in found} == {"all-reduce"}
    loops = [place.split("/checkpoint")[0] for _, place in found if "while/body" in place]
    assert len(loops) == len(found) - 1 <= 4  # forward, twice again, backward; and the units at the end


def test_spread_queries_need_no_collective():
    run, worker = trained(network()), Worker(tuple(TWO))
    whole, numbers = worker.copied((run, jnp.arange(30)), "queries")
    queries = worker.split(jax.tree.map(lambda p: jnp.stack([p] * 4), run.params), "queries")
    program = sensitivity.adjoint.lower(whole, numbers, queries, 30).compile()
    assert collectives(program.as_text()) == []
    assert all(len(leaf.device_set) == 2 for leaf in jax.tree.leaves(program.output_shardings))
