"""Several processes that make the same calls together, by jax.distributed: how they begin, meet, and end."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from certunl.errors import BadInput, positive
from certunl.training.mesh import leave_mesh, use_mesh
from certunl.training.watch import Watch

__all__ = ["distributed", "meet", "told"]

_WATCH: ContextVar[Watch | None] = ContextVar("watch", default=None)


@contextmanager
def distributed(
    coordinator: str | None = None, processes: int | None = None, process: int | None = None, *, timeout: float = 600.0
) -> Iterator[Mesh]:
    """A context manager in which several processes, on one or more machines, do the work of each call together.

    Every process makes the same calls with the same keys, and gets the same results. Inside, `use_mesh` is in force
    with all devices of all processes. The processes of `HessianFree.store` write chunks of one store, each its own. If
    a process ends too early, the others end with a sentence and status 2; what is written stays, and the same calls go
    on from it with any number of processes. After the block the process works alone.

    One process alone should write releases, such as that with `jax.process_index() == 0`. What one process computes
    alone goes inside `use_mesh(jax.local_devices())`. A store belongs to all: they fill it and erase from it together.

    It calls `jax.distributed.initialize`, unless that was called before. So no array may be made before it.

    Args:
        coordinator: "address:port" of process 0. Default: what `torchrun` and its like put into MASTER_ADDR and
            MASTER_PORT, or what JAX finds out on Slurm, MPI, Kubernetes and TPU pods.
        processes: the number of processes. Default: WORLD_SIZE, or what JAX finds out.
        process: the number of this process, from 0. Default: RANK, or what JAX finds out.
        timeout: the most seconds that a process waits for the others to begin, and to agree on what is to be done.
            Nothing limits the work itself. Default: 600.

    Raises: BadInput if no cluster is found, or JAX cannot connect to it.
    """
    positive(timeout=timeout)
    ours = _join(coordinator, processes, process, timeout)
    with _watched(timeout, ours), use_mesh() as mesh:
        yield mesh


def meet(what: str, *, limited: bool = True) -> None:
    """Returns when every process has come here. `what` says where, in the same words in each.

    It is limited in time, unless the processes come from work that may take much longer in one than in another.
    """
    watch = _WATCH.get()
    with nullcontext() if watch is None or not limited else watch.limit(what):
        multihost_utils.sync_global_devices(what)


def told(numbers: np.ndarray) -> np.ndarray:
    """The array of process 0, to the bit. Every process makes this call, with an array of that shape and type.

    It returns when every process has come here, and nothing limits that time.
    """
    bits = np.ascontiguousarray(numbers).reshape(-1).view(np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(bits)).view(numbers.dtype).reshape(numbers.shape)


def _join(coordinator: str | None, processes: int | None, process: int | None, timeout: float) -> bool:
    """Joins the processes. True if this call did so, False if they were joined before."""
    if jax.distributed.is_initialized():
        return False
    settings: dict[str, Any] = {"coordinator_address": coordinator, "num_processes": processes, "process_id": process}
    settings = {name: value for name, value in settings.items() if value is not None}
    jax.config.update("jax_enable_recoverability", True)  # else an end by an error would wait for the other processes
    try:
        settings = settings or _of_torchrun()
        jax.distributed.initialize(**settings, initialization_timeout=max(1, int(timeout)))
    except (RuntimeError, ValueError) as error:  # ValueError: nothing says where the cluster is
        raise BadInput(
            f"the processes cannot be joined ({str(error).splitlines()[0]}); start them by srun, mpirun or torchrun, "
            "or give coordinator, processes and process, before anything else uses JAX"
        ) from error
    return True


def _of_torchrun() -> dict[str, Any]:
    """The settings that the variables of torchrun and its like stand for; none without them."""
    words = os.environ
    if not {"MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK"} <= set(words):
        return {}
    # torchrun's own agent listens at the port
    port = int(words["MASTER_PORT"]) + (words.get("TORCHELASTIC_USE_AGENT_STORE") == "True")
    settings: dict[str, Any] = {"coordinator_address": f"{words['MASTER_ADDR']}:{port}"}
    settings |= {"num_processes": int(words["WORLD_SIZE"]), "process_id": int(words["RANK"])}
    if int(words.get("LOCAL_WORLD_SIZE", "1")) > 1:  # else each process would take all accelerators of the machine
        settings["local_device_ids"] = [int(words["LOCAL_RANK"])]
    return settings


@contextmanager
def _watched(timeout: float, ours: bool) -> Iterator[None]:
    """A block in which this process ends with a sentence when another one ends too early.

    After the block it leaves JAX's cluster if `ours`, which is if this module joined it.
    """
    count, rank = jax.process_count(), jax.process_index()
    if count == 1 or _WATCH.get() is not None:
        yield
        return
    watch = Watch(rank, count, timeout, _end)
    with watch.limit("the beginning"):
        watch.connect(lambda address: bytes(multihost_utils.broadcast_one_to_all(np.frombuffer(address, np.uint8))))
    token = _WATCH.set(watch)
    try:
        yield
    except BaseException as error:
        watch.fail(f"{type(error).__name__}: {error}".splitlines()[0])
        raise
    finally:
        _WATCH.reset(token)
    watch.leave()
    if not ours:
        watch.close()
    elif rank:
        jax.distributed.shutdown()
        watch.close()
    else:
        watch.close()
        jax.distributed.shutdown()
    if ours:
        leave_mesh()


def _end(sentence: str) -> None:
    """Ends the process at once: its other threads wait for a process that will not come."""
    sys.stderr.write(f"certunl: {sentence}; what is written stays, and the same command goes on from it\n")
    sys.stderr.flush()
    os._exit(2)
