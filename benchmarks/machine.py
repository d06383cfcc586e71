"""The commit, versions and device of a measurement."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

__all__ = ["commit", "device", "versions"]

_ROOT = Path(__file__).resolve().parents[1]
_LOAD = os.getloadavg()[0]
"""Load of other work before ours begins. It slows everything, most of all spinning threads such as torch's."""


def _git(*words: str) -> str:
    return subprocess.run(["git", "-C", str(_ROOT), *words], capture_output=True, text=True).stdout.strip()


def commit() -> str:
    """The short hash, with "-dirty" if anything but the results differs from it."""
    changed = _git("status", "--porcelain", "--", ".", ":(exclude)benchmarks/results")
    return (_git("rev-parse", "--short", "HEAD") or "unknown") + ("-dirty" if changed else "")


def versions(with_torch: bool) -> dict[str, str]:
    names = ["certunl", "jax", "jaxlib", "numpy", *(["torch"] if with_torch else [])]
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in names}}


def device(with_torch: bool) -> dict[str, Any]:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [text.split(":")[1].strip() for text in lines if text.startswith("model name")]
    facts: dict[str, Any] = {
        "kind": jax.devices()[0].device_kind,
        "backend": jax.default_backend(),
        "cpu": models[0] if models else platform.processor(),
        "cpu_count": os.cpu_count(),
        "load_average_before": _LOAD,
    }
    if with_torch:
        import torch

        facts |= {"torch": "cuda" if torch.cuda.is_available() else "cpu", "torch_threads": torch.get_num_threads()}
    return facts
