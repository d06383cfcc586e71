"""After a crash at any operation on files, the next command leaves the folder as if there had been none."""

import os
import shutil

import jax
import numpy as np
import pytest

from certunl.folders import RunFolder
from certunl.folders.checking import problems
from certunl.rows.erasing import kept
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
