"""Programs along one schedule, with the batch of each step spread over the devices of `use_mesh`."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax.numpy as jnp

from certunl.training.coupling import coupled
from certunl.training.mesh import fetched, home_of, in_force
from certunl.training.placing import in_parts
from certunl.training.run import Run

__all__ = ["by_batches"]


def by_batches(work: Callable[..., Any], run: Run, *inputs: Any) -> Any:
    """work(run, *inputs), where each device of `use_mesh` computes a part of every batch.

    The compiler finds from the places of the schedule's slots that sums over a batch need an all-reduce. A batch that
    the devices do not divide is filled up with slots of weight 0. Everything runs on one device outside `use_mesh`, for
    inputs on the host, and if a filled-up batch would change losses that depend on the whole batch. Parameters in parts
    stay where they are.

    Args:
        work: a compiled function, in which a slot of weight 0 changes nothing.
        run: its first argument, a run with a history.
        inputs: the other arguments, of which each device gets a copy.
    """
    worker = in_force()
    if worker is None or worker.rule is not None or len(worker) == 1:
        return work(run, *inputs)
    if run.problem.data.on_host or in_parts(run.start):
        return work(run, *inputs)
    short = -run.schedule.indices.shape[1] % len(worker)
    if short and coupled(run):
        return work(run, *inputs)
    whole, copies = worker.copied((run, inputs), "batch")
    slots = {
        "indices": jnp.pad(run.schedule.indices, ((0, 0), (0, short)), mode="edge"),  # an example of the same batch
        "weights": jnp.pad(run.schedule.weights, ((0, 0), (0, short))),
    }
    whole = replace(whole, schedule=replace(whole.schedule, **worker.split(slots, "batch", at=1)))
    return fetched(work(whole, *copies), home_of(run.params))
