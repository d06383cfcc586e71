"""After a crash at any operation on files, the next command leaves the folder as if there had been none."""

import os
import shutil

import jax
import numpy as np
import pytest

from certunl.folders import RunFolder
from certunl.folders.checking import problems
from certunl.rows import Store
from certunl.rows.erasing import kept
from certunl.rows.shards import Shards
from tests.crashes import Crashes
from tests.verbs import SMALL, certunl

STEP = int(os.environ.get("CERTUNL_CRASH_STEP", 6))
"""Every which operation a crash is tried at; CERTUNL_CRASH_STEP=1 tries each."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with one answered request, and rows of two forms."""
    place = tmp_path_factory.mktemp("runs") / "wine"
    certunl("train", place, *SMALL)
    certunl("prepare", place)
    certunl("prepare", place, "--set", "form=retained")
    certunl("forget", place, "--method", "newton", "--request", "ids:1,2", "--set", "operator=ggn", "--trivial")
    return place


def state(folder):
    """What must be the same with and without a crash."""
    place = RunFolder(folder)
    assert problems(place) == []
    entries = place.ledger.entries()
    every = place.ledger.forgotten()
    assert all(entry.state == "erased" for entry in entries)
    for store in (folder / "prepared").iterdir():
        assert len(kept(store, every)) == 0
    hidden = [path.name for path in folder.rglob(".*") if path.name != ".lock"]
    assert hidden == [] and not list(folder.glob("updates/*/release"))
    params = {name: place.releases.updates.load(name)[0] for name in place.releases.updates.names()}
    account = place.ledger.account("other")
    listed = [(e.number, e.order.id, e.ids.tolist(), e.part, e.facts["released"]["place"]) for e in entries]
    return listed, params, (account.ratios, account.pairs, len(account.secrets)), place.releases.published.names()


def same(one, two, name):
    assert one[0] == two[0] and one[2:] == two[2:], name
    assert one[1].keys() == two[1].keys()
    for name in one[1]:
        jax.tree.map(np.testing.assert_array_equal, one[1][name], two[1][name])


def test_forget_survives_a_crash_at_every_operation(prepared, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(prepared, folder)
    words = ("--request", "random:4", "--id", "ORDER-17", "--trivial")
    crashes = Crashes(folder, ("forget", folder, *words), tmp_path / "record")
    assert crashes.count > 150 and len(crashes.flushed) > 50
    expected = state(folder)
    (tmp_path / "try").mkdir()
    for name, left in crashes.states(tmp_path / "try", STEP):
        certunl("forget", left, *words)
        same(state(left), expected, name)


def test_prepare_and_purge_survive_a_crash_at_every_operation(prepared, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(prepared, folder)
    shutil.rmtree(folder / "prepared" / "hessian_free_first_order")
    certunl("forget", folder, "--method", "newton", "--request", "ids:5", "--set", "operator=ggn", "--trivial")
    certunl("evaluate", folder)
    (tmp_path / "try").mkdir()
    for verb in (("prepare",), ("purge", "--model")):
        crashes = Crashes(folder, (verb[0], folder, *verb[1:]), tmp_path / verb[0])
        place = RunFolder(folder)
        names, rows = listing(folder), {store.name: rows_of(store) for store in (folder / "prepared").iterdir()}
        for name, left in crashes.states(tmp_path / "try", STEP if verb[0] == "prepare" else max(1, STEP // 3)):
            certunl(verb[0], left, *verb[1:])
            assert listing(left) == names and problems(RunFolder(left)) == [], name
            for store in (left / "prepared").iterdir():
                assert all(map(np.array_equal, rows_of(store), rows[store.name])), name
            assert np.array_equal(RunFolder(left).ledger.forgotten(), place.ledger.forgotten())
            assert verb[0] == "prepare" or all(entry.ids is None for entry in RunFolder(left).ledger.entries())


def listing(folder):
    """The names of all files but those whose names are drawn."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if "/d/" not in str(p) and p.name != ".lock")


def rows_of(place):
    """(the units with a row, the rows)."""
    shards = Shards(place)
    store = Store(shards, None, {})
    return store.units, shards.read(store._readable())


def test_train_survives_a_crash_at_every_operation(tmp_path):
    folder = tmp_path / "run"
    crashes = Crashes(folder, ("train", folder, *SMALL), tmp_path / "record")
    run = RunFolder(folder).run
    (tmp_path / "try").mkdir()
    for name, left in crashes.states(tmp_path / "try", 2 * STEP):
        if not (left / "run.json").is_file():
            certunl("train", left, *SMALL)
        certunl("prepare", left)
        jax.tree.map(np.testing.assert_array_equal, RunFolder(left).run.params, run.params)
        assert problems(RunFolder(left)) == [], name
        assert {path.name for path in left.iterdir()} - {"prepared"} == {path.name for path in folder.iterdir()}


def test_serve_survives_a_crash_at_every_operation(prepared, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(prepared, folder)
    requests = tmp_path / "requests.jsonl"
    requests.write_text(
        '{"id": "A", "ids": [3]}\n{"id": "B", "ids": [9]}\n'
        '{"id": "C", "request": "random:2"}\n{"id": "D", "ids": [11]}\n'
    )
    words = ("--input", requests, "--trivial")
    crashes = Crashes(folder, ("serve", folder, *words), tmp_path / "record")
    (tmp_path / "try").mkdir()
    for name, left in crashes.states(tmp_path / "try", 3 * STEP):
        certunl("serve", left, *words)
        listed, *_ = state(left)
        by_id = {id: (ids, part) for _, id, ids, part, _ in listed if id in "ABCD"}
        assert sorted(by_id) == list("ABCD") and by_id["A"][0] == [3] and by_id["D"][0] == [11], name
        assert len(by_id["C"][0]) == 2, name
        known = np.concatenate([[1, 2], *(ids for ids, _ in by_id.values())])
        assert RunFolder(left).ledger.forgotten().tolist() == sorted(known.tolist()), name
