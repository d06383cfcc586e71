"""The number of units in a block, and the workers that compute blocks. The rows of a block should stay in cache."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax

from certunl.base import nbytes
from certunl.training.mesh import Worker, in_force
from certunl.training.placing import across, devices_of, in_parts
from certunl.training.run import Run
from certunl.training.streaming import example_bytes

__all__ = ["chunk_size", "spread", "unit_bytes", "workers"]

_CACHE_BYTES = 3 * 2**20
"""The most bytes that the rows of one block may take on a CPU."""
_MEMORY_BYTES, _DEVICE_BYTES = 2**29, 4 * 2**30
"""The most bytes that the rows of one block and their step may take: for each core of a CPU, and on another device."""


def workers(run: Run) -> list[Worker]:
    """One entry for each block of work on `run` that can be computed at the same time.

    Inside `use_mesh` its devices are one worker: a block is spread over them. Otherwise all local accelerators are one,
    or the first alone if the inputs stay on the host. A CPU's first device appears once for every core that this
    process may use, because XLA runs a block's small products on one core. Parameters in parts stay on their devices.
    """
    worker = in_force()
    if in_parts(run.start) and (worker is None or worker.rule is None):
        return [Worker(devices_of(run.start), "sharded")]
    if worker is not None:
        return [worker]
    if jax.default_backend() != "cpu":
        return [Worker(tuple(jax.local_devices()[: 1 if run.problem.data.on_host else None]))]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return [Worker((jax.local_devices()[0],))] * cores


def chunk_size(run: Run, units: int, team: Sequence[Worker] | None = None) -> int:
    """The number of units in a block, a multiple of the number of devices over which a worker spreads them.

    A device has at most 3 MiB of rows of a block if it is a CPU, and never more than the memory of one step allows.
    Within that limit the blocks are spread evenly over `team`, by default `workers`, so that all end at about the same
    time. Another device than a CPU gets a power of two.
    """
    team = workers(run) if team is None else team
    row, step = _row_bytes(run, team[0]), unit_bytes(run, team[0])
    on_cpu = team[0].devices[0].platform == "cpu"
    most = min(_CACHE_BYTES // row, _MEMORY_BYTES // step) if on_cpu else _DEVICE_BYTES // step
    count = sum(map(across, team))
    rounds = -(-units // (max(1, most) * count))
    each = max(1, -(-units // (rounds * count)))
    if not on_cpu:  # libtpu compiled a CNN's block of 512 units in a minute, and one of 938 not within three
        each = 1 << (each.bit_length() - 1)
    return each * across(team[0])


def unit_bytes(run: Run, worker: Worker) -> int:
    """The bytes that are reckoned with for the row of one unit and its step, on one device of `worker`."""
    return _row_bytes(run, worker) + run.schedule.indices.shape[1] * example_bytes(run.problem, run.start)


def _row_bytes(run: Run, worker: Worker) -> int:
    """The bytes of the row of one unit on one device, which has a part of it if parameters lie in parts."""
    return nbytes(run.start) if worker.rule is None else -(-nbytes(run.start) // len(worker))


def spread(work: Callable[[Any, Worker], Any], items: Sequence[Any], team: Sequence[Worker]) -> Iterator[Any]:
    """work(item, worker) for each item, in order, with one item at a time on each of `team`.

    The caller's thread begins the first item and so compiles the program. A CPU device computes the items of different
    threads in parallel. A single worker needs no thread: JAX queues an item behind the last one.
    """
    if len(team) == 1:
        yield from _in_turn(work, items, team[0])
        return
    config: Any = jax.config
    x64, precision = config.jax_enable_x64, config.jax_default_matmul_precision

    def ready(item: Any, worker: Worker) -> Any:
        # a new thread starts with JAX's global settings, not with those in force at the call of `spread`
        with jax.enable_x64(x64), jax.default_matmul_precision(precision):
            return jax.block_until_ready(work(item, worker))

    with ThreadPoolExecutor(len(team)) as pool:
        waiting: deque[Future[Any]] = deque()
        try:
            for number, item in enumerate(items):
                if len(waiting) == len(team):
                    yield waiting.popleft().result()
                worker = team[number % len(team)]
                if number == 0:
                    waiting.append(pool.submit(jax.block_until_ready, work(item, worker)))
                else:
                    waiting.append(pool.submit(ready, item, worker))
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _in_turn(work: Callable[[Any, Worker], Any], items: Sequence[Any], worker: Worker) -> Iterator[Any]:
    """The results of one worker. JAX starts an item before the last one has ended, and returns at once."""
    last: list[Any] = []
    for item in items:
        result = work(item, worker)
        if last:
            yield jax.block_until_ready(last.pop())
        last.append(result)
    if last:
        yield jax.block_until_ready(last.pop())
