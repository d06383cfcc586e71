"""The registry: names and settings found, nested, or refused with the known ones."""

import sys

import pytest

import certunl as cu
from certunl.registry import build, imported, names, parse


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


def test_an_object_of_a_module_is_imported_by_its_name():
    assert imported("certunl.models.linear:Linear") is cu.models.Linear
    assert imported("certunl:Newton.prepare") is cu.Newton.prepare


def test_a_module_of_the_current_folder_is_imported_and_the_search_is_as_before(tmp_path, monkeypatch):
    (tmp_path / "lab_h1").mkdir()
    (tmp_path / "lab_h1/__init__.py").write_text("")
    (tmp_path / "lab_h1/sets.py").write_text("from lab_h1 import other\ndef f(): return other.A\n")
    (tmp_path / "lab_h1/other.py").write_text("A = 7\n")
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    assert imported("lab_h1.sets:f")() == 7
    assert sys.path == before


@pytest.mark.parametrize("text", ["", "mydata", "mydata:", ":load", "a..b:f", "a-b:f", "dir/x.py:f", "a:b:c", "a:b."])
def test_a_name_of_another_form_than_module_colon_object_is_refused(text):
    with pytest.raises(cu.BadInput, match=r"expected package\.module:object"):
        imported(text)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("def (:", r"failed: SyntaxError: invalid syntax"),
        ("1 / 0", r"failed: ZeroDivisionError: division by zero$"),
        ("import no_such_thing", "failed: ModuleNotFoundError: No module named 'no_such_thing'"),
        ("import sys\nsys.exit('bye')", "failed: SystemExit: bye$"),
        ("raise ValueError('two\\nlines')", "failed: ValueError: two lines$"),
        ("raise KeyError", "failed: KeyError: no message$"),
        ("a = 1\n_b = 2", "has no 'load'; it has a$"),
    ],
)
def test_a_module_that_cannot_serve_says_why_in_one_sentence(tmp_path, monkeypatch, body, sentence):
    name = f"own_{abs(hash((body, str(tmp_path))))}"
    (tmp_path / f"{name}.py").write_text(body)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(cu.BadInput, match=sentence):
        imported(f"{name}:load")


@pytest.mark.parametrize(
    ("text", "missing"), [("nothing_here:f", "nothing_here"), ("json.nothing:f", "json.nothing"), ("os.x.y:f", "os.x")]
)
def test_a_module_that_is_not_there_is_named_with_the_folder_that_was_searched(tmp_path, monkeypatch, text, missing):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(cu.BadInput, match=f"no module '{missing}' for '{text}', neither installed nor in {tmp_path}"):
        imported(text)
