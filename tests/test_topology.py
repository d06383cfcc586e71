"""Programs compiled for TPUs that are not here: what they need, where chips meet, and what the plan says of it."""

import importlib.util
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.planning import topology
from certunl.planning.topology import Forecast, Program, forecast
from certunl.training import sensitivity
from certunl.training.placing import shapes
from tests.cases import ridge, trained
from tests.spread import collectives
from tests.verbs import SMALL, certunl, refused

needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="compiling for TPUs needs libtpu: pip install 'certunl[aot]'"
)


@pytest.fixture(scope="module")
def images():
    """A run of a small convolutional network in float32, for eight chips."""
    with jax.enable_x64(False):
        data = cu.datasets.load("digits", train=64).train
        data = cu.Dataset(data.x.reshape(-1, 8, 8, 1), data.y)
        problem = cu.classification(cu.models.CNN(classes=10, channels=(4,), hidden=8), data)
        yield cu.train(problem, cu.Recipe(epochs=1, batch_size=16), jax.random.key(0))


@needs_libtpu
def test_eight_chips_meet_only_where_they_must(images):
    costs = forecast(images, "v5e:2x4")
    assert costs.chips == 8 and 2**33 < costs.hbm < 2**34
    meetings = {name: program.collectives for name, program in costs.programs.items()}
    # the gradient, the products of the solver and the residual, each of which may be laid out twice
    assert meetings["training"] == meetings["rows"] == 0 and 2 <= meetings["newton"] <= 4
    assert all(0 < program.memory < costs.hbm for program in costs.programs.values())
    assert costs.largest > costs.units == 8
    assert "everything fits" in str(costs) and "8 chips" in str(costs)


@needs_libtpu
def test_a_batch_spread_over_eight_chips_meets_once_in_a_step(images):
    worker = topology.Worker(topology._chips("v5e:2x4")[0].devices)
    slots = jax.sharding.NamedSharding(worker.mesh("batch"), jax.sharding.PartitionSpec(None, "batch"))
    with jax.enable_x64(False), jax.set_mesh(worker.mesh("batch")):
        run, gone = worker.shapes((images, images.present), "batch")
        parts = [
            jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=slots)
            for leaf in (run.schedule.indices, run.schedule.weights)
        ]
        run = run.replace(schedule=run.schedule.replace(indices=parts[0], weights=parts[1]))
        text = sensitivity.one_row.lower(run, gone).compile().as_text()
    ((name, place),) = collectives(text)
    assert name == "all-reduce" and place.count("while/body") == 1


@needs_libtpu
def test_the_memory_of_a_chip_falls_as_units_are_spread_over_more(images):
    with jax.enable_x64(False):
        one, eight = (topology.Worker(topology._chips("v5e:2x4")[0].devices[:count]) for count in (1, 8))
        sizes = [topology._rows(images, worker, 8192 // len(worker)).memory for worker in (one, eight)]
    assert sizes[1] < 0.5 * sizes[0]


@needs_libtpu
def test_a_convolution_is_lowered_for_the_chip_and_not_for_the_machine_that_compiles(images):
    worker = topology.Worker(topology._chips("v5e:2x4")[0].devices[:1])
    with jax.enable_x64(False):
        text = {}
        for axis in ("batch", None):
            program = jax.jit(lambda run: run.problem.outputs(run.params, run.problem.data.x))
            if axis is None:
                text[axis] = program.lower(images).as_text()
            else:
                with jax.set_mesh(worker.mesh(axis)):
                    text[axis] = program.lower(worker.shapes(images, axis)).as_text()
    assert "convolution" in text["batch"] and "convolution" not in text[None]


@needs_libtpu
def test_parameters_in_parts_leave_each_chip_a_part():
    worker = topology._chips("v5e:2x4")[0]
    with jax.enable_x64(False):
        data = cu.Dataset(np.zeros((64, 256), np.float32), np.arange(64) % 8)
        problem = cu.classification(cu.models.MLP(hidden=(1024, 512), classes=8), data)
        recipe = cu.Recipe(learning_rate=0.05, epochs=1, batch_size=16, optimizer="momentum")
        run = cu.train(problem, recipe, jax.random.key(0))
        copies, parts = (shapes(run, topology.Worker(worker.devices, rule), "devices") for rule in (None, "sharded"))
        ids = worker.shapes((jnp.arange(64, dtype=jnp.int32), jnp.arange(2, dtype=jnp.int32)), "devices")
        sizes = []
        with jax.set_mesh(worker.mesh("devices")):
            for one in (copies, parts):
                program = sensitivity.block.lower(one, *ids).compile()
                memory = program.memory_analysis()
                sizes.append((memory.argument_size_in_bytes, memory.output_size_in_bytes))
                loops = [line for line in program.as_text().splitlines() if " while(" in line]
                # the parameters, momentum and the rows of two units
                whole = {shape for line in loops for shape in re.findall(r"f32\[(?:2,)?(?:256,1024|1024,512)\]", line)}
                assert loops and bool(whole) == (one is copies), whole
    # arguments hold the data too, and the outputs are the rows and the parameters
    assert sizes[1][0] < 0.3 * sizes[0][0] and sizes[1][1] < 0.15 * sizes[0][1], sizes


@needs_libtpu
def test_a_forecast_in_parts_needs_less_of_each_chip_and_holds_more_units():
    with jax.enable_x64(False):
        data = cu.Dataset(np.zeros((64, 256), np.float32), np.arange(64) % 8)
        problem = cu.classification(cu.models.MLP(hidden=(1024,), classes=8), data)
        run = cu.train(problem, cu.Recipe(epochs=1, batch_size=16), jax.random.key(0))
        copies, parts = (forecast(run, "v5e:2x2", parameters=rule) for rule in (None, "sharded"))
    # rows of 16 units on each of four chips, or of 64 units of which each chip has a quarter
    assert copies.units == 16 and parts.units == 64
    assert parts.programs["training"].memory < 0.6 * copies.programs["training"].memory
    assert parts.programs["newton"].memory < copies.programs["newton"].memory
    assert parts.largest > 2 * copies.largest
    assert parts.programs["training"].flops is None and "in parts" in str(parts)


@needs_libtpu
def test_a_topology_that_is_none_is_refused(images):
    with pytest.raises(cu.BadInput, match="no topology 'v5e:3000x7'"):
        forecast(images, "v5e:3000x7")


@needs_libtpu
def test_the_command_line_says_what_a_topology_holds(tmp_path, capsys):
    with jax.enable_x64(False):
        certunl("train", tmp_path / "run", *SMALL)
        capsys.readouterr()
        certunl("plan", tmp_path / "run", "--topology", "v5e:2x2")
    assert "v5e:2x2: 4 chips" in capsys.readouterr().out


def test_without_libtpu_the_sentence_says_what_to_install(tmp_path, capsys, monkeypatch):
    certunl("train", tmp_path / "run", *SMALL)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install 'certunl[aot]'" in refused(capsys, "plan", tmp_path / "run", "--topology", "v5e:2x4")


def test_parts_on_no_chips_are_refused(tmp_path, capsys):
    assert "needs --topology" in refused(capsys, "plan", tmp_path, "--parameters", "sharded")


def test_inputs_on_the_host_have_no_forecast(monkeypatch):
    data = trained(ridge()).problem.data
    run = trained(ridge().replace(data=cu.Dataset(cu.OnHost(jax.device_get(data.x)), data.y)))
    monkeypatch.setattr(topology, "_chips", lambda name: (topology.Worker(tuple(jax.devices())), 2**34))
    with pytest.raises(cu.BadInput, match="reach one device"):
        forecast(run, "v5e:2x4")


def test_a_program_that_does_not_fit_is_named():
    programs = {
        "training": Program(gives="the model", memory=2**20, flops=1e12, seconds=1.0, collectives=0),
        "rows": Program(gives="the rows of 9 units", memory=2**40, flops=None, seconds=math.nan, collectives=0),
    }
    costs = Forecast(topology="v5e:2x2", chips=4, hbm=2**34, programs=programs, units=9, estimated=2**30, largest=1)
    assert "does not fit: rows" in str(costs) and "16.00 GiB" in str(costs)


def test_the_words_of_the_compiler_are_read():
    text = "Ran out of memory on HBM, the total memory required (2.00T) exceeds available HBM (15.75G). HLO module: f."
    assert topology._used(text) == (2 * 2**40, int(15.75 * 2**30))
    assert topology._used("something else") is None
