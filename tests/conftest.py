"""Everything is tested in float64 on the CPU; data that is not in the repository is looked for beside it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Nearly all the time goes into compiling what then runs for milliseconds: the compiler does not optimise, which takes
# two fifths of it. `XLA_FLAGS= python -m pytest` tests the code that users run.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true --xla_cpu_use_fusion_emitters=false",
)

import jax
import pytest

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_num_cpu_devices", 2)  # so that work on several devices is tested

_BESIDE = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def tfds_dir() -> str:
    """A folder of prepared TFDS data sets, or a skip that says why."""
    place = Path(os.environ.get("TFDS_DATA_DIR", _BESIDE / "tfds"))
    if not (place / "mnist").is_dir():
        pytest.skip("no prepared MNIST: set TFDS_DATA_DIR to a folder of TFDS data sets")
    return str(place)


@pytest.fixture(scope="session")
def reference_dir() -> Path:
    """The folder of an independent implementation's numbers, or a skip that says why."""
    place = _BESIDE / "reference"
    if not place.is_dir():
        pytest.skip("the independent implementation's numbers are not beside the repository")
    return place


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with the whole story in it, to be copied."""
    from tests.verbs import SMALL, certunl

    place = tmp_path_factory.mktemp("runs") / "wine"
    certunl("train", place, *SMALL)
    certunl("prepare", place)
    certunl("forget", place, "--request", "random:6")
    certunl("forget", place, "--method", "newton", "--request", "random:6", "--set", "operator=ggn", "--trivial")
    certunl("evaluate", place)
    certunl("report", place)
    return place


@pytest.fixture(scope="module")
def folder(story: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The story's folder, of one file's own."""
    return Path(shutil.copytree(story, tmp_path_factory.mktemp("runs") / "wine"))


@pytest.fixture(scope="module", autouse=True)
def _few_programs() -> Iterator[None]:
    """Forgets the programs of a file when it ends: those of the whole suite together exceed what a process may map."""
    yield
    jax.clear_caches()
