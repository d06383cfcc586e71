"""A store in a bucket is filled, read, erased from and resumed as in a folder; a lease locks it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import certunl as cu
from certunl.errors import Unavailable
from certunl.rows import lease
from certunl.rows.erasing import check_rows, erase, kept
from certunl.rows.store import Store
from tests import team
from tests.buckets import ask, objects, reach, served
from tests.cases import KEY, gap, network, ridge, trained
from tests.stores import LIKE, UNITS, M, examples, fill, make, pattern, rows, truth
from tests.test_hosts import ended, start

BUSY = "another certunl is working on"


@pytest.fixture(scope="module")
def server():
    with served() as address:
        yield address


@pytest.fixture(params=["memory", "s3"])
def place(request, monkeypatch):
    """A URL under which nothing lies yet."""
    if request.param == "s3":
        reach(request.getfixturevalue("server"), monkeypatch)
    return f"{request.param}://bucket/{request.node.name.replace('[', '-').rstrip(']')}"


@pytest.fixture
def quick(monkeypatch):
    """Leases that are renewed, and lapse, in less time."""
    monkeypatch.setattr(lease, "_EVERY", 0.05)
    monkeypatch.setattr(lease, "_LAPSE", 1.0)


def test_a_bucket_holds_what_was_written_until_it_is_erased(place):
    store = fill(make(place))
    assert sorted(objects(store)) == ["c/0/0", "c/1/0", "c/2/0", "erased.json", "store.json", "zarr.json"]
    store = Store.open(place, LIKE, "f")
    assert store.units.tolist() == UNITS.tolist() and store.missing() == []
    assert gap(store.correction(examples(1, 7, 19)), truth(1, 7, 19)) < 1e-6
    assert pattern(3) in objects(store)["c/0/0"]
    assert store.without(examples(3, 17, 19)) is store  # all of the last chunk, whose object goes
    everything = b"".join(objects(store).values())
    assert not any(pattern(u) in everything for u in (3, 17, 19)) and pattern(5) in everything
    assert "c/2/0" not in objects(store) and "lock.json" not in objects(store)
    assert kept(place, examples(1, 3)).tolist() == [1] and erase(place, examples(1, 3)) == 1
    check_rows(place)
    assert len(Store.open(place, LIKE, "f")) == M - 4
    with pytest.raises(cu.BadInput, match="belongs to another run"):
        Store.open(place, LIKE, "g")


def test_rows_of_a_run_are_gathered_into_a_bucket_and_forgotten_from_it(place):
    run, method = trained(ridge(12)), cu.HessianFree(gather=cu.Forward(chunk=3))
    whole, store = method.prepare(run), method.store(run, place)
    store = method.open(run, place)
    for request in ([4], [0, 6, 11]):
        assert gap(store.correction(request), whole.correction(request)) < 1e-13
        update = method.forget(run, store, request, KEY)
        assert gap(update.params, method.forget(run, whole, request, KEY).params) < 1e-13
    assert method.store(run, place).without([4]).units.tolist() == [0, 1, 2, 3, *range(5, 12)]


def test_a_damaged_object_is_reported(place):
    store = fill(make(place))
    for name in ("c/1/0", "store.json", "erased.json"):
        content = objects(store)[name]
        store._shards.files._objects.write(name, content[:60] + bytes([content[60] ^ 1]) + content[61:]).result()
        with pytest.raises(cu.BadInput, match="damaged"):
            Store.open(place, LIKE, "f").correction(examples(9, 11))
        store._shards.files._objects.write(name, content).result()


def test_a_living_writer_keeps_others_out_and_readers_are_let_in(place, quick, monkeypatch):
    first = fill(make(place), [0])
    reader = Store.open(place, LIKE, "f")
    assert gap(reader.correction(examples(3)), truth(3)) < 1e-6
    begin = time.monotonic()
    with monkeypatch.context() as slow, pytest.raises(cu.BadInput, match=BUSY):
        slow.setattr(lease, "_LAPSE", 20.0)
        make(place)
    assert time.monotonic() - begin < 10  # it saw a renewal
    for call in (lambda: reader.without(examples(3)), lambda: reader.write(1, rows(UNITS[4:8]))):
        with pytest.raises(cu.BadInput, match=BUSY):
            call()
    time.sleep(1.5)  # longer than a lease lasts that nobody renews
    with pytest.raises(cu.BadInput, match=BUSY):
        make(place)
    fill(first)  # whole, so the lease is given back
    assert "lock.json" not in objects(first)
    assert reader.without(examples(3)).units.tolist() == [1, *UNITS[2:].tolist()]


def test_a_writer_that_stood_still_is_refused_and_brings_no_erased_row_back(place, quick, monkeypatch):
    with monkeypatch.context() as still:
        still.setattr(lease.Lease, "_keep_up", lambda self: None)  # as if its process stood still
        slow = fill(make(place), [0])
    other = make(place)  # after the lapse
    other.without(examples(3, 11))
    late = slow.members(1)
    assert 11 in late  # it knows nothing of the erasure
    with pytest.raises(Unavailable, match=BUSY):
        slow.write(1, rows(late))
    with pytest.raises(cu.BadInput, match=BUSY):
        slow.without(examples(1))
    slow.close()  # which must not give back the lease of the other
    assert "lock.json" in objects(other)
    assert fill(other).missing() == [] and pattern(11) not in b"".join(objects(other).values())
    assert len(Store.open(place, LIKE, "f")) == M - 2


def test_a_lease_that_was_taken_over_is_not_given_back(place, quick, monkeypatch):
    with monkeypatch.context() as still:
        still.setattr(lease.Lease, "_keep_up", lambda self: None)
        slow = make(place)
    other = make(place)
    slow.close()
    assert "lock.json" in objects(other) and fill(other).missing() == []


@pytest.mark.parametrize("told", [True, False])
def test_a_renewal_whose_answer_was_lost_is_no_refusal(place, monkeypatch, told):
    monkeypatch.setattr(lease.Lease, "_keep_up", lambda self: None)
    store = make(place)
    mine = store._shards.files._lease
    inner, losses = mine._objects, iter([True])

    class Forgetful:
        """Writes, and does not hear the answer: it tries once more, or gives up if `told`."""

        def write(self, *args, **settings):
            if next(losses, False):
                inner.write(*args, **settings).result()
                if told:
                    raise ValueError("CURL error: no answer")
            return inner.write(*args, **settings)

        def __getattr__(self, name):
            return getattr(inner, name)

    mine._objects = Forgetful()
    if told:
        with pytest.raises(Unavailable, match="the server cannot be reached"):
            fill(store)
    assert fill(store).missing() == []


WRITER = """
import sys, time
from tests.stores import make, rows
store = make(sys.argv[1])
for number in store.missing():
    store.write(number, rows(store.members(number)))
    print(number, flush=True)
    time.sleep(60 * number)
"""


def test_after_a_kill_the_store_goes_on_when_the_lease_lapsed(server, monkeypatch, quick):
    reach(server, monkeypatch)
    url, cwd = "s3://bucket/killed", Path(__file__).parents[1]
    writer = subprocess.Popen([sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE, text=True, cwd=cwd)
    assert [writer.stdout.readline() for _ in range(2)] == ["0\n", "1\n"]
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    store = make(url)
    assert store.missing() == [2]
    fill(store)
    assert gap(Store.open(url, LIKE, "f").correction(examples(*UNITS)), truth(*UNITS)) < 1e-6


def test_a_writer_that_ends_without_closing_gives_the_lease_back(server, monkeypatch):
    reach(server, monkeypatch)
    line = "import tests.stores; store = tests.stores.make('s3://bucket/ended')"
    ended = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert ended.returncode == 0 and "Traceback" not in ended.stderr
    begin = time.monotonic()
    assert fill(make("s3://bucket/ended")).missing() == [] and time.monotonic() - begin < 3


def test_two_processes_fill_one_bucket(server, monkeypatch, tmp_path):
    reach(server, monkeypatch)
    monkeypatch.setenv("TEAM_STORE", "s3://bucket/team")
    ends = ended(start(2, "-m", "tests.team", str(tmp_path), "store"))
    assert [status for status, *_ in ends] == [0, 0], ends
    monkeypatch.delenv("TEAM_STORE")
    alone = team.work("store", trained(network(), weight_decay=0.1), tmp_path / "alone")
    for rank in range(2):
        with np.load(tmp_path / f"store-{rank}.npz") as numbers:
            np.testing.assert_allclose(numbers["arr_0"], alone, rtol=1e-10, atol=1e-14)


def test_a_place_that_cannot_hold_a_store_gets_one_sentence(server, monkeypatch):
    reach(server, monkeypatch)
    for place, sentence in {
        "nowhere://x": r"nowhere://x cannot be opened: a store lies in a folder, or under a URL such as s3://.*unsupported",
        "s3://a/x": "a store lies in a folder, or under a URL",
        "s3://absent/x": "s3://absent/x: there is no such bucket; make it, or name another one",
        Path("s3://bucket/x"): "has lost a slash, because a Path is no URL",
    }.items():
        with pytest.raises(cu.BadInput, match=sentence) as error:
            make(place)
        assert "\n" not in str(error.value)
    with pytest.raises(cu.BadInput, match="there is no store in s3://absent/x"):
        Store.open("s3://absent/x", LIKE, "f")
    ask(f"{server}/moto-api/reset-auth", b"0")  # from now on credentials count
    try:
        with pytest.raises(cu.BadInput, match=r"s3://bucket/x: access is refused; check the credentials"):
            make("s3://bucket/x")
    finally:
        ask(f"{server}/moto-api/reset-auth", b"inf")
    monkeypatch.setattr("certunl.rows.files._RETRIES", {"max_retries": 1})
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")  # comes before AWS_ENDPOINT_URL
    with pytest.raises(cu.BadInput, match=r"s3://bucket/x: the server cannot be reached"):
        make("s3://bucket/x")
    assert not Path("s3:").exists() and os.environ["AWS_ENDPOINT_URL"] == server
