"""Every file of every room keeps its room's contract: a new file is tested by being there."""

import dataclasses
import importlib
import pkgutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl import registry
from certunl.timing import Stopwatch
from tests.cases import KEY, classes, gap, network, trained, vector

ALL = [(room, name) for room in registry.ROOMS for name in registry.names(room)]
BY_HAND = {"equinox", "frozen", "nnx"}  # they take the user's own module


@pytest.mark.parametrize(("room", "name"), ALL)
def test_a_file_lists_its_one_public_thing_first_and_documents_it(room, name):
    module = importlib.import_module(f"certunl.{room}.{name}")
    thing = registry.find(room, name)
    assert getattr(module, module.__all__[0]) is thing
    assert thing.__doc__ and module.__doc__


BOUNDS = [m.name for m in pkgutil.walk_packages(cu.bounds.__path__, "certunl.bounds.") if not m.ispkg]


@pytest.mark.parametrize("name", BOUNDS)
def test_a_bound_lists_what_it_gives_and_documents_it(name):
    module = importlib.import_module(name)
    assert module.__doc__ and module.__all__
    assert all(getattr(module, given).__doc__ for given in module.__all__ if callable(getattr(module, given)))


DEFINITE = {"damping": 1.0, "operator": "ggn"}  # the network's Hessian is not
SOLVING = ("newton", "newton_step", "jackknife")
CONVEX = ("certified_removal", "perturbed_removal")  # these refuse a network
METHODS = {name: DEFINITE if name in SOLVING else {} for name in registry.names("methods")}
METHODS["noisy_retrain"] = {"rewind_to": 0}  # without it, nothing changes


@pytest.fixture(scope="module")
def run():
    return trained(network(), weight_decay=0.01)


@pytest.fixture(scope="module")
def convex():
    return trained(cu.classification(cu.models.Linear(classes=3, dtype=jnp.float64), classes()), weight_decay=0.01)


@pytest.fixture(scope="module")
def noisy():
    return trained(network(), clip_each=1.0, noise=1.0)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_keeps_the_contract(name, run, convex, noisy):
    run = convex if name in CONVEX else noisy if name == "noisy_retrain" else run
    method = registry.build("methods", name, **METHODS[name])
    with pytest.raises(dataclasses.FrozenInstanceError):
        method.anything = 1
    assert hash(method) == hash(registry.build("methods", name, **METHODS[name]))
    prepared = method.prepare(run)
    before = vector(run.params).copy()
    first = method.forget(run, prepared, [3, 8, 21], KEY)
    assert (vector(run.params) == before).all()
    assert (vector(method.forget(run, prepared, [21, 3, 8, 3], KEY).params) == vector(first.params)).all()
    chex.assert_trees_all_equal_shapes_and_dtypes(run.params, first.params)
    assert first.method == name and first.guarantee.reference and first.cost["seconds"] > 0
    with Stopwatch() as watch:
        other = method.forget(run, prepared, [4, 9, 22], KEY)
    assert watch.compilations == 0
    assert (vector(other.params) != vector(first.params)).any()
    for wrong in ([], [99], list(range(30))):
        with pytest.raises(cu.BadInput):
            method.forget(run, prepared, wrong, KEY)


@pytest.mark.parametrize("name", ["hessian_free", "newton", "retrain"])  # the others are heuristics
def test_a_method_comes_closer_to_retraining_than_doing_nothing(name, run):
    truth = cu.Retrain().forget(run, None, [3], KEY).params
    method = registry.build("methods", name, **METHODS[name])
    update = method.forget(run, method.prepare(run), [3], KEY)
    assert gap(update.params, truth) < gap(run.params, truth)


@pytest.mark.parametrize("name", registry.names("solvers"))
def test_a_solver_is_frozen_hashable_and_solves_the_identity(name):
    solver = registry.build("solvers", name, **({"scale": 1.0} if name == "lissa" else {}))
    assert hash(solver) == hash(dataclasses.replace(solver))
    b = {"w": jnp.arange(4.0)}
    solution = solver(lambda v, key: v, b, KEY)
    solver.verify(solution)
    np.testing.assert_allclose(solution.x["w"], b["w"], rtol=1e-12)


@pytest.mark.parametrize("name", registry.names("attacks"))
def test_an_attack_is_frozen_and_hashable_and_says_what_it_needs(name):
    attack = registry.build("attacks", name)
    assert attack.needs in ("model", "shadows", "unlearned") and hash(attack) == hash(dataclasses.replace(attack))
    with pytest.raises(dataclasses.FrozenInstanceError):
        attack.anything = 1


SHAPES = {"cnn": (28, 28, 1), "lenet5": (28, 28, 1), "allcnn": (8, 8, 3), "resnet18": (8, 8, 3)}
SMALL = {"allcnn": {"width": 32}, "resnet18": {"width": 32}}


@pytest.mark.parametrize("name", [n for n in registry.names("models") if n not in BY_HAND])
def test_a_model_has_outputs_a_finite_gradient_a_symmetric_hessian_and_a_dtype(name):
    from certunl.training.curvature import hvp

    model = registry.build("models", name, classes=3, dtype=jnp.float64, **SMALL.get(name, {}))
    x = np.random.default_rng(0).normal(size=(4, *SHAPES.get(name, (5,))))
    problem = cu.classification(model, cu.Dataset(x, np.array([0, 1, 2, 1])))
    init = jax.jit(problem.init)
    params = init(KEY)
    assert jax.eval_shape(problem.losses.predict, params, problem.data.x).shape == (4, 3)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float64")}
    weights = jnp.full(4, 0.25)
    assert np.isfinite(vector(jax.jit(jax.grad(problem.risk))(params, problem.data, weights))).all()
    u, v = (init(jax.random.key(s)) for s in (1, 2))
    product = jax.jit(lambda v: hvp(problem, params, v, problem.data, weights))
    np.testing.assert_allclose(vector(u) @ vector(product(v)), vector(v) @ vector(product(u)), rtol=1e-9, atol=1e-12)


def test_every_metric_gives_named_numbers(run):
    report = cu.evaluate(run, [1, 2, 3], cu.HessianFree().forget(run, None, [1, 2, 3], KEY))
    assert all(isinstance(value, float) for row in report.rows.values() for value in row.values())
    assert len(report.columns()) >= len(registry.names("metrics"))
