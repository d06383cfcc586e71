"""The cost of each order of evaluation and of retraining, counted from the sizes and timed for about a second."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl.base import Params, nbytes, width
from certunl.methods.hessian_free import HessianFree
from certunl.rows import gathering
from certunl.rows.gatherers import Backward, Forward
from certunl.training import sensitivity
from certunl.training.loop import follow
from certunl.training.run import Run
from certunl.training.workers import chunk_size, workers

__all__ = ["Order", "Plan", "plan", "seconds_of", "step_flops"]

_STEPS = 8
"""Number of steps of the schedule that are timed."""
_QUERIES = 16
"""Number of adjoint queries that are timed together."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """The cost of one order of evaluation.

    Args:
        gives: the result, in words.
        flops: floating-point operations.
        memory: bytes in memory at one time.
        kept: bytes of the rows that remain.
        seconds: time without compilation.
    """

    gives: str
    flops: float
    memory: float
    kept: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The costs of all orders for one run. `print` shows them as a table.

    Args:
        units: the units whose rows are planned; None for all.
        chunk: number of units in a block of the forward order.
        orders: the costs by name. "forward" and "backward" give all rows, "vector" the vector of one known request,
            "query" the answer to one adjoint query, and "retraining" the exact model for one known request.
    """

    units: tuple[int, ...] | None
    chunk: int
    orders: dict[str, Order]

    @property
    def method(self) -> HessianFree:
        """The method that gathers the rows in the order of fewer seconds."""
        if self._order == "backward":
            return HessianFree(units=self.units, gather=Backward())
        return HessianFree(units=self.units, gather=Forward(self.chunk))

    @property
    def _order(self) -> str:
        return min("forward", "backward", key=lambda name: self.orders[name].seconds)

    @property
    def break_even(self) -> float:
        """The number of retrainings that take as long as gathering all rows once."""
        return self.orders[self._order].seconds / self.orders["retraining"].seconds

    def __str__(self) -> str:
        lines = [f"{'order':<11}{'gives':<34}{'GFLOP':>10}{'memory':>12}{'kept':>12}{'seconds':>10}"]
        for name, o in self.orders.items():
            sizes = f"{o.memory / 2**20:>9.1f} MB{o.kept / 2**20:>9.1f} MB"
            lines.append(f"{name:<11}{o.gives:<34}{o.flops / 1e9:>10.3g}{sizes}{o.seconds:>10.3g}")
        one, again = self.orders["vector"].seconds, self.orders["retraining"].seconds
        better = "retraining, which is exact" if again <= one else "its vector"
        lines.append(f"cheapest for all rows: {self._order}; the rows cost {self.break_even:.3g} retrainings,")
        lines.append("so retrain if fewer requests are expected and each can wait for its retraining")
        lines.append(f"cheapest for one known request: {better}")
        return "\n".join(lines)


def plan(run: Run, units: tuple[int, ...] | None = None) -> Plan:
    """The Plan of `run`, counted and timed.

    FLOPs are XLA's count for the program of one step before optimisation, scaled by the numbers of steps, units and
    parameters. The backward and query orders count three steps of training for each step, because they recompute
    states. Memory is that of the current rows and, for the backward and query orders, of 2 √T states and the T x b
    cotangents. The intermediate values of a step come on top. Seconds are a linear extrapolation of 8 timed steps.
    They do not include compilation, which takes seconds for large networks.

    Args:
        run: the training run.
        units: the units whose rows are planned (examples, or owners if the data have them); default: all.
    """
    run.need_history("a plan")
    run.need_one_model("a plan of rows")
    owners, ids, whole = gathering.tracked(run, units)
    ids = ids[whole]
    steps, d = len(run.schedule), width(run.start)
    row, slots = nbytes(run.start), run.schedule.weights.nbytes
    chunk, queries = chunk_size(run, len(ids)), min(d, gathering.query_block(run))
    busy = np.resize(ids, min(len(ids), chunk * len(workers(run))))
    once, each = step_flops(run)
    first = once + each
    train, alone, block, one, many = (steps * s for s in _timed(run, owners, busy, chunk, min(queries, _QUERIES)))
    trajectory = 2 * math.isqrt(steps) * row + slots

    def order(gives: str, flops: float, memory: float, seconds: float, stored: float = 0.0) -> Order:
        return Order(gives=gives, flops=steps * flops, memory=float(memory), kept=float(stored), seconds=seconds)

    rows = f"rows of {len(ids):,} units"
    passes = math.ceil(d / queries)
    orders = {
        "forward": order(
            rows, once + each * len(ids), row * len(busy), block * math.ceil(len(ids) / len(busy)), row * len(ids)
        ),
        "backward": order(
            f"the same, {d:,} adjoint passes",
            3 * once * passes + each * d,
            trajectory + queries * (row + slots),
            many * d / min(queries, _QUERIES),
            row * len(ids),
        ),
        "vector": order("one known request's vector", first, 2 * row, alone),
        "query": order("one number for every unit", 3 * once + each, trajectory + row, one),
        "retraining": order("one known request, exactly", once, 2 * row, train),
    }
    return Plan(units=units, chunk=chunk, orders=orders)


def _timed(run: Run, owners: np.ndarray, busy: np.ndarray, chunk: int, queries: int) -> list[float]:
    """Seconds per step of training, one vector, a block on each core or device, one query and `queries` queries."""
    few = min(len(run.schedule), _STEPS)
    short = replace(run, schedule=jax.tree.map(lambda a: a[:few], run.schedule))
    labels, numbers = np.unique(owners, return_inverse=True)
    gone = jnp.arange(len(owners)) == 0

    def ask(count: int) -> jax.Array:
        some: Params = jax.tree.map(lambda p: jnp.broadcast_to(p, (count, *p.shape)), run.params)
        return gathering.answers(short, jnp.asarray(numbers), some, len(labels))

    works: list[Callable[[], Any]] = [
        lambda: follow(run.problem, run.recipe, run.start, short.schedule),
        lambda: sensitivity.vector(short, gone),
        lambda: gathering.forward(short, owners, busy, chunk, form="first_order"),
        lambda: ask(1),
        lambda: ask(queries),
    ]
    return [seconds_of(work) / few for work in works]


def seconds_of(work: Callable[[], Any]) -> float:
    """The shortest of up to 20 runs, a fifth of a second in all."""
    jax.block_until_ready(work())  # compiles
    times: list[float] = []
    while sum(times) < 0.2 and len(times) < 20:
        start = time.perf_counter()
        jax.block_until_ready(work())
        times.append(time.perf_counter() - start)
    return min(times)


def step_flops(run: Run) -> tuple[float, float]:
    """XLA's counts of floating-point operations: those of one step of training, and those that each row adds to it."""
    one = replace(run, schedule=jax.tree.map(lambda a: a[:1], run.schedule))
    owners = jnp.arange(len(run.present))

    def count(units: int) -> float:
        costs: Any = sensitivity.block.lower(one, owners, jnp.zeros(units, jnp.int32)).cost_analysis()
        return float(costs["flops"])

    first, second = count(1), count(2)
    return 2 * first - second, second - first
