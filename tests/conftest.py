"""Everything is tested in float64 on the CPU; data that is not in the repository is looked for beside it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")
import jax
import pytest

from tests import compiler

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_num_cpu_devices", 2)  # so that work on several devices is tested


def pytest_configure(config: pytest.Config) -> None:
    """Chooses the compiler's flags before any test process starts, and says what is wrong where JAX would not start.

    `XLA_FLAGS= python -m pytest` tests the code that users run.
    """
    if hasattr(config, "workerinput"):
        return  # a worker inherits them
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="certunl-cache-")  # programs of the command line
    flags = os.environ.get("XLA_FLAGS")
    try:
        if flags is None:
            os.environ["XLA_FLAGS"] = compiler.known(compiler.FAST)
        elif compiler.known(tuple(flags.split())) != " ".join(flags.split()):
            raise pytest.UsageError(f"this jaxlib does not know all of XLA_FLAGS={flags!r}; it would end every process")
    except compiler.Dies as death:
        raise pytest.UsageError(f"JAX does not start here, {death}") from None


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: Any) -> None:
    """A process that dies takes its last words with it: how they can be heard is said."""
    if error:
        text = f"test process {node.gateway.id} died ({error}); python -m pytest -n 0 -s shows its last words"
        node.config.get_terminal_writer().line(text, red=True)


_BESIDE = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def tfds_dir() -> str:
    """A folder of prepared TFDS data sets, or a skip that says why."""
    place = Path(os.environ.get("TFDS_DATA_DIR", _BESIDE / "tfds"))
    if not (place / "mnist").is_dir():
        pytest.skip("no prepared MNIST: set TFDS_DATA_DIR to a folder of TFDS data sets")
    return str(place)


@pytest.fixture(scope="session")
def original_dir() -> str:
    """A folder of data sets as their authors publish them, or a skip that says why."""
    place = _BESIDE / "data"
    if not (place / "fashion_mnist").is_dir():
        pytest.skip("the authors' files of Fashion-MNIST and Adult are not beside the repository")
    return str(place)


@pytest.fixture(scope="session")
def reference_dir() -> Path:
    """The folder of an independent implementation's numbers, or a skip that says why."""
    place = _BESIDE / "reference"
    if not place.is_dir():
        pytest.skip("the independent implementation's numbers are not beside the repository")
    return place


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with rows and without a request, to be copied."""
    from tests.verbs import SMALL, certunl

    place = tmp_path_factory.mktemp("runs") / "wine"
    certunl("train", place, *SMALL)
    certunl("prepare", place)
    return place


@pytest.fixture
def own_copy(prepared: Path, tmp_path: Path) -> Path:
    """The prepared folder, of one test's own."""
    return Path(shutil.copytree(prepared, tmp_path / "run"))


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
