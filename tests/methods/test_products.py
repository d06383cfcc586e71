"""Rows whose matrix products have operands of bfloat16: near the exact rows, and never mixed with them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

import certunl as cu
from certunl import registry
from certunl.folders import RunFolder
from certunl.training import products, sensitivity
from tests.cases import KEY, classes, gap, network, trained
from tests.verbs import SMALL, certunl

NARROW = cu.Forward(products="bfloat16")


@pytest.mark.parametrize("form", ["first_order", "retained", "reference"])
def test_a_row_is_off_by_thousandths_and_training_by_nothing(form):
    run, units = trained(network(), weight_decay=0.05), jnp.arange(5, dtype=jnp.int32)
    (exact, after), (narrow, same) = (
        sensitivity.block(run, jnp.arange(30), units, form=form, products=kind) for kind in (None, "bfloat16")
    )
    assert gap(same, after) == 0
    assert 1e-5 < gap(narrow, exact) < 1e-2
    assert {leaf.dtype for leaf in jax.tree.leaves(narrow)} == {jnp.dtype("float64")}


def product_types(program):
    """(type of the operands, type of the result, precision) of every product in `program`, also inside others."""
    found = []
    for equation in program.eqns:
        if equation.primitive.name == "dot_general":
            kinds = [str(v.aval.dtype) for v in (*equation.invars, *equation.outvars)]
            found.append((kinds[0], kinds[2], equation.params["precision"]))
        elif "jaxpr" in equation.params:
            found += product_types(getattr(equation.params["jaxpr"], "jaxpr", equation.params["jaxpr"]))
    return found


def test_elsewhere_than_on_a_cpu_products_of_a_row_are_of_bfloat16_and_those_of_training_are_not(monkeypatch):
    monkeypatch.setattr(products, "platform", lambda: "tpu")
    with jax.enable_x64(False):
        x, kernel = jnp.ones((8, 4)), jnp.ones((4, 4))

        def losses(kernel, a):
            inner = jax.checkpoint(lambda a: jnp.sin(x @ kernel) * (a @ kernel))
            _, out = jax.lax.scan(lambda s, _: (s @ kernel @ kernel.T, s @ kernel), a, length=2)
            return inner(a) + out[0]

        found = product_types(jax.make_jaxpr(products.rounded(lambda a: losses(kernel, a), "bfloat16"))(x).jaxpr)
    scan = 3 if jax.__version_info__ < (0, 11) else 0  # scans of JAX 0.12 stay as they are
    assert found.count(("bfloat16", "float32", None)) == 1 + scan, found  # one in the checkpoint
    # x @ kernel, which knows nothing of a
    assert [operands for operands, *_ in found].count("float32") == 1 + 3 - scan, found


def test_a_layer_that_is_computed_again_changes_no_row():
    rows = []
    for wrap in (lambda layer: layer, nn.remat):

        class Net(nn.Module):
            layer = wrap(nn.Dense)

            @nn.compact
            def __call__(self, x):
                settings = {"dtype": jnp.float64, "param_dtype": jnp.float64}
                return nn.Dense(3, **settings, name="b")(nn.softplus(type(self).layer(4, **settings, name="a")(x)))

        rows.append(cu.HessianFree(gather=NARROW).prepare(trained(cu.classification(Net(), classes()))).rows)
    assert gap(*rows) < 1e-3  # a sum in another order rounds another way


def test_rows_of_two_precisions_are_never_mixed(tmp_path):
    run = trained(network())
    exact, narrow = cu.HessianFree(), cu.HessianFree(gather=NARROW)
    with pytest.raises(cu.BadInput, match="another run, method or form"):
        exact.forget(run, narrow.prepare(run), [3], KEY)
    narrow.store(run, tmp_path / "rows")
    with pytest.raises(cu.BadInput, match="other form"):
        exact.open(run, tmp_path / "rows")
    stored = narrow.open(run, tmp_path / "rows")
    assert gap(stored.correction([3]), narrow.prepare(run).correction([3])) < 1e-12
    repaired, carried = narrow.repair(run, stored.without([3]), KEY, place=tmp_path / "repaired")
    assert carried.covers([4])
    with pytest.raises(cu.BadInput, match="other form"):
        exact.open(repaired, tmp_path / "repaired", carried=True)


def test_a_bound_counts_the_distance_from_the_exact_rows():
    problem = cu.classification(cu.models.Linear(classes=3, dtype=jnp.float64), classes())
    run = trained(problem, weight_decay=0.05)
    updates = []
    for gather in (cu.Forward(), NARROW):
        method = cu.HessianFree(gather=gather, assumed="linear")
        updates.append(method.forget(run, method.prepare(run), [1, 2], KEY))
    off = next(a.value for a in updates[1].guarantee.assumptions if a.symbol == "off")
    moved = np.linalg.norm(
        np.concatenate(
            [
                np.ravel(a)
                for a in jax.tree.leaves(jax.tree.map(lambda p, q: p - q, updates[0].params, updates[1].params))
            ]
        )
    )
    assert moved > 1e-7 and off == pytest.approx(moved, rel=1e-6)
    assert updates[1].bound == pytest.approx(updates[0].bound + moved, rel=1e-9)


def test_the_setting_has_words_and_other_types_are_refused():
    words = registry.parse(["gather.products=bfloat16"])
    assert registry.build("methods", "hessian_free", **words).gather == NARROW
    with pytest.raises(cu.BadInput, match="products"):
        cu.Forward(products="int8")


def test_parameters_of_16_bits_refuse_products_that_would_change_nothing(tmp_path):
    with jax.enable_x64(False):
        data = cu.Dataset(np.ones((8, 3), np.float32), np.arange(8) % 2)
        problem = cu.classification(cu.models.MLP(hidden=(4,), classes=2, dtype="bfloat16"), data)
        run = cu.train(problem, cu.Recipe(epochs=1, batch_size=4), KEY)
        method = cu.HessianFree(gather=NARROW)
        for work in (lambda: method.prepare(run), lambda: method.store(run, tmp_path / "rows")):
            with pytest.raises(cu.BadInput, match="changes nothing for parameters of 16 bits"):
                work()
    assert not (tmp_path / "rows").exists()


def test_the_command_line_keeps_rows_of_each_precision_apart(tmp_path):
    place = tmp_path / "run"
    certunl("train", place, *SMALL)
    certunl("prepare", place, "--set", "gather.products=bfloat16")
    certunl("prepare", place)
    folders = sorted(path.name for path in (place / "prepared").iterdir() if path.is_dir())
    assert folders == ["hessian_free_first_order", "hessian_free_first_order_products_in_bfloat16"]
    certunl("forget", place, "--request", "ids:3", "--set", "gather.products=bfloat16")
    rows = [RunFolder(place).rows("hessian_free", cu.HessianFree(gather=g)) for g in (cu.Forward(), NARROW)]
    assert not any(np.isin(3, store.units) for store in rows)
