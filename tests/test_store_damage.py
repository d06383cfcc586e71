"""What a store refuses, and what it survives: damage, other writers, kills."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

import certunl as cu
from certunl.disk import hold
from certunl.rows.store import Store
from tests.cases import gap, vector
from tests.stores import CHUNK, LIKE, OWNERS, UNITS, M, examples, fill, holding, make, pattern, rows, truth

ROOT = Path(__file__).parents[1]


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
    notes = make(tmp_path / "s")._shards.files
    notes.keep("store.json", {**notes.note("store.json"), "format": 2})  # which listed the erased rows
    for again in (lambda: Store.open(tmp_path / "s", LIKE, "f"), lambda: make(tmp_path / "s")):
        with pytest.raises(cu.BadInput, match="has format 2, this version reads 3; remove it, prepare again"):
            again()
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


def test_a_folder_that_cannot_be_held_gets_one_sentence(tmp_path):
    with pytest.raises(cu.BadInput, match=r"there is no folder .*absent"), hold(tmp_path / "absent"):
        pass
    (tmp_path / ".lock").mkdir()
    with pytest.raises(cu.BadInput, match="cannot be locked against a second writer"), hold(tmp_path):
        pass


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


def test_a_store_whose_maker_was_killed_before_it_was_whole_is_made_again(tmp_path):
    make(tmp_path).close()
    (tmp_path / "store.json").unlink()  # it is written last
    (tmp_path / "store.json.__lock").write_text("{")
    assert fill(make(tmp_path)).missing() == [] and not list(tmp_path.glob("*.__lock"))


WRITER = """
import sys, jax, numpy as np
jax.config.update("jax_enable_x64", True)
from certunl.rows.store import Store
from tests.test_store_damage import KILLED, killed_rows
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
