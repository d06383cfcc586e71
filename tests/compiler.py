"""What the compiler is told while the tests run: as little optimisation as it knows how to do."""

import os
import subprocess
import sys

__all__ = ["FAST", "Dies", "known"]

# Nearly all the time of a test goes into compiling what then runs for milliseconds; without optimising that takes two
# fifths of it.
FAST = (
    "--xla_backend_optimization_level=0",
    "--xla_llvm_disable_expensive_passes=true",
    "--xla_cpu_use_fusion_emitters=false",
)


class Dies(Exception):
    """JAX ends its process at the start; the message holds its last words."""


def known(flags: tuple[str, ...]) -> str:
    """Those of `flags` that this jaxlib knows, as XLA_FLAGS. An unknown one would end every test process without a
    word: a child process is asked.

    Raises: Dies where JAX does not start for another reason.
    """
    while True:
        asked = subprocess.run(
            [sys.executable, "-c", "import jax; jax.devices()"],
            env={**os.environ, "XLA_FLAGS": " ".join(flags)},
            capture_output=True,
            text=True,
        )
        if asked.returncode == 0:
            return " ".join(flags)
        refused = asked.stderr.partition("Unknown flag")[2].split()
        fewer = tuple(flag for flag in flags if flag not in refused)
        if len(fewer) == len(flags):
            words = asked.stderr.strip().splitlines() or ["no word"]
            raise Dies(f"exit status {asked.returncode}: {words[-1]}")
        flags = fewer
