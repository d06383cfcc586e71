"""Retrainings, shadow models, evaluations and comparisons that were killed train no model twice."""

import json
import re
from typing import ClassVar

import jax
import numpy as np
import pytest

import certunl as cu
from certunl.folders import RunFolder
from tests.cases import KEY
from tests.test_resuming import WORDS, Killed, problem
from tests.verbs import certunl


class Cut(cu.Checkpoints):
    """Keeps every state, and ends the work when the given number of them are kept."""

    left: ClassVar = [1000]

    def save(self, steps, arrays):
        self._last = -1e9
        super().save(steps, arrays)
        self.left[0] -= 1
        if not self.left[0]:
            raise Killed


def cut(place, after):
    Cut.left[0] = after
    return Cut(place)


def test_a_killed_retraining_goes_on_and_ends_with_the_same_bits(tmp_path):
    run = cu.train(problem(), cu.Recipe(epochs=4, batch_size=30, learning_rate=0.1, radius=5.0), KEY)
    for name, settings in {
        "replayed": {},
        "afresh": {"afresh": cu.Recipe(epochs=3, batch_size=30, learning_rate=0.1)},
    }.items():
        place, ids = tmp_path / name, [3, 14]
        whole = cu.Retrain(**settings).forget(run, None, ids, KEY)
        for after in (3, 2):
            with pytest.raises(Killed):
                cu.Retrain(checkpoints=cut(place, after), **settings).forget(run, None, ids, KEY)
        again = cut(place, 1000)
        update = cu.Retrain(checkpoints=again, **settings).forget(run, None, ids, KEY)
        jax.tree.map(np.testing.assert_array_equal, whole.params, update.params)
        assert 0 < again.spent < update.cost["seconds"]  # what earlier calls took is counted


def test_killed_ensembles_train_no_model_twice(tmp_path):
    run = cu.train(problem(), cu.Recipe(epochs=2, batch_size=30, learning_rate=0.1), KEY)
    requests = [[i] for i in range(8)]
    whole = cu.retrainings(run, requests, chunk=2)
    present = np.stack([np.asarray(run.retained(run.check(ids))) for ids in requests])
    with pytest.raises(Killed):
        cu.ensemble(run, present, chunk=2, checkpoints=cut(tmp_path / "states", 2))
    counted = []
    again = cu.ensemble(
        run, present, chunk=2, checkpoints=cut(tmp_path / "states", 1000), progress=lambda *at: counted.append(at)
    )
    assert counted == [(6, 8), (8, 8)]
    jax.tree.map(np.testing.assert_array_equal, whole, again)
    with pytest.raises(cu.BadInput, match="other settings or data"):
        cu.ensemble(run, ~present, chunk=2, checkpoints=cut(tmp_path / "states", 1000))


def test_a_killed_evaluation_keeps_its_shadow_models_and_a_killed_comparison_its_seeds(tmp_path, capsys, monkeypatch):
    place = tmp_path / "run"
    certunl("train", place, "--dataset", "wine", "--model", "linear", "--set", "epochs=3", "radius=5")
    certunl("forget", place, "--request", "ids:1,2,3,4,5,6", "--trivial")
    monkeypatch.setattr("certunl.cli._again.Checkpoints", Cut)
    verbs = {
        "evaluate": ("--attacks", "lira", "ulira", "--shadows", "8"),
        "compare": ("--requests", "ids:1,2,3,4,5,6", "--methods", "newton", "--shadows", "8", "--models", "10"),
    }
    for verb, words in verbs.items():
        name = {"evaluate": "evaluation", "compare": "comparison"}[verb]
        Cut.left[0] = 10**6
        certunl(verb, place, *words)
        kept = 10**6 - Cut.left[0]
        whole = json.loads((place / f"{name}.json").read_text())
        Cut.left[0] = kept  # the last state of all
        with pytest.raises(Killed):
            certunl(verb, place, *words)
        [working] = [path for path in place.iterdir() if path.name in ("evaluating", "comparing")]
        assert working.stat().st_mode & 0o777 == 0o700
        certunl("ledger", place, "--residue")
        assert re.search(rf"left: .*\b{working.name}\b.*: numbers of un-noised models", capsys.readouterr().out)
        Cut.left[0] = 10**6
        certunl(verb, place, *words)
        assert Cut.left[0] == 10**6  # nothing was trained again
        assert not working.exists()
        again = json.loads((place / f"{name}.json").read_text())
        for one, two in zip(whole, again, strict=True):
            assert one["controls"] == two["controls"]
            assert verb == "compare" or one["attacks"] == two["attacks"]  # a comparison draws other noise


def test_a_killed_retraining_for_a_request_goes_on(tmp_path, monkeypatch):
    place = tmp_path / "run"
    certunl("train", place, *WORDS)
    monkeypatch.setattr("certunl.folders.line.Checkpoints", Cut)
    Cut.left[0] = 5
    with pytest.raises(Killed):
        certunl("forget", place, "--method", "retrain", "--request", "ids:3", "--id", "A")
    assert len(list((place / "retraining" / "1").iterdir())) == 1
    Cut.left[0] = 10**6
    certunl("forget", place, "--method", "retrain", "--request", "ids:3", "--id", "A")
    entry = RunFolder(place).ledger.entry("A")
    assert entry.state == "erased" and not (place / "retraining").exists()
    assert 10**6 - Cut.left[0] < 100
    params = RunFolder(place).releases.updates.load(entry.part)[0]
    jax.tree.map(
        np.testing.assert_array_equal, cu.Retrain().forget(RunFolder(place).run, None, [3], KEY).params, params
    )


def test_states_kept_by_a_class_of_somebody_else_prove_nothing(tmp_path):
    class Hands(cu.Checkpoints):
        """Hands back a model of its own."""

        def begin(self, identity):
            steps, arrays = super().begin(identity)
            return steps, arrays and [arrays[0], *(1e3 + array for array in arrays[1:])]

    recipe = cu.Recipe(epochs=4, batch_size=30, learning_rate=0.1, radius=5.0)
    budget = cu.Budget(epsilon=1.0, delta=1e-5)
    run = cu.train(problem(), recipe, KEY)
    verdicts = {}
    for name, keeper in {"own": cu.Checkpoints(tmp_path / "own"), "theirs": Hands(tmp_path / "theirs")}.items():
        update = cu.Retrain(checkpoints=keeper).forget(run, None, [3], KEY)
        verdicts[name] = cu.certify(update, budget).certificate
        trained = cu.train(problem(), recipe, KEY, checkpoints=type(keeper)(tmp_path / f"{name} trained"))
        assert bool(trained.unchecked) == (name == "theirs")
    assert verdicts["own"].verdict == "PROVED" and verdicts["theirs"].verdict == "CONDITIONAL"
    assert "the states that" in str(verdicts["theirs"])
