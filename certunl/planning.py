"""What each order of evaluation costs, and retraining beside it: counted from the sizes, timed for about a second."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl.base import Params, width
from certunl.methods.hessian_free import HessianFree
from certunl.rows import gathering
from certunl.rows.gatherers import Backward, Forward
from certunl.training import sensitivity
from certunl.training.loop import follow
from certunl.training.run import Run
from certunl.training.workers import chunk_size, devices

__all__ = ["Order", "Plan", "plan"]

_STEPS = 8
"""How many steps of the schedule are timed."""
_QUERIES = 16
"""How many adjoint queries are timed together."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """One way: what it `gives`, floating-point operations, bytes of memory at once, bytes of rows to keep, seconds
    without compiling."""

    gives: str
    flops: float
    memory: float
    kept: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`orders` by name: "forward" and "backward" (rows of `units`, None for all), "vector" (one known request), "query"
    (one adjoint query), "retraining" (one request, exactly)."""

    units: tuple[int, ...] | None
    chunk: int
    orders: dict[str, Order]

    @property
    def method(self) -> HessianFree:
        """The cheaper way to all rows."""
        if self._order == "backward":
            return HessianFree(units=self.units, gather=Backward())
        return HessianFree(units=self.units, gather=Forward(self.chunk))

    @property
    def _order(self) -> str:
        return min("forward", "backward", key=lambda name: self.orders[name].seconds)

    @property
    def break_even(self) -> float:
        """How many requests, each retrained, cost as much as gathering all rows once."""
        return self.orders[self._order].seconds / self.orders["retraining"].seconds

    def __str__(self) -> str:
        lines = [f"{'order':<11}{'gives':<34}{'GFLOP':>10}{'memory':>12}{'kept':>12}{'seconds':>10}"]
        for name, o in self.orders.items():
            sizes = f"{o.memory / 2**20:>9.1f} MB{o.kept / 2**20:>9.1f} MB"
            lines.append(f"{name:<11}{o.gives:<34}{o.flops / 1e9:>10.3g}{sizes}{o.seconds:>10.3g}")
        one, again = self.orders["vector"].seconds, self.orders["retraining"].seconds
        better = "retraining, which is exact" if again <= one else "its vector"
        lines.append(f"cheapest for all rows: {self._order}; they cost {self.break_even:.3g} retrainings,")
        lines.append("so retrain where fewer requests will come and each can wait for it")
        lines.append(f"cheapest for one known request: {better}")
        return "\n".join(lines)


def plan(run: Run, units: tuple[int, ...] | None = None) -> Plan:
    """Counts and times the orders for `units` of `run` (default: all).

    FLOPs are XLA's count for the program of one step before it is optimised, scaled by steps, units and parameters; the
    backward and query orders count three steps of training for the recomputed states. Memory is the rows worked on and,
    backward, 2 √T states and the T x b cotangents; what a step computes on the way comes on top. Seconds extrapolate 8
    timed steps linearly; compiling, seconds for large networks, is apart.
    """
    owners, ids, whole = gathering.tracked(run, units)
    ids = ids[whole]
    steps, d = len(run.schedule), width(run.start)
    row, slots = sum(leaf.nbytes for leaf in jax.tree.leaves(run.start)), run.schedule.weights.nbytes
    chunk, queries = chunk_size(run, len(ids)), min(d, gathering.query_block(run))
    busy = np.resize(ids, min(len(ids), chunk * len(devices())))
    first, second = (_flops(run, owners, count) for count in (1, 2))
    each, once = second - first, 2 * first - second
    train, alone, block, one, many = (steps * s for s in _timed(run, owners, busy, chunk, min(queries, _QUERIES)))
    trajectory = 2 * math.isqrt(steps) * row + slots

    def order(gives: str, flops: float, memory: float, seconds: float, kept: float = 0.0) -> Order:
        return Order(gives=gives, flops=steps * flops, memory=float(memory), kept=float(kept), seconds=seconds)

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
    """Seconds per step of training, one vector, blocks on every core or device, one query, `queries` queries."""
    few = min(len(run.schedule), _STEPS)
    short = replace(run, schedule=jax.tree.map(lambda a: a[:few], run.schedule))
    known, numbers = np.unique(owners, return_inverse=True)
    gone = jnp.arange(len(owners)) == 0

    def ask(count: int) -> jax.Array:
        some: Params = jax.tree.map(lambda p: jnp.broadcast_to(p, (count, *p.shape)), run.params)
        return sensitivity.adjoint(short, jnp.asarray(numbers), some, len(known))

    works: list[Callable[[], Any]] = [
        lambda: follow(run.problem, run.recipe, run.start, short.schedule),
        lambda: sensitivity.vector(short, gone),
        lambda: gathering.forward(short, owners, busy, chunk, form="first_order"),
        lambda: ask(1),
        lambda: ask(queries),
    ]
    return [_seconds(work) / few for work in works]


def _seconds(work: Callable[[], Any]) -> float:
    """The least of a few runs after one that compiles, a fifth of a second in all."""
    jax.block_until_ready(work())
    found: list[float] = []
    while sum(found) < 0.2 and len(found) < 20:
        start = time.perf_counter()
        jax.block_until_ready(work())
        found.append(time.perf_counter() - start)
    return min(found)


def _flops(run: Run, owners: np.ndarray, units: int) -> float:
    """XLA's count for a block of `units` along one step."""
    one = replace(run, schedule=jax.tree.map(lambda a: a[:1], run.schedule))
    costs: Any = sensitivity.block.lower(one, owners, jnp.zeros(units, jnp.int32)).cost_analysis()
    return float(costs["flops"])
