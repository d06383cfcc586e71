"""Work that is spread over devices has the numbers of one device, and meets no oftener than it must."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.methods._newton_program import Settings, spread_steps
from certunl.training import sensitivity
from certunl.training.mesh import Worker, in_force, manual_axis
from certunl.training.workers import workers
from tests.cases import KEY, gap, network, ridge, trained
from tests.spread import TWO, collectives, spread_over


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
