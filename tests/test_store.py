"""A store holds what was written to it, whole or not at all, until it is erased for good."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.disk import hold
from certunl.fingerprint import fingerprint
from certunl.statistics import Statistics
from certunl.store import Store
from tests.cases import gap, ridge, trained, vector

ROOT = Path(__file__).parents[1]
M, CHUNK = 10, 4
LIKE = {"b": jnp.zeros(3, jnp.float32), "w": jnp.zeros((2, 4), jnp.float32)}
UNITS = np.arange(M) * 2 + 1
OWNERS = np.repeat(np.arange(2 * M + 1), 2)  # unit u owns examples 2u and 2u + 1


def examples(*units):
    return np.concatenate([[2 * u, 2 * u + 1] for u in units])


def rows(units=UNITS, like=LIKE):
    """What the row of each unit is: random, but the same for a unit every time."""
    draw = [np.random.default_rng(int(u)) for u in units]
    return jax.tree.map(lambda leaf: np.stack([d.normal(size=leaf.shape).astype(leaf.dtype) for d in draw]), like)


def make(place, like=LIKE, units=UNITS, **settings):
    return Store.create(place, like, units, OWNERS, **{"fingerprint": "f", "chunk": CHUNK} | settings)


def fill(store, numbers=None):
    for number in store.missing() if numbers is None else numbers:
        store.write(number, rows(store.members(number), store._like))
    return store


def truth(*units, like=LIKE):
    return jax.tree.map(lambda leaf: leaf.astype(float).sum(axis=0), rows(units, like))


def pattern(unit):
    """The bytes of a row as they stand in a float32 file."""
    return np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(rows([unit]))]).astype(np.float32).tobytes()


def holding(folder, content):
    return [path for path in folder.rglob("*") if path.is_file() and content in path.read_bytes()]


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


def test_a_store_whose_maker_was_killed_before_it_was_whole_is_made_again(tmp_path):
    make(tmp_path).close()
    (tmp_path / "store.json").unlink()  # it is written last
    (tmp_path / "store.json.__lock").write_text("{")
    assert fill(make(tmp_path)).missing() == [] and not list(tmp_path.glob("*.__lock"))


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


def test_erasing_that_was_cut_short_is_brought_to_its_end(tmp_path, monkeypatch):
    store = fill(make(tmp_path))
    commit = type(store._shards)._commit
    done = []

    def dies(self, where, values):
        if done:
            raise KeyboardInterrupt
        done.append(where)
        commit(self, where, values)

    monkeypatch.setattr(type(store._shards), "_commit", dies)
    with pytest.raises(KeyboardInterrupt):
        store.without(examples(3, 19))
    monkeypatch.undo()
    assert holding(tmp_path, pattern(19)) and not store.covers(examples(19))
    left = tmp_path / "c" / "1" / "0.__lock"  # what a writer leaves that is killed while it writes
    left.write_bytes(pattern(11))
    store = Store.open(tmp_path, LIKE, "f")
    assert not any(holding(tmp_path, pattern(u)) for u in (3, 19)) and not left.exists()
    assert len(store) == M - 2 and gap(store.correction(examples(1, 11)), truth(1, 11)) < 1e-6


def test_every_flipped_byte_is_reported(tmp_path):
    fill(make(tmp_path / "s"))
    everyone = [examples(u) for u in UNITS]
    before = [vector(Store.open(tmp_path / "s", LIKE, "f").correction(ids)) for ids in everyone]
    for name in ("c/0/0", "c/2/0", "store.json", "erased.json", "zarr.json"):
        path = tmp_path / "s" / name
        content = path.read_bytes()
        for at in np.linspace(0, len(content) - 1, 12).astype(int):
            path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
            wrong = 0
            for ids, expected in zip(everyone, before, strict=True):
                try:
                    assert (vector(Store.open(tmp_path / "s", LIKE, "f").correction(ids)) == expected).all()
                except cu.BadInput as error:
                    assert str(error).count("\n") == 0 and str(tmp_path) in str(error)
                    wrong += 1
            assert wrong >= (name != "zarr.json"), (name, at)
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(cu.BadInput):
            Store.open(tmp_path / "s", LIKE, "f").correction(examples(*UNITS))
        path.write_bytes(content)


def test_another_store_is_refused(tmp_path):
    fill(make(tmp_path / "s"))
    with pytest.raises(cu.BadInput, match="belongs to another run"):
        Store.open(tmp_path / "s", LIKE, "g")
    with pytest.raises(cu.BadInput, match="other parameters"):
        Store.open(tmp_path / "s", {"w": LIKE["w"]}, "f")
    for name, value in {"form": "retained", "dtype": "bfloat16", "units": UNITS[1:]}.items():
        with pytest.raises(cu.BadInput, match=f"other {name}"):
            make(tmp_path / "s", **{name: value})
    with pytest.raises(cu.BadInput, match="other owners"):
        Store.create(tmp_path / "s", LIKE, UNITS, OWNERS[::-1], fingerprint="f", chunk=CHUNK)
    notes = make(tmp_path / "s")._shards
    notes.keep("store.json", {**notes.note("store.json"), "format": 0})
    with pytest.raises(cu.BadInput, match=r"other format \(0, not 1\)"):
        Store.open(tmp_path / "s", LIKE, "f")
    (tmp_path / "s" / "store.json").unlink()
    with pytest.raises(cu.BadInput, match="holds rows, but no store"):
        make(tmp_path / "s")
    for place in (tmp_path / "s", tmp_path / "none"):
        with pytest.raises(cu.BadInput, match="there is no store"):
            Store.open(place, LIKE, "f")


def test_bad_settings_and_rows_are_refused(tmp_path):
    for settings in ({"units": []}, {"units": [3, 1]}, {"units": [1, 1]}, {"chunk": 0}, {"dtype": "int32"}):
        with pytest.raises(cu.BadInput):
            make(tmp_path / "s", **settings)
    assert not (tmp_path / "s").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(cu.BadInput, match="cannot be"):
        make(tmp_path / "file")
    store = make(tmp_path / "s", dtype="bfloat16")
    good = rows(store.members(0))
    for bad in (rows(UNITS[:3]), good["w"], jax.tree.map(lambda leaf: np.where(leaf < 0, np.nan, leaf), good)):
        with pytest.raises(cu.BadInput, match="chunk 0"):
            store.write(0, bad)
    with pytest.raises(cu.BadInput, match="infinity as bfloat16"):
        store.write(0, jax.tree.map(lambda leaf: np.full_like(leaf, 1e300, dtype=float), good))
    assert store.missing() == [0, 1, 2]


def test_a_second_writer_is_refused_but_readers_are_not(tmp_path):
    first = fill(make(tmp_path), [0])
    with pytest.raises(cu.BadInput, match="another certunl is working"):
        make(tmp_path)
    reader = Store.open(tmp_path, LIKE, "f")
    assert gap(reader.correction(examples(3)), truth(3)) < 1e-6
    for call in (lambda: reader.without(examples(3)), lambda: reader.write(1, rows(reader.members(1)))):
        with pytest.raises(cu.BadInput, match="another certunl is working"):
            call()
    fill(first)  # whole: there is nothing more to hold
    reader.without(examples(3))
    with hold(tmp_path), pytest.raises(cu.BadInput, match="another certunl is working"):
        first.without(examples(5))
    with pytest.raises(cu.BadInput, match="lost rows"):
        first.correction(examples(3))
    assert first.without(examples(5)).units.tolist() == [1, *range(7, 20, 2)]  # and 3, which the reader erased


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
    monkeypatch.setattr("certunl.shards._PIECE_BYTES", 3 * 11 * 4)
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


WRITER = """
import sys, jax, numpy as np
jax.config.update("jax_enable_x64", True)
from certunl.store import Store
from tests.test_store import KILLED, killed_rows
assert "tensorstore" not in sys.modules  # importing certunl is quick
store = Store.create(sys.argv[1], *KILLED, fingerprint="f", chunk=4)
for number in store.missing():
    store.write(number, killed_rows(store.members(number)))
    print(number, flush=True)
"""
KILLED = ({"w": np.zeros(50_000, np.float32)}, np.arange(400), np.arange(400))


def killed_rows(units):
    return {"w": np.float32(units[:, None] + np.arange(50_000) / 1e5)}


def test_a_killed_writer_loses_at_most_the_chunk_it_was_writing(tmp_path):
    for wait in (0.0, 0.013):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        told = [int(writer.stdout.readline()) for _ in range(7)]
        time.sleep(wait)
        writer.send_signal(signal.SIGKILL)
        told += [int(line) for line in writer.stdout.read().splitlines()]
        writer.wait()
        writer.stdout.close()
        store = Store.open(tmp_path, KILLED[0], "f")
        assert 0 < len(store.missing()) < 100 and not set(store.missing()) & set(told)
        there = set(range(100)) - set(store.missing())
        assert max(told) <= max(there) <= max(told) + 1
    store = Store.create(tmp_path, *KILLED, fingerprint="f", chunk=4)
    for number in store.missing():
        store.write(number, killed_rows(store.members(number)))
    assert store.missing() == [] and not list(tmp_path.rglob("*.__lock"))
    for ids in np.arange(400).reshape(8, 50):
        expected = killed_rows(ids)["w"].astype(float).sum(axis=0)
        np.testing.assert_allclose(store.correction(ids)["w"], expected, rtol=1e-6)
