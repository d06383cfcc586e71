"""Work that is spread over devices has the numbers of one device, and meets no oftener than it must."""

import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import certunl as cu
from certunl.methods._newton_program import Settings, spread_steps
from certunl.training import sensitivity
from certunl.training.batches import by_batches
from certunl.training.ensemble import _together
from certunl.training.mesh import Worker, in_force, manual_axis
from certunl.training.workers import workers
from tests.cases import KEY, gap, network, ridge, trained

TWO = jax.devices()[:2]
COLLECTIVE = re.compile(r" (all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute)(-start)?\(")


def spread_over(devices, work):
    """(the result of `work` on one device, that on `devices`)."""
    alone = work()
    with cu.use_mesh(devices):
        return alone, work()


def collectives(text):
    """(name, place in the Python program) of each collective operation of a compiled program."""
    found = [COLLECTIVE.search(line) for line in text.splitlines()]
    places = [re.search(r'op_name="([^"]*)"', match.string) for match in found if match]
    return [(match[1], place[1]) for match, place in zip(filter(None, found), places, strict=True)]


@pytest.mark.parametrize("form", ["first_order", "retained"])
def test_rows_over_two_devices_are_those_of_one(form, tmp_path):
    run = trained(network())
    method = cu.HessianFree(form=form, gather=cu.Forward(7))  # 7 units do not divide by 2, nor 30 by 7
    one, two = spread_over(TWO, lambda: method.prepare(run))
    assert gap(one.rows, two.rows) < 1e-12
    assert {leaf.device for leaf in jax.tree.leaves(two.rows)} == {TWO[0]}
    with cu.use_mesh(TWO):
        store = method.store(run, tmp_path / "rows")
    assert gap(store.correction([3, 29]), one.correction([3, 29])) < 1e-12


def test_models_over_two_devices_are_those_of_one():
    run = trained(network())
    one, two = spread_over(TWO, lambda: cu.retrainings(run, [[i, i + 1] for i in range(5)]))
    assert gap(one, two) < 1e-12
    keys = jax.random.split(KEY, 3)
    starts, schedules = cu.seeds(run, keys)
    present = np.ones((3, len(run.present)), bool)
    one, two = spread_over(TWO, lambda: cu.ensemble(run, present, starts=starts, schedules=schedules, chunk=2))
    assert gap(one, two) < 1e-12


@pytest.mark.parametrize(
    ("solver", "damping", "examples"),
    [
        (cu.CG(tol=1e-12), 1.0, 30),  # a device has its own examples
        (cu.CG(tol=1e-12), 1.0, 29),
        (cu.CG(tol=1e-12), None, 30),
        (cu.LiSSA(depth=20, repeats=3), 1.0, 30),
        (cu.LiSSA(depth=20, repeats=3, chains="map"), None, 29),
        (cu.Dense(), 1.0, 29),
    ],
)
def test_a_newton_step_over_two_devices_is_that_of_one(solver, damping, examples):
    run = trained(network(n=examples), weight_decay=0.1)
    method = cu.Newton(solver=solver, damping=damping)
    one, two = spread_over(TWO, lambda: method.forget(run, None, [1, 2], KEY))
    assert gap(one.params, two.params) < 1e-10
    assert two.cost["residual"] == pytest.approx(one.cost["residual"], rel=1e-6, abs=1e-9)


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


@pytest.mark.parametrize(("examples", "own"), [(30, True), (29, False)])
def test_conjugate_gradients_meet_once_in_a_product_and_chains_only_at_their_end(examples, own):
    run = trained(network(n=examples), weight_decay=0.1)
    worker, retained = Worker(tuple(TWO)), run.retained(np.array([1, 2]))

    def inside_the_solver(solver, own):
        data = run.problem.data
        data = worker.split(data, solver.axis) if own else worker.copied(data, solver.axis)
        inputs = worker.copied((run.replace(problem=run.problem.replace(data=None)), retained, KEY, 1.0), solver.axis)
        settings = Settings(solver, "difference", "hessian", 1)
        program = spread_steps.lower(data, *inputs, settings, worker.mesh(solver.axis), own).compile()
        loops = [(name, place.count("while/body")) for name, place in collectives(program.as_text())]
        assert loops
        return [name for name, depth in loops if depth > 1]  # the outer loop is that of the steps

    assert inside_the_solver(cu.CG(), own) == ["all-reduce"]
    assert inside_the_solver(cu.LiSSA(depth=5, repeats=4), False) == []


def test_the_memory_of_a_device_falls_as_units_are_spread():
    run = trained(network())
    sizes = []
    for devices in (TWO[:1], TWO):
        worker = Worker(tuple(devices))
        whole, owners = worker.copied((run, jnp.arange(30)), "units")
        units = worker.split(jnp.arange(256) % 30, "units")
        memory = sensitivity.block.lower(whole, owners, units).compile().memory_analysis()
        sizes.append(memory.temp_size_in_bytes + memory.output_size_in_bytes)
    assert sizes[1] < 0.7 * sizes[0]


def test_one_setting_chooses_the_workers_and_ends_with_its_block():
    run = trained(network())
    outside = workers(run)
    with cu.use_mesh(TWO) as mesh:
        assert workers(run) == [Worker(tuple(TWO))] and mesh.size == 2
        with cu.use_mesh(mesh):
            assert in_force() == Worker(tuple(TWO))
    assert in_force() is None and workers(run) == outside and manual_axis() == ("", 1)


def test_accelerators_share_blocks_but_inputs_on_the_host_reach_the_first(monkeypatch):
    run = trained(network())
    data = run.problem.data
    hosted = run.replace(problem=run.problem.replace(data=cu.Dataset(cu.OnHost(np.asarray(data.x)), data.y)))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert workers(run) == [Worker(tuple(TWO))] and workers(hosted) == [Worker((TWO[0],))]


def test_a_step_of_a_run_on_a_mesh_stays_there():
    place = jax.sharding.NamedSharding(Worker(tuple(TWO)).mesh("batch"), jax.sharding.PartitionSpec())
    run = jax.device_put(trained(network(), weight_decay=0.1), place)
    with cu.use_mesh(TWO):
        update = cu.Newton(damping=1.0).forget(run, None, [1, 2], KEY)
    after = run.minus([1, 2], update.params)
    assert gap(cu.Newton(damping=1.0).forget(after, None, [3], KEY).params, run.params) > 0


@pytest.mark.parametrize(
    ("devices", "sentence"),
    [
        ([], "got \\[\\]"),
        (["cpu"], "got \\['cpu'\\]"),
        (4, "got 4"),
        (TWO[0], "got CpuDevice"),
        ([TWO[0], TWO[0]], "different devices of one platform"),
    ],
)
def test_a_mesh_of_no_devices_is_refused(devices, sentence):
    with pytest.raises(cu.BadInput, match=sentence), cu.use_mesh(devices):
        pass


def test_inputs_on_the_host_are_refused_on_a_mesh():
    data = trained(ridge()).problem.data
    x = cu.OnHost(np.asarray(data.x))
    run = trained(ridge().replace(data=cu.Dataset(x, data.y)))
    for work in (
        lambda: cu.HessianFree().prepare(run),
        lambda: cu.retrainings(run, [[1], [2]]),
        lambda: cu.Newton(damping=1.0).forget(run, None, [1], KEY),
    ):
        with cu.use_mesh(TWO), pytest.raises(cu.BadInput, match="reach one device"):
            work()


EIGHT = """
import jax
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_enable_x64", True)
import certunl as cu
from tests.cases import KEY, gap, network, trained

run = trained(network(), weight_decay=0.1)
lissa = cu.LiSSA(depth=20, repeats=10)
works = {
    "rows": lambda: cu.HessianFree().prepare(run).rows,
    "models": lambda: cu.retrainings(run, [[i] for i in range(11)]),
    "cg": lambda: cu.Newton(damping=1.0, solver=cu.CG(tol=1e-12)).forget(run, None, [1, 2], KEY).params,
    "lissa": lambda: cu.Newton(damping=1.0, solver=lissa).forget(run, None, [1, 2], KEY).params,
    "backward": lambda: cu.HessianFree(gather=cu.Backward()).prepare(run).rows,
    "attribution": lambda: cu.attribute(run, run.params),
}
for form in ("first_order", "retained", "reference"):
    works[form] = lambda form=form: cu.HessianFree(form=form).forget(run, None, [1, 2], KEY).params

for name, work in works.items():
    alone = work()
    with cu.use_mesh() as mesh:
        assert mesh.size == 8
        print(name, gap(alone, work()) < 1e-10)
"""


def test_eight_devices_have_the_numbers_of_one():
    done = subprocess.run([sys.executable, "-c", EIGHT], capture_output=True, text=True, check=True)
    names = ["rows", "models", "cg", "lissa", "backward", "attribution", "first_order", "retained", "reference"]
    assert done.stdout.split("\n")[:-1] == [f"{name} True" for name in names]
