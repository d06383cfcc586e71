"""A model in parts on eight devices has the numbers of one device, and no device holds all of its parameters."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

import certunl as cu
from certunl.training.placing import by_size, in_parts
from tests.cases import KEY, gap, network, ridge, trained

TWO = jax.devices()[:2]


def rule(path, leaf):
    """Every layer of `network` but the last in two parts along its outputs."""
    return PartitionSpec(*[None] * (leaf.ndim - 1), "devices") if "Dense_0" in path else PartitionSpec()


def test_the_largest_axis_that_divides_is_in_parts():
    def of(*shape):
        return by_size("", jax.ShapeDtypeStruct(shape, jnp.float32), 8)

    assert of(784, 256) == PartitionSpec("devices")
    assert of(30, 4096) == of(30, 64) == PartitionSpec(None, "devices")
    assert of(512, 512) == PartitionSpec("devices")  # the first of equals
    assert of(8, 8) == of(2001, 3) == of() == PartitionSpec()


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_a_training_in_parts_ends_in_parts_at_the_same_numbers(optimizer):
    one = trained(network(), optimizer=optimizer, weight_decay=0.1, radius=2.0)
    with cu.use_mesh(TWO, parameters=rule):
        two = trained(network(), optimizer=optimizer, weight_decay=0.1, radius=2.0)
        told = cu.train(two.problem, two.recipe, jax.random.key(0), progress=lambda done, total: None)
    assert gap(two.params, one.params) < 1e-12 and gap(told.params, one.params) < 1e-12
    for params in (two.start, two.params, told.params):
        assert params["Dense_0"]["kernel"].sharding.shard_shape((4, 6)) == (4, 3)
        assert params["Dense_1"]["kernel"].sharding.is_fully_replicated


@pytest.mark.parametrize("inside", [True, False])
def test_each_way_of_forgetting_keeps_the_parts(inside, tmp_path):
    run = trained(network(), weight_decay=0.1)
    with cu.use_mesh(TWO, parameters=rule):
        parts = run if inside else cu.fit(run.problem, run.recipe, run.start, run.schedule)
    newton = cu.Newton(damping=1.0, solver=cu.CG(tol=1e-12))
    ways = {
        "vector": lambda run: cu.HessianFree().forget(run, None, [1, 2], KEY).params,
        "retained": lambda run: cu.HessianFree(form="retained").forget(run, None, [1, 2], KEY).params,
        "rows": lambda run: cu.HessianFree(gather=cu.Forward(7)).prepare(run).rows,
        "correction": lambda run: cu.HessianFree().prepare(run).correction([3, 29]),
        "retraining": lambda run: cu.Retrain().forget(run, None, [1, 2], KEY).params,
        "newton": lambda run: newton.forget(run, None, [1, 2], KEY).params,
        "lissa": lambda run: (
            cu.Newton(damping=1.0, solver=cu.LiSSA(depth=20, repeats=3)).forget(run, None, [1, 2], KEY).params
        ),
        "store": lambda run: cu.HessianFree().store(run, tmp_path / str(in_parts(run.start))).correction([3, 29]),
    }
    for name, way in ways.items():
        if inside and name == "store":
            continue  # one folder
        alone = way(run)
        if inside:
            with cu.use_mesh(TWO, parameters=rule):
                there = way(parts)
        else:
            there = way(parts)
        assert gap(there, alone) < 1e-10, name
        assert name == "store" or in_parts(there), name


def test_parts_stay_parts_inside_a_mesh_of_copies_and_beside_rows_of_whole_parameters():
    run = trained(network(), weight_decay=0.1)
    with cu.use_mesh(TWO, parameters=rule):
        parts = cu.fit(run.problem, run.recipe, run.start, run.schedule)
    method = cu.HessianFree()
    alone = method.forget(run, None, [1, 2], KEY).params
    with cu.use_mesh(TWO):
        for prepared in (None, method.prepare(parts)):
            there = method.forget(parts, prepared, [1, 2], KEY).params
            assert gap(there, alone) < 1e-10 and in_parts(there)
        moved = run.minus([5], cu.Newton(damping=1.0).forget(run, None, [5], KEY).params)
    with cu.use_mesh(TWO, parameters=rule):
        rows = method.prepare(moved)
        updates = [method.forget(moved, prepared, [1, 2], KEY).params for prepared in (None, rows)]
    assert gap(*updates) < 1e-10 and gap(updates[0], moved.params) > 1e-6


def test_data_that_were_put_on_one_device_are_copied_beside_the_parts():
    problem = network()
    data = jax.tree.map(lambda leaf: jax.device_put(leaf, TWO[0]), problem.data)
    one = trained(problem)
    with cu.use_mesh(TWO, parameters=rule):
        two = trained(problem.replace(data=data))
    assert gap(one.params, two.params) < 1e-12 and in_parts(two.params)


def test_a_release_is_judged_and_saved_from_parts(tmp_path):
    with cu.use_mesh(TWO, parameters=rule):
        run = trained(network(), weight_decay=0.1)
    update = cu.HessianFree().forget(run, None, [1, 2], KEY)
    release = cu.certify(update, cu.Budget(epsilon=1.0, delta=1e-5, sigma=0.1), cu.secret_key())
    report = cu.evaluate(run, [1, 2], release, test=run.problem.data, reference=cu.Retrain())
    assert "retrain" in str(report)
    cu.save(run, tmp_path / "run")
    assert gap(cu.load(tmp_path / "run").params, run.params) == 0


@pytest.mark.parametrize("explicit", [True, False])
def test_data_and_start_on_a_mesh_of_the_users_stay_there(explicit):
    run = trained(network(), weight_decay=0.1)
    kind = jax.sharding.AxisType.Explicit if explicit else jax.sharding.AxisType.Auto
    mesh = jax.make_mesh((2,), ("model",), axis_types=(kind,), devices=TWO)
    start = jax.tree.map(lambda leaf: jax.device_put(leaf, NamedSharding(mesh, PartitionSpec())), run.start)
    kernel = NamedSharding(mesh, PartitionSpec(None, "model"))
    start["Dense_0"]["kernel"] = jax.device_put(run.start["Dense_0"]["kernel"], kernel)
    rows = jax.device_put(run.problem.data, NamedSharding(mesh, PartitionSpec("model")))
    schedule = jax.device_put(run.schedule, NamedSharding(mesh, PartitionSpec()))
    for data, slots in ((run.problem.data, run.schedule), (rows, schedule)):
        theirs = cu.fit(run.problem.replace(data=data), run.recipe, start, slots)
        assert gap(theirs.params, run.params) < 1e-12
        assert theirs.params["Dense_0"]["kernel"].sharding.shard_shape((4, 6)) == (4, 3)
        for method in (cu.HessianFree(), cu.Newton(damping=1.0)):
            mine = method.forget(run, None, [1, 2], KEY).params
            assert gap(method.forget(theirs, None, [1, 2], KEY).params, mine) < 1e-10
        statistics = cu.HessianFree().prepare(theirs)
        assert gap(statistics.rows, cu.HessianFree().prepare(run).rows) < 1e-12


@pytest.mark.parametrize("method", [cu.HessianFree(), cu.Newton(damping=1.0), cu.CertifiedRemoval(), cu.Retrain()])
def test_data_on_a_mesh_and_a_start_that_nobody_placed_agree_with_one_device(method):
    data = cu.Dataset(jax.random.normal(KEY, (40, 3)), jnp.arange(40) % 2)
    recipe = cu.Recipe(learning_rate=0.5, weight_decay=0.1, epochs=20, batch_size=40)
    place = NamedSharding(jax.make_mesh((2,), ("examples",), devices=TWO), PartitionSpec("examples"))
    updates = []
    for x in (data.x, jax.device_put(data.x, place)):
        run = cu.train(cu.classification(cu.models.Linear(classes=2, bound=1.0), data.replace(x=x)), recipe, KEY)
        assert not in_parts(run.params)
        updates.append(method.forget(run, None, [1, 2], KEY).params)
    assert gap(*updates) < 1e-6


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ("split", 'must be "sharded" or a rule'),
        (lambda path, leaf: PartitionSpec("model"), "whose only name is"),
        (lambda path, leaf: PartitionSpec("devices") if leaf.shape == (3,) else PartitionSpec(), "of shape \\[3\\]"),
        (lambda path, leaf: "devices", "give a PartitionSpec"),
    ],
)
def test_a_rule_that_does_not_fit_is_refused(parameters, sentence):
    with pytest.raises(cu.BadInput, match=sentence), cu.use_mesh(TWO, parameters=parameters):
        trained(network())


def test_parts_of_parameters_and_inputs_on_the_host_exclude_each_other():
    data = trained(ridge()).problem.data
    problem = ridge().replace(data=cu.Dataset(cu.OnHost(np.asarray(data.x)), data.y))
    with cu.use_mesh(TWO, parameters="sharded"), pytest.raises(cu.BadInput, match="reach one device"):
        trained(problem)


EIGHT = """
import re
import jax
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
import certunl as cu
from certunl.training import sensitivity
from certunl.training.loop import follow
from tests.cases import KEY, gap, network, trained

def facts(program):
    memory = program.memory_analysis()
    size = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
    return size, [line for line in program.as_text().splitlines() if " while(" in line]

owners, units = jnp.arange(30, dtype=jnp.int32), jnp.arange(8, dtype=jnp.int32)
runs, sizes = [], []
for count in (1, 2, 8):
    with cu.use_mesh(jax.devices()[:count], parameters="sharded"):
        run = trained(network(hidden=(128, 128)), optimizer="momentum", weight_decay=0.1)
    training = facts(follow.lower(run.problem, run.recipe, run.start, run.schedule).compile())
    rows = facts(sensitivity.block.lower(run, owners, units).compile())
    sizes.append((training[0], rows[0]))
    if count == 1:
        assert "f64[128,128]" in training[1][0] and "f64[8,128,128]" in rows[1][0]
    if count == 8:
        assert training[1] and rows[1]
        for line in training[1] + rows[1]:  # what a loop carries from step to step
            assert "128,128]" not in line and ("16,128]" in line or "128,16]" in line), line
    runs.append(run)
print("sizes", sizes)
print("training", gap(runs[2].params, runs[0].params) < 1e-10)
print("memory", all(8 / 3 * eight < one and 1.5 * two < one for one, two, eight in zip(*sizes)))
one, eight = (cu.HessianFree().prepare(run) for run in (runs[0], runs[2]))
print("rows", gap(eight.rows, one.rows) < 1e-10)
"""


def test_no_device_of_eight_holds_all_parameters_or_a_whole_row():
    done = subprocess.run([sys.executable, "-c", EIGHT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if "sizes" not in line] == [
        "training True",
        "memory True",
        "rows True",
    ], done.stdout
