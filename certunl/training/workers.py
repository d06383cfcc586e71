"""The number of units in a block, and the devices that compute blocks. The rows of a block should stay in cache."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax

from certunl.base import nbytes
from certunl.training.run import Run
from certunl.training.streaming import example_bytes

__all__ = ["Device", "chunk_size", "devices", "spread"]

Device = Any
"""One of `jax.devices()`."""

_CACHE_BYTES = 3 * 2**20
"""The most bytes that the rows of one block may take on a CPU."""
_MEMORY_BYTES, _DEVICE_BYTES = 2**29, 4 * 2**30
"""The most bytes that the rows of one block and their step may take: for each core of a CPU, and on another device."""


def devices() -> list[Device]:
    """One entry for each block that can be computed at the same time.

    On a CPU the first device appears once for every core that this process may use, because XLA runs a block's small
    products on one core. Otherwise every local accelerator appears once.
    """
    if jax.default_backend() != "cpu":
        return jax.local_devices()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return [jax.local_devices()[0]] * cores


def chunk_size(run: Run, units: int) -> int:
    """The number of units in a block.

    A block has at most 3 MiB of rows on a CPU, and never more than the memory of one step allows. Within that limit the
    blocks are spread evenly over `devices`, so that all devices end at about the same time.
    """
    row = nbytes(run.start)
    step = row + run.schedule.indices.shape[1] * example_bytes(run.problem, run.start)
    on_cpu = jax.default_backend() == "cpu"
    most = min(_CACHE_BYTES // row, _MEMORY_BYTES // step) if on_cpu else _DEVICE_BYTES // step
    workers = len(devices())
    rounds = -(-units // (max(1, most) * workers))
    return max(1, -(-units // (rounds * workers)))


def spread(work: Callable[[Any, Device], Any], items: Sequence[Any]) -> Iterator[Any]:
    """work(item, device) for each item, in order, with one item at a time on each entry of `devices()`.

    The caller's thread begins the first item and so compiles the program. A CPU device computes the items of different
    threads in parallel.
    """
    places = devices()
    config: Any = jax.config
    x64, precision = config.jax_enable_x64, config.jax_default_matmul_precision

    def ready(item: Any, place: Device) -> Any:
        # a new thread starts with JAX's global settings, not with those in force at the call of `spread`
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
            for future in waiting:
                future.cancel()
