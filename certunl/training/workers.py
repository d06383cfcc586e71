"""How many units go through the schedule together, and where: the block of their rows should stay in cache."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax

from certunl.training.run import Run
from certunl.training.streaming import example_bytes

__all__ = ["Device", "chunk_size", "devices", "spread"]

Device = Any
"""One of `jax.devices()`."""

_CACHE_BYTES = 3 * 2**20
"""What the rows of one block may take on a CPU."""
_MEMORY_BYTES, _DEVICE_BYTES = 2**29, 4 * 2**30
"""What the rows of one block and what their step computes may take: on a CPU, for each core; on another device."""


def devices() -> list[Device]:
    """One entry for each block that can be worked on at once: the first CPU once for every core that this process may
    use (XLA runs a block's small products on one of them), or every local accelerator once."""
    if jax.default_backend() != "cpu":
        return jax.local_devices()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return [jax.local_devices()[0]] * cores


def chunk_size(run: Run, units: int) -> int:
    """Units to a block: on a CPU at most 3 MiB of rows, and never more than the memory of one step allows; as many
    blocks as make all `devices` end together."""
    row = sum(leaf.nbytes for leaf in jax.tree.leaves(run.start))
    step = row + run.schedule.indices.shape[1] * example_bytes(run.problem, run.start)
    on_cpu = jax.default_backend() == "cpu"
    most = min(_CACHE_BYTES // row, _MEMORY_BYTES // step) if on_cpu else _DEVICE_BYTES // step
    workers = len(devices())
    rounds = -(-units // (max(1, most) * workers))
    return max(1, -(-units // (rounds * workers)))


def spread(work: Callable[[Any, Device], Any], items: Sequence[Any]) -> Iterator[Any]:
    """work(item, device) for each item, in order, one at a time on each of `devices()`.

    The first is begun by the caller's thread, which compiles; a CPU device runs what different threads give it at once.
    """
    places = devices()
    config: Any = jax.config
    x64, precision = config.jax_enable_x64, config.jax_default_matmul_precision

    def ready(item: Any, place: Device) -> Any:
        # a new thread has the settings JAX began with, not those in force where `spread` was called
        with jax.enable_x64(x64), jax.default_matmul_precision(precision):
            return jax.block_until_ready(work(item, place))

    with ThreadPoolExecutor(len(places)) as pool:
        waiting: deque[Future[Any]] = deque()
        try:
            for number, item in enumerate(items):
                if len(waiting) == len(places):
                    yield waiting.popleft().result()
                place = places[number % len(places)]
                if number == 0:
                    waiting.append(pool.submit(jax.block_until_ready, work(item, place)))
                else:
                    waiting.append(pool.submit(ready, item, place))
            while waiting:
                yield waiting.popleft().result()
        finally:
            for left in waiting:
                left.cancel()
