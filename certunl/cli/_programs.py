"""Compiled programs on disk, so that a verb need not compile what an earlier process has compiled."""

import hashlib
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

from certunl import registry
from certunl.errors import BadInput
from certunl.folders import RunFolder

__all__ = ["keeping_programs"]

_MOST = 2**28
"""The most bytes of programs that are kept."""


def keeping_programs(verb: Callable[..., None]) -> Callable[..., None]:
    """`verb`, with compiled programs read from and written to $XDG_CACHE_HOME/certunl (default: ~/.cache/certunl).

    Programs of the library get data, parameters and requests as arguments, so nothing personal is in them. Code from
    outside the library may hold data as constants, so nothing is kept from its import on. JAX's own settings go first:
    JAX_COMPILATION_CACHE_DIR names another folder, and JAX_ENABLE_COMPILATION_CACHE=0 turns it off.
    """

    @wraps(verb)
    def run(*args: Any, **settings: Any) -> None:
        # accelerators may tune a program together while it compiles, and would wait for who found it on a disk
        alone = not settings.get("distributed")
        folder = _folder() if alone and not _features(*args, **settings) else None
        with _kept(folder):
            verb(*args, **settings)

    return run


@contextmanager
def _kept(folder: Path | None) -> Iterator[None]:
    config: Any = jax.config
    if folder is None or config.jax_compilation_cache_dir or not config.jax_enable_compilation_cache:
        yield
        return
    values = {
        "jax_compilation_cache_dir": str(folder),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
    }
    before = {name: getattr(config, name) for name in values}
    try:
        _set(values)
        with registry.before_foreign_code(lambda: _set(before)):
            yield
    finally:
        _set(before)


def _set(values: dict[str, Any]) -> None:
    for name, value in values.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()  # JAX looks at its settings once


def _folder() -> Path | None:
    """The folder for this version of JAX and this kind of processor; None if it cannot be written."""
    try:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # a user without a home
        return None
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:  # another system
        text = platform.processor()
    lines = sorted({line for line in text.splitlines() if line.startswith(("flags", "Features", "model name"))})
    kind = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:8]
    folder = Path(home) / "certunl" / f"jax-{jax.__version__}-{platform.machine()}-{kind}"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        sizes = {path: path.stat().st_size for path in folder.iterdir()}
        full = sum(sizes.values()) > _MOST
        for path, size in sizes.items():
            if full or not size:  # JAX's own limit reads all entries at each write, and a kill breaks it
                path.unlink(missing_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def _features(folder: Path | None = None, *_: Any, **settings: Any) -> bool:
    """Whether the run sees the features of another run's network, whose parameters its functions hold."""
    try:
        whole = folder is not None and (folder / "run.json").is_file()
        facts: Any = RunFolder(folder).facts["settings"] if folder and whole else {}
    except BadInput:  # the verb says what is wrong with the folder
        return True
    return not isinstance(facts, dict) or bool(settings.get("features") or facts.get("features"))
