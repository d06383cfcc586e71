"""A new run folder, written whole or not at all."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from certunl import disk
from certunl.folders.arrays import save_arrays
from certunl.folders.ledger import Ledger
from certunl.folders.settings import Built, fingerprint
from certunl.training.run import Run

__all__ = ["FORMAT", "write_run"]

FORMAT = 5  # 4 had no ledger


def write_run(path: Path, run: Run, settings: dict[str, Any], built: Built) -> None:
    """Writes everything that a run folder holds before its first request."""
    provenance = {"origin": run.provenance.origin, "seal": run.provenance.seal}
    facts = {
        "format": FORMAT,
        "settings": settings,
        "provenance": provenance,
        "fingerprint": fingerprint(run, settings, built, provenance),
        "x64": jax.config.read("jax_enable_x64"),
        "versions": {name: version(name) for name in ("certunl", "jax", "jaxlib", "flax", "optax")},
        "device": f"{jax.devices()[0].device_kind}, {os.cpu_count()} CPUs {platform.machine()}",
    }
    with disk.whole(path) as partial:
        losses = {} if run.losses is None else {"losses": run.losses}
        schedule = {"start": run.start, "schedule": run.schedule.arrays()}
        for name, arrays in (("arrays", schedule), ("model", {"params": run.params} | losses)):
            facts[name] = save_arrays(partial / name, arrays)
            (partial / name).chmod(0o700)
        Ledger(partial / "ledger.sqlite", facts["fingerprint"]).create()
        if built.extractor is not None:
            save_arrays(partial / "features", built.extractor.params)
        if built.splits.plan is not None:
            disk.write_json(partial / "plan.json", built.splits.plan, mode=0o600)
        if (names := built.splits.owner_names) is not None:
            disk.write_json(partial / "owners.json", {n: i for i, n in enumerate(names)}, mode=0o600)
        disk.write_json(partial / "run.json", facts)
        (path / "plan.json").unlink(missing_ok=True)  # `announce` wrote it; the same is in the new folder
