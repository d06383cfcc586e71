"""Compiled programs on disk, so that a verb need not compile what an earlier process has compiled."""

import hashlib
import importlib.metadata
import os
import platform
import re
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

    Programs of the library get data, parameters and requests as arguments, so nothing personal is in them. A model or a
    function of the user's may hold data as constants, so nothing is kept for them. JAX's own settings go first:
    JAX_COMPILATION_CACHE_DIR names another folder, and JAX_ENABLE_COMPILATION_CACHE=0 turns it off.
    """

    @wraps(verb)
    def run(*args: Any, **settings: Any) -> None:
        folder = None if _foreign(*args, **settings) else _folder()
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


def _foreign(folder: Path | None = None, *_: Any, **settings: Any) -> bool:
    """Whether a part of the work comes from outside the library."""
    try:
        facts: Any = {}
        if folder and (folder / "run.json").is_file():
            place = RunFolder(folder)
            facts = place.facts["settings"]
            # later verbs build the methods of earlier requests again
            if any(":" in entry.order.method for entry in place.ledger.entries()):
                return True
    except BadInput:  # the verb says what is wrong with the folder
        return True
    if not isinstance(facts, dict) or settings.get("features") or facts.get("features"):
        return True
    parts = {**facts, **{name: value for name, value in settings.items() if value is not None}}
    words = [str(parts.get(name, "")) for name in ("dataset", "model", "loss", "method", "methods", "set", "recipe")]
    installed = any(importlib.metadata.entry_points(group=f"certunl.{room}") for room in registry.ROOMS)
    return installed or any(re.search(r"\w:[^\W\d]", word) for word in words)
