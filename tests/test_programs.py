"""The command line keeps compiled programs on disk, and nothing of the data in them."""

from pathlib import Path

import jax
import numpy as np
import pytest

from certunl.base import digest
from certunl.cli import main
from certunl.folders import RunFolder

TRAIN = ("--model", "mlp", "--set", "hidden=(4,)", "epochs=2", "batch_size=16", "radius=20")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "certunl"


def kept(cache: Path) -> set[str]:
    return {path.name for path in cache.glob("*/*-cache")}


def write(place: Path, first: int) -> None:
    x = np.random.default_rng(first).normal(size=(60, 5)).astype(np.float32)
    np.savez(place, x=x, y=(np.arange(60) + first) % 3, x_test=x[:12] + 1, y_test=np.arange(12) % 3)


def story(place: Path, data: Path, request: str) -> None:
    jax.clear_caches()
    main(["train", str(place), "--dataset", str(data), *TRAIN])
    main(["prepare", str(place)])
    for method, settings in (("hessian_free", ()), ("newton", ("operator=ggn",))):
        words = ["--set", *settings] if settings else []
        main(["forget", str(place), "--method", method, "--request", request, "--epsilon", "1", "--trivial", *words])
    main(["evaluate", str(place)])


def test_programs_are_the_same_for_other_data_and_other_requests(tmp_path: Path, cache: Path) -> None:
    for number in (0, 1):
        write(tmp_path / f"{number}.npz", number)
    story(tmp_path / "first", tmp_path / "0.npz", "ids:0,1,2,3,4,5")
    programs = kept(cache)
    assert len(programs) > 20
    story(tmp_path / "second", tmp_path / "1.npz", "ids:6,7,8,9,10,11")
    assert kept(cache) == programs


def test_programs_on_disk_are_read_again_and_give_the_same_numbers(tmp_path: Path, cache: Path) -> None:
    for name in ("first", "second"):
        jax.clear_caches()
        main(["train", str(tmp_path / name), "--dataset", "wine", *TRAIN])
        if name == "first":
            programs = {path: path.stat().st_mtime_ns for path in cache.glob("*/*-cache")}
    assert {path: path.stat().st_mtime_ns for path in cache.glob("*/*-cache")} == programs
    first, second = (RunFolder(tmp_path / name).run.params for name in ("first", "second"))
    assert digest(None, first) == digest(None, second)


MODEL = "import certunl\nclass Net(certunl.models.Linear):\n    pass\n"
METHOD = """
import dataclasses
import certunl, jax
@dataclasses.dataclass(frozen=True, kw_only=True)
class Mine(certunl.methods.FineTune):
    def forget(self, run, prepared, request, key):
        rows = run.problem.data.x[jax.numpy.asarray(request)]
        jax.jit(lambda: rows + 1)()  # a program that holds the forgotten rows
        return super().forget(run, prepared, request, key)
"""


def programs_of(cache: Path) -> set[str]:
    """The names of the compiled functions that are kept."""
    return {name.split("-")[0] for name in kept(cache)}


@pytest.mark.parametrize("model", ["linear", "net_of_mine:Net"])
def test_no_program_of_a_model_from_outside_is_kept(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net_of_mine.py").write_text(MODEL)
    jax.clear_caches()
    main(["train", str(tmp_path / "run"), "--dataset", "wine", "--model", model])
    jax.clear_caches()
    main(["prepare", str(tmp_path / "run")])
    own = {"jit_follow", "jit_block"} & programs_of(cache)
    assert bool(own) == (model == "linear"), programs_of(cache)


def test_no_program_of_a_method_from_outside_is_kept_by_it_or_by_a_later_verb(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "method_of_mine.py").write_text(METHOD)
    run = str(tmp_path / "run")
    main(["train", run, "--dataset", "wine", *TRAIN])
    main(["forget", run, "--method", "method_of_mine:Mine", "--name", "mine", "--request", "ids:0,1,2,3,4,5"])
    jax.clear_caches()
    main(["evaluate", run, "--attacks", "ulira", "--shadows", "4"])  # the ledger names the method, which forgets again
    assert not any("lambda" in name for name in programs_of(cache)), programs_of(cache)


def test_settings_of_jax_go_first(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jax.clear_caches()
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        main(["train", str(tmp_path / "run"), "--dataset", "wine", *TRAIN])
    finally:
        jax.config.update("jax_enable_compilation_cache", True)
    assert not kept(cache)


def test_a_home_that_cannot_be_written_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    main(["train", str(tmp_path / "run"), "--dataset", "wine", *TRAIN])
    assert (tmp_path / "run" / "run.json").is_file()
