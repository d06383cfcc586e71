"""Are all numbers the same, to the last bit, before and after a change of the code?

    python -m benchmarks.same_numbers record FILE.json
    python -m benchmarks.same_numbers compare FILE.json [--text] [--rtol 1e-4]

Each number is computed on the CPU, in float32 and in float64. `compare` prints each number that differs, and exits with
1 if any does. `--text` also compares the wording of refusals and of certificates with masked digits. `--rtol` is for
another machine, Python or XLA. It compares numbers within rounding, and no digests. Released parameters, seconds and
other results of the system's entropy are not recorded. Last bits depend on the number of cores (dense solves), which is
recorded. With JAX_COMPILATION_CACHE_DIR and JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0 only changed programs are
compiled again.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import certunl as cu
from benchmarks.machine import commit, versions
from benchmarks.recorded import record

ROOT = Path(__file__).resolve().parents[1]
FLAGS = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
UNFUSED = " --xla_cpu_use_fusion_emitters=false"
"""Compiling takes nearly all the time, so the compiler does not optimise. JAX 0.12 does not know the last one."""
LEAST = 0.1
"""Smaller numbers are compared as if they had this size, because rounding residuals differ on every machine."""


def both_precisions() -> dict[str, Any]:
    """All numbers. Each precision has its own process."""
    made: dict[str, Any] = {"commit": commit(), "cores": cores(), **versions(False)}
    found: dict[str, Any] = {"made": made, "numbers": {}, "texts": {}}
    fused = tuple(map(int, made["jax"].split(".")[:2])) >= (0, 11)
    settings = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": FLAGS + ("" if fused else UNFUSED), **os.environ}
    for precision, x64 in (("float32", "0"), ("float64", "1")):
        with tempfile.NamedTemporaryFile() as file:
            command = [sys.executable, "-m", "benchmarks.same_numbers", "part", file.name]
            subprocess.run(command, cwd=ROOT, env=settings | {"JAX_ENABLE_X64": x64}, check=True)
            for kind, held in json.loads(Path(file.name).read_text()).items():
                found[kind] |= {f"{precision}/{name}": value for name, value in held.items()}
    return found


def cores() -> int | None:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def difference(before: str | None, after: str | None, rtol: float | None) -> str | None:
    """The difference of two notes of one name, in words, or None. Without `rtol` every bit counts."""
    if before == after or (rtol is not None and {str(before)[:6], str(after)[:6]} == {"sha256"}):
        return None
    try:
        one, other = float.fromhex(str(before)), float.fromhex(str(after))
    except ValueError:
        return f"{before} -> {after}"
    largest = max(abs(one), abs(other))
    if rtol is not None and abs(one - other) <= rtol * max(largest, LEAST):
        return None
    return f"{one:.9g} -> {other:.9g}, relative {abs(one - other) / (largest or 1.0):.2g}"


def compare(before: dict[str, Any], after: dict[str, Any], *, text: bool, rtol: float | None) -> list[str]:
    """One line for each name whose notes differ."""
    lines = []
    for kind in ("numbers", "texts") if text else ("numbers",):
        for name in dict.fromkeys([*before[kind], *after[kind]]):
            if told := difference(before[kind].get(name), after[kind].get(name), rtol):
                lines.append(f"{name}: {told}")
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("record", "compare", "part"), help="part: one precision, for the other two")
    parser.add_argument("file", type=Path)
    parser.add_argument("--text", action="store_true", help="compare wording as well")
    parser.add_argument("--rtol", type=float, help="compare numbers within this relative difference, and no digests")
    given = parser.parse_args(argv)
    if ROOT not in Path(cu.__file__).resolve().parents:
        parser.error(f"certunl comes from {Path(cu.__file__).parent}, not from beside this script")
    found = vars(record()) if given.verb == "part" else both_precisions()
    if given.verb != "compare":
        given.file.write_text(json.dumps(found, indent=1))
        return 0
    before = json.loads(given.file.read_text())
    lines = compare(before, found, text=given.text, rtol=given.rtol)
    print("\n".join([f"before: {before['made']}", f"after: {found['made']}", *lines]))
    print(f"{len(lines)} of {len(found['numbers'])} numbers and {len(found['texts'])} texts differ")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
