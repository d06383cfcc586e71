"""The registry: names and settings found, nested, or refused with the known ones."""

import pytest

import certunl as cu
from certunl.registry import build, names, parse


def test_building_by_name_is_building_by_class():
    assert build("methods", "newton", damping=0.2) == cu.Newton(damping=0.2)
    assert build("methods", "newton", solver="dense") == cu.Newton(solver=cu.Dense())
    assert build("methods", "newton", **parse(["solver=lissa", "solver.depth=7"])) == cu.Newton(
        solver=cu.LiSSA(depth=7)
    )
    assert build("methods", "newton", **parse(["solver.tol=1e-3"])) == cu.Newton(solver=cu.CG(tol=1e-3))


def test_the_old_name_of_the_registry_warns():
    with pytest.warns(DeprecationWarning, match="certunl.registry"):
        assert cu.rooms is cu.registry
    with pytest.raises(AttributeError, match="kitchens"):
        cu.kitchens  # noqa: B018


def test_words_become_python_values():
    assert parse(["a=1", "b=2.5", "c=None", "d=(1, 2)", "e=relu", "f=True", "g=1e-3"]) == {
        "a": 1, "b": 2.5, "c": None, "d": (1, 2), "e": "relu", "f": True, "g": 1e-3,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: names("kitchens"), "rooms are attacks, datasets, methods"),
        (
            lambda: build("methods", "newtom"),
            "known are certified_removal, descent_to_delete, finetune, fisher, hessian_free, influence, jackknife",
        ),
        (lambda: build("methods", "newton", dampening=1), "no setting 'dampening'; it has damping"),
        (lambda: build("methods", "newton", solver="qr"), "known are cg, dense, lissa"),
        (lambda: build("methods", "newton", solver={"": "cg", "depth": 3}), "solvers/cg has no setting 'depth'"),
        (lambda: build("models", "mlp", hidden=(3,), name=lambda: 0), "no setting 'name'"),
        (lambda: parse(["epochs"]), "name=value"),
        (lambda: parse(["=3"]), "name=value"),
    ],
)
def test_what_is_unknown_is_refused_with_what_is_known(call, sentence):
    with pytest.raises(cu.BadInput, match=sentence):
        call()
