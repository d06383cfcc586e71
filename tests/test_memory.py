"""Work that needs more memory than is free is refused before it begins, with the way out."""

import subprocess
import sys

import jax
import numpy as np
import pytest

import certunl as cu
from certunl.training import memory, sensitivity
from tests.cases import KEY, network, ridge, trained

CPU = jax.devices("cpu")[0]
GIB = 2**30


class Card:
    """An accelerator as JAX describes one."""

    platform = "gpu"

    def __init__(self, **stats):
        self._stats = stats

    def memory_stats(self):
        return self._stats

    def __repr__(self):
        return "CudaDevice(id=0)"


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Writes files of the system: 8 GiB available, without control groups."""

    def write(name, text):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    monkeypatch.setattr(memory, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path / "groups")
    write("proc/meminfo", f"MemTotal: 16 kB\nMemAvailable:   {8 * 2**20} kB\n")
    return write


def test_the_machine_is_asked(system):
    assert memory.free_bytes(CPU) == 8 * GIB


@pytest.mark.parametrize("place", ["", "job/step"])
def test_a_group_of_version_2_limits_its_members(system, place):
    system("proc/self/cgroup", "0::/job/step\n")
    system(f"groups/{place}/memory.max", str(4 * GIB))
    system(f"groups/{place}/memory.current", str(3 * GIB))
    system(f"groups/{place}/memory.stat", f"anon 5\ninactive_file {GIB}\n")
    assert memory.free_bytes(CPU) == 2 * GIB


def test_a_group_of_version_1_limits_its_members(system):
    system("proc/self/cgroup", "8:pids:/a:b\n4:memory:/job\n0::/\n")
    system("groups/memory/job/memory.limit_in_bytes", str(4 * GIB))
    system("groups/memory/job/memory.usage_in_bytes", str(3 * GIB))
    assert memory.free_bytes(CPU) == GIB


def test_a_group_that_is_full_leaves_nothing_and_one_without_a_limit_everything(system):
    system("proc/self/cgroup", "0::/\n")
    system("groups/memory.current", str(9 * GIB))
    system("groups/memory.max", "max\n")
    assert memory.free_bytes(CPU) == 8 * GIB
    system("groups/memory.max", str(4 * GIB))
    assert memory.free_bytes(CPU) == 0


def test_a_system_that_does_not_say_refuses_nothing(tmp_path, monkeypatch):
    for name in ("_PROC", "_CGROUPS"):
        monkeypatch.setattr(memory, name, tmp_path / "absent")
    assert memory.free_bytes(CPU) is None and memory.free_bytes(Card()) is None
    memory.check_memory("rows", 1e30, "use less")


def test_an_accelerator_says_what_it_has():
    card = Card(bytes_limit=80 * GIB, bytes_in_use=50 * GIB)
    assert memory.free_bytes(card) == 30 * GIB
    memory.check_memory("rows", 29 * GIB, "use less", card)
    sentence = r"^rows need 31 GiB of memory, and 30 GiB are free on CudaDevice\(id=0\); use less$"
    with pytest.raises(cu.BadInput, match=sentence):
        memory.check_memory("rows", 31 * GIB, "use less", card)


def test_the_limits_of_the_process_count():
    code = (
        "import jax, resource; from certunl.training.memory import free_bytes; cpu = jax.devices()[0];"
        "sizes = dict(line.split(':') for line in open('/proc/self/status'));"
        "used = int(sizes['VmData'].split()[0]) * 1024;"
        "resource.setrlimit(resource.RLIMIT_DATA, (used + 2**28, used + 2**28)); print(free_bytes(cpu))"
    )
    free = int(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
    assert 2**27 < free <= 2**28


@pytest.fixture
def run():
    return trained(ridge(), weight_decay=0.1)


def _rows_in_memory(run):
    cu.HessianFree().prepare(run)


def _rows_backward(run):
    cu.HessianFree(gather=cu.rows.Backward()).prepare(run)


def _jackknife(run):
    cu.Jackknife().prepare(run)


def _dense(run):
    cu.Newton(solver=cu.Dense(max_dimension=77), damping=0.125).forget(run, None, [1], KEY)


@pytest.mark.parametrize(
    ("work", "sentence"),
    [
        (_rows_in_memory, r"rows of 24 units, with work space, need .* keep them on disk \(store\(run, place\)\)"),
        (_rows_backward, r"rows of 24 units, with work space, need .* give units="),
        (_jackknife, "rows of 24 units and the inverse need .* lower max_dimension"),
        (_dense, "dense inverses of 5 parameters need .* use CG"),
    ],
)
def test_work_is_refused_before_it_begins(run, monkeypatch, work, sentence):
    monkeypatch.setattr(memory, "free_bytes", lambda device: 500)
    for name in ("block", "adjoint"):
        monkeypatch.setattr(sensitivity, name, None)
    with pytest.raises(cu.BadInput, match=sentence):
        work(run)


def test_data_that_do_not_fit_may_stay_on_the_host(monkeypatch):
    x, y = np.ones((20, 4)), np.zeros(20, np.int32)
    monkeypatch.setattr(memory, "free_bytes", lambda device: 500)
    sentence = r"^the data need .* are free; keep the inputs on the host: Dataset\(OnHost\(x\), y\)$"
    with pytest.raises(cu.BadInput, match=sentence):
        cu.classification(cu.models.Linear(classes=2), cu.Dataset(x, y))
    problem = cu.Problem(init=lambda key: {"w": np.ones(4)}, losses=lambda p, b: b.x @ p["w"], data=cu.Dataset(x, y))
    with pytest.raises(cu.BadInput, match=sentence):
        cu.train(problem, cu.Recipe(epochs=1), KEY)
    cu.train(cu.classification(cu.models.Linear(classes=2), cu.Dataset(cu.OnHost(x), y)), cu.Recipe(epochs=1), KEY)


def test_chunks_that_do_not_fit_are_refused_and_the_store_is_finished_with_smaller_ones(tmp_path, monkeypatch, run):
    monkeypatch.setattr(memory, "free_bytes", lambda device: 500)
    with pytest.raises(cu.BadInput, match=r"chunks of 24 rows, before and after a step, need .* give a smaller chunk"):
        cu.HessianFree(gather=cu.rows.Forward(chunk=24)).store(run, tmp_path / "rows")
    monkeypatch.undo()
    store = cu.HessianFree().store(run, tmp_path / "rows")
    rows = cu.HessianFree().prepare(run)
    np.testing.assert_allclose(store.correction([1, 5])["w"], rows.correction([1, 5])["w"], atol=1e-12)


def test_what_needs_no_rows_is_not_refused(monkeypatch):
    run = trained(network(), weight_decay=0.1)
    monkeypatch.setattr(memory, "free_bytes", lambda device: 500)
    assert np.isfinite(cu.HessianFree().forget(run, None, [1], KEY).cost["seconds"])


def test_programs_are_dropped_before_their_memory_maps_end_the_process(system, monkeypatch):
    cleared = []
    monkeypatch.setattr(jax, "clear_caches", lambda: cleared.append(True))
    for maps, limit in ((5, "10\n"), (6, ""), (6, "10\n")):  # half, no limit, more than half
        system("proc/sys/vm/max_map_count", limit)
        system("proc/self/maps", "a map\n" * maps)
        memory.release_programs()
        assert bool(cleared) == (maps == 6 and limit != "")
