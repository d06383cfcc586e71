"""Run folders: what the command line reads and adds to.

run            a run on disk, and what its settings describe
parts          the parts of a folder, whole or absent, secret ones for their owner alone
releases       lines of requests, their updates and releases
settings       what a run is built from, written down before it trains
"""

from certunl.folders.parts import check_name, exists, exposed, load_facts, load_part, part_names, save_part, secret
from certunl.folders.releases import (
    certificates,
    forgotten,
    load_releases,
    made_by,
    resume,
    save_release,
    stale,
    warnings,
)
from certunl.folders.run import Built, build, load_run, reserve, save_run
from certunl.folders.settings import adopt, compose

__all__ = [
    "Built",
    "adopt",
    "build",
    "certificates",
    "check_name",
    "compose",
    "exists",
    "exposed",
    "forgotten",
    "load_facts",
    "load_part",
    "load_releases",
    "load_run",
    "made_by",
    "part_names",
    "reserve",
    "resume",
    "save_part",
    "save_release",
    "save_run",
    "secret",
    "stale",
    "warnings",
]
