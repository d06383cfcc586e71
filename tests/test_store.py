"""A store holds what was written to it until it is erased for good."""

import shutil

import jax
import numpy as np
import pytest

import certunl as cu
from certunl.rows.origin import fingerprint
from certunl.rows.statistics import Statistics
from certunl.rows.store import Store
from tests.cases import gap, ridge, trained, vector
from tests.stores import LIKE, UNITS, M, examples, fill, holding, make, pattern, rows, truth


@pytest.mark.parametrize(
    ("params", "dtype", "tolerance"),
    [("float32", None, 1e-6), ("float64", None, 1e-14), ("float64", "float32", 1e-6), ("float32", "bfloat16", 4e-3)],
)
def test_what_is_read_is_what_was_written(tmp_path, params, dtype, tolerance):
    like = jax.tree.map(lambda leaf: leaf.astype(params), LIKE)
    fill(make(tmp_path / "s", like, dtype=dtype))
    store = Store.open(tmp_path / "s", like, "f")
    assert store.missing() == [] and store.units.tolist() == UNITS.tolist()
    for units in ([5], [1, 7, 19], UNITS):
        got = store.correction(examples(*units))
        assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), got) == jax.tree.map(
            lambda leaf: (leaf.shape, leaf.dtype), like
        )
        assert gap(got, truth(*units, like=like)) < tolerance


def test_a_store_reads_like_the_statistics_that_were_written_to_it(tmp_path):
    run = trained(ridge(30))
    whole = cu.HessianFree().prepare(run)
    store = Store.create(tmp_path, run.start, whole.units, whole.owners, fingerprint=fingerprint(run), chunk=7)
    for number in store.missing():
        ids = store.members(number)
        store.write(number, {"w": whole.rows["w"][ids]})
    for request in ([4], [0, 6, 7, 29]):
        assert store.covers(request) and gap(store.correction(request), whole.correction(request)) < 1e-14
    smaller = whole.without([4, 6])
    store.without([4, 6])
    assert store.units.tolist() == smaller.units.tolist() and isinstance(smaller, Statistics)
    assert gap(store.correction([5, 7]), smaller.correction([5, 7])) < 1e-14
    assert gap(smaller.correction([5, 7]), whole.correction([5, 7])) < 1e-14
    for prepared in (store, smaller):
        assert not prepared.covers([3, 4]) and prepared.covers([3])
        with pytest.raises(cu.BadInput, match="no statistics were prepared for unit 4"):
            prepared.correction([3, 4])
        assert len(prepared.without([4, 6]).units) == 28  # they have no row any more
        with pytest.raises(cu.BadInput, match="no statistics were prepared for unit 0"):
            prepared.without(range(30)).correction([0])
        with pytest.raises(cu.BadInput, match="examples 0 to 29"):
            prepared.without([30])


def test_a_part_of_an_owner_is_neither_read_nor_erased(tmp_path):
    store = fill(make(tmp_path))
    for call in (store.correction, store.without):
        with pytest.raises(cu.BadInput, match="part of owner 5"):
            call([10])
    assert len(store) == M and store.nbytes == M * 11 * 4


def test_the_chunks_that_are_missing_are_exactly_those_not_written(tmp_path):
    fill(make(tmp_path), [1]).close()
    store = make(tmp_path)
    assert store.missing() == [0, 2] and store.units.tolist() == UNITS[4:8].tolist()
    assert store.members(2).tolist() == UNITS[8:].tolist()
    assert store.covers(examples(9)) and not store.covers(examples(1))
    with pytest.raises(cu.BadInput, match="no statistics were prepared for unit 1"):
        store.correction(examples(1, 9))
    with pytest.raises(cu.BadInput, match="no chunk 3"):
        store.members(3)
    assert fill(store).missing() == Store.open(tmp_path, LIKE, "f").missing() == []


def test_a_row_of_zeros_is_a_row(tmp_path):
    store = make(tmp_path, chunk=M)
    store.write(0, jax.tree.map(np.zeros_like, rows()))
    store = Store.open(tmp_path, LIKE, "f")
    assert store.missing() == [] and len(store) == M
    assert not vector(store.correction(examples(*UNITS))).any()


def test_a_store_of_one_row(tmp_path):
    store = fill(make(tmp_path, units=[3]))
    assert gap(store.correction(examples(3)), truth(3)) < 1e-6
    store.without(examples(3))
    assert make(tmp_path, units=[3]).missing() == [] and not len(store) and not holding(tmp_path, pattern(3))


def test_an_erased_row_is_in_no_file_and_is_never_asked_for_again(tmp_path):
    store = fill(make(tmp_path), [0, 2])  # chunk 1 is not written yet
    assert all(holding(tmp_path, pattern(u)) for u in (3, 5, 19))
    assert store.without(examples(3, 5, 11)) is store  # 11 has no row yet, and never will
    for again in (store, None):
        if again is None:
            store.close()
            again = make(tmp_path)
        assert not any(holding(tmp_path, pattern(u)) for u in (3, 5))
        assert again.units.tolist() == [1, 7, 17, 19] and again.missing() == [1]
        assert again.members(1).tolist() == [9, 13, 15] and again.members(0).tolist() == [1, 7]
        assert gap(again.correction(examples(1, 7, 17, 19)), truth(1, 7, 17, 19)) < 1e-6
    fill(again)
    assert again.missing() == [] and not again.covers(examples(11)) and len(again) == M - 3
    again.without(examples(*UNITS))
    assert Store.open(tmp_path, LIKE, "f").missing() == [] and not list(tmp_path.rglob("c/*/0"))


def test_reading_touches_only_the_chunks_of_the_request(tmp_path):
    store = fill(make(tmp_path))
    shutil.rmtree(tmp_path / "c" / "0")
    (tmp_path / "c" / "2" / "0").write_bytes(b"damaged")
    assert gap(store.correction(examples(9, 15)), truth(9, 15)) < 1e-6
    with pytest.raises(cu.BadInput, match="lost rows"):
        store.correction(examples(1, 9))
    with pytest.raises(cu.BadInput, match="damaged rows"):
        store.correction(examples(9, 17))
    assert Store.open(tmp_path, LIKE, "f").missing() == [0]


def test_a_large_request_is_read_in_pieces(tmp_path, monkeypatch):
    store = fill(make(tmp_path))
    monkeypatch.setattr("certunl.rows.shards._PIECE_BYTES", 3 * 11 * 4)
    assert gap(store.correction(examples(*UNITS)), truth(*UNITS)) < 1e-6


def test_urls_are_places(tmp_path):
    store = fill(make("memory://here/there"))
    assert gap(store.without(examples(3)).correction(examples(1, 5)), truth(1, 5)) < 1e-6
    assert not store.covers(examples(3)) and store.missing() == []
    url = f"file://{tmp_path}/a%20b"
    fill(make(url))
    assert len(Store.open(tmp_path / "a b", LIKE, "f")) == M == len(Store.open(url, LIKE, "f"))
    with pytest.raises(cu.BadInput, match="cannot be opened"):
        make("nowhere://x")
