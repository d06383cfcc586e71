"""A stream on a run folder has the ledger of the folder."""

import jax
import numpy as np
import pytest

import certunl as cu
from certunl.folders import RunFolder
from certunl.folders.checking import problems
from tests.cases import KEY
from tests.verbs import SMALL, certunl

BUDGET = cu.Budget(epsilon=1.0, delta=1e-5)


@pytest.fixture
def folder(tmp_path):
    certunl("train", tmp_path / "run", *SMALL)
    certunl("prepare", tmp_path / "run")
    return tmp_path / "run"


def test_a_stream_and_the_command_line_take_turns(folder):
    stream = cu.Stream.open(folder)
    release, stream = stream.forget([3, 9], BUDGET, KEY, trivial=True, id="A")
    certunl("forget", folder, "--request", "ids:4", "--trivial", "--id", "B")
    again, stream = stream.forget([3, 9], BUDGET, KEY, trivial=True, id="A")
    jax.tree.map(np.testing.assert_array_equal, again.params, release.params)
    last, stream = stream.forget(5, BUDGET, KEY, trivial=True)
    assert last.certificate.account.releases == 3 and stream.account.releases == 3
    assert np.flatnonzero(~np.asarray(stream.run.present)).tolist() == [3, 4, 5, 9]
    assert stream.prepared is not None and not {3, 4, 5, 9} & {*stream.prepared.units.tolist()}
    place = RunFolder(folder)
    assert [entry.part for entry in place.ledger.entries()] == ["hessian_free-1", "hessian_free-2", "hessian_free-3"]
    assert problems(place) == []
    jax.tree.map(np.testing.assert_array_equal, cu.Stream.open(folder).run.params, stream.run.params)


def test_a_stream_on_a_folder_computes_what_one_in_memory_does(folder):
    run = RunFolder(folder).run
    method = cu.HessianFree()
    memory = cu.Stream(run=run, method=method, prepared=method.prepare(run))
    disk = cu.Stream.open(folder)
    for ids in ([3, 9], [4]):
        _, memory = memory.forget(ids, BUDGET, KEY, cu.secret_key(), trivial=True)
        _, disk = disk.forget(ids, BUDGET, KEY, trivial=True)
    for one, two in zip(*map(jax.tree.leaves, (memory.run.params, disk.run.params)), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-9)
    assert memory.account.ratios == disk.account.ratios


def test_what_a_stream_on_a_folder_does_not_do_is_refused(folder):
    stream = cu.Stream.open(folder, "newton", {"operator": "ggn"}, name="n")
    with pytest.raises(cu.BadInput, match="leave noise_key out"):
        stream.forget([3], BUDGET, KEY, cu.secret_key(), trivial=True)
    with pytest.raises(cu.BadInput, match="are not repaired"):
        stream.repair(KEY)
    release, after = stream.forget([3], BUDGET, KEY, trivial=True, id="A")
    assert release.update.method == "newton" and after.line.name == "n"
    with pytest.raises(cu.BadInput, match="the id A names another request"):
        after.forget([4], BUDGET, KEY, trivial=True, id="A")
    with pytest.raises(cu.BadInput, match="already forgotten"):
        after.forget([3], BUDGET, KEY, trivial=True)
    in_memory = cu.Stream(run=stream.run, method=cu.Retrain())
    with pytest.raises(cu.BadInput, match=r"Stream\.open"):
        in_memory.forget([3], BUDGET, KEY, id="A")
    with pytest.raises(cu.BadInput, match="no run folder"):
        cu.Stream.open(folder / "absent")


def test_two_releases_of_one_line_are_not_written_over_each_other(folder):
    one, two = cu.Stream.open(folder), cu.Stream.open(folder)
    _, one = one.forget([3], BUDGET, KEY, trivial=True)
    _, two = two.forget([4], BUDGET, KEY, trivial=True)  # it goes on from what the folder has now
    assert np.flatnonzero(~np.asarray(two.run.present)).tolist() == [3, 4]
