"""What a method can do is declared; a setting that would have no effect is refused."""

from dataclasses import dataclass, replace

import jax
import numpy as np
import pytest

import certunl as cu
from certunl import registry
from certunl.certificates.update import declared
from certunl.methods._continued import Continued
from tests.cases import KEY, claimed, gap, network, ridge, trained

METHODS = {name: registry.find("methods", name) for name in registry.names("methods")}
STEPS = cu.HessianFreeConstants(gradient_bound=1.0, smoothness=1.0, hessian_lipschitz=1.0, convexity=0.0)
SHORT = cu.LiSSA(depth=10, repeats=2)


def able(ability):
    return {name for name, method in METHODS.items() if getattr(method, ability)}


def test_every_method_names_the_contract_as_its_base_and_declares_what_it_can():
    assert all(issubclass(method, cu.Unlearner) for method in METHODS.values())
    assert able("own_noise") == {"noisy_finetuning", "noisy_retrain", "noisy_sgd", "model_clipping"}
    assert able("keeps_rows") == {"hessian_free", "jackknife"} and able("stores_rows") == {"hessian_free"}
    assert able("serves_once") == {"perturbed_removal"} and able("spreads") == {"newton", "newton_step"}


@dataclass(frozen=True)
class Duck:
    """It names no base."""

    def prepare(self, run, *, progress=None):
        return "ready"

    def forget(self, run, prepared, request, key):
        assert prepared in (None, "ready")
        return claimed(run.params, method="duck")


def test_a_method_without_a_base_is_taken_with_the_defaults():
    run, method = trained(ridge()), declared(Duck())
    assert method.prepare(run) == "ready" and not (method.own_noise or method.keeps_rows or method.serves_once)
    stream = cu.Stream(run=run, method=Duck(), prepared="ready")
    release, after = stream.forget([3], cu.Budget(epsilon=1.0, delta=1e-5), KEY, cu.secret_key())
    assert release.update.method == "duck" and after.prepared == "ready"
    with pytest.raises(cu.BadInput, match="only a method with rows"):
        after.repair(KEY)
    assert "duck" in cu.evaluate(run, [3], release, methods=None).rows


@dataclass(frozen=True)
class Wrapped:
    """Rows in a method that names no base."""

    method: object = cu.HessianFree()
    own_noise = True

    def prepare(self, run, *, progress=None):
        return self.method.prepare(run)

    def forget(self, run, prepared, request, key):
        return self.method.forget(run, prepared, request, key)


def test_rows_of_the_forgotten_are_dropped_whoever_keeps_them():
    run, method = trained(network()), Wrapped()
    stream = cu.Stream(run=run, method=method, prepared=method.prepare(run))
    _, after = stream.forget([3], cu.Budget(sigma=0.1, delta=1e-5), KEY, cu.secret_key())
    assert 3 not in after.prepared.units and declared(method).own_noise


def test_a_method_that_says_nothing_of_forgetting_is_named():
    class Idle(cu.Unlearner):
        pass

    assert Idle().prepare(None) is None
    with pytest.raises(NotImplementedError, match="Idle does not define forget"):
        Idle().forget(None, None, [0], KEY)


def test_a_solver_that_says_nothing_of_solving_is_named():
    class Idle(cu.solvers.Solver):
        pass

    assert (Idle().batch_size, Idle.axis) == (0, "batch")
    with pytest.raises(NotImplementedError, match="Idle does not say how it solves"):
        Idle()(None, None, KEY)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: cu.HessianFree(gather=cu.Backward(), form="retained"), "can be gathered backward"),
        (lambda: cu.HessianFree(gather=cu.Backward(), chunk=7), "order and chunk are gather="),
        (lambda: cu.HessianFree(order="backward", chunk=7), "order and chunk are gather="),
        (lambda: cu.HessianFree(capacity=3), "give assumed as well"),
        (lambda: cu.Newton(inverse="printed", solver=cu.CG(), assumed="linear"), "states the error of LiSSA"),
        (lambda: cu.Newton(inverse="printed", solver=SHORT), "states the error of LiSSA"),
        (lambda: cu.Newton(inverse="printed", solver=SHORT, assumed="residual"), "does not use inverse="),
        (lambda: cu.Newton(fallback="cg"), 'fallback="cg" is the solver itself'),
        (lambda: cu.Newton(fallback="dense", solver=cu.Dense()), 'fallback="dense" is the solver itself'),
        (lambda: cu.NewtonStep(solver=cu.CG(), max_dimension=9), "leave it out if you give solver"),
        (lambda: cu.Budget(delta=1e-5, sigma=1.0, epsilon=0.5, calibration="classical"), "sigma fixes the noise"),
        (lambda: cu.DescentToDelete(start="ball"), "give assumed as well"),
    ],
)
def test_a_setting_without_effect_is_refused(build, sentence):
    with pytest.raises(cu.BadInput, match=sentence):
        build()


def test_the_same_settings_with_an_effect_are_taken():
    cu.HessianFree(capacity=3, assumed=STEPS)
    cu.Newton(inverse="printed", solver=SHORT, assumed="linear")
    cu.Newton(fallback="dense")
    cu.NewtonStep(max_dimension=9)
    cu.DescentToDelete(start="gradient", assumed="linear")


def test_rows_of_a_backward_method_are_not_carried_on(monkeypatch):
    run, method = trained(network()), cu.HessianFree(gather=cu.Backward())
    monkeypatch.setattr("certunl.rows.repair.continued", None)  # nothing is trained before
    with pytest.raises(cu.BadInput, match=r"repair them with gather=Forward\(\)"):
        method.repair(run, method.prepare(run), KEY)


@pytest.mark.parametrize(
    ("old", "new"),
    [({"chunk": 7}, cu.Forward(7)), ({"order": "backward"}, cu.Backward()), ({"order": "forward"}, cu.Forward())],
)
def test_order_and_chunk_of_the_first_version_answer_with_a_warning(old, new):
    with pytest.warns(DeprecationWarning, match="gather="):
        method = cu.HessianFree(**old)
    assert method == cu.HessianFree(gather=new) == replace(method) and hash(method) == hash(replace(method))


@pytest.mark.parametrize(
    ("words", "gather"),
    [
        (["gather=backward"], cu.Backward()),
        (["gather=forward", "gather.chunk=7"], cu.Forward(7)),
        (["gather.chunk=7"], cu.Forward(7)),
        ([], cu.Forward()),
    ],
)
def test_a_gatherer_may_be_named_in_words(words, gather):
    assert registry.build("methods", "hessian_free", **registry.parse(words)).gather == gather


@pytest.mark.parametrize("words", [["gather=sideways"], ["gather=sideways", "gather.chunk=7"], ["gather.size=7"]])
def test_a_wrong_gatherer_is_refused(words):
    with pytest.raises(cu.BadInput, match=r"gather|size"):
        registry.build("methods", "hessian_free", **registry.parse(words))


def test_rows_in_memory_and_on_disk_keep_one_contract(tmp_path):
    run, method = trained(network()), cu.HessianFree()
    for rows in (method.prepare(run), method.store(run, tmp_path / "s")):
        assert rows.on_disk == isinstance(rows, cu.Store) and rows.dtype == "float64"
        assert rows.covers([3]) and not rows.drop([3]).covers([3]) and len(rows.owners) == 30
        assert gap(rows.correction([4, 9]), jax.tree.map(lambda a: np.sum(a, 0), rows.read([4, 9]))) < 1e-12


def test_a_method_that_trains_on_must_define_its_lesson():
    class Idle(Continued):
        """It says nothing of its loop."""

    with pytest.raises(NotImplementedError, match="Idle does not define lesson"):
        Idle().forget(trained(ridge(), epochs=1), None, [1], KEY)
