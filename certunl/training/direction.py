"""The sign of an optax transformation: does it give a direction, or the step of a complete optimizer?"""

import contextlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from certunl.base import Params
from certunl.errors import BadInput, warn
from certunl.training.modules import said

__all__ = ["foreign", "sign_of", "warn_of_two_rates"]

_FIRST, _MOST = 3, 10_000
"""Steps that are tried one by one, and steps in all."""


@contextlib.contextmanager
def foreign() -> Iterator[None]:
    """JAX's usual promotion of dtypes and ranks, on which optax relies, whatever the user's modes are."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def sign_of(optimizer: Any, params: Params) -> float:
    """The sign with which updates for a tree like `params` are added: −1 for a direction, 1 for a complete optimizer.

    It is that of ⟨u(g) − u(−g), g⟩ at the first step with u(g) != u(−g), for a small fixed gradient g. The difference
    holds neither a decay of the weights nor noise. So the transformation meets the structure, shapes and dtypes of the
    real parameters, and may stand still while it warms up.

    Raises: BadInput for a transformation that never moves, that moves some arrays along the gradient and others
    against it, or that does not take such parameters.
    """
    return _measured(optimizer, *_like(params))[0]


def warn_of_two_rates(optimizer: Any, params: Params, rates: Any) -> None:
    """Warns of a complete optimizer whose own learning rate is constant, clearly below 1, and multiplied by `rates`."""
    own = None if isinstance(optimizer, str) else _measured(optimizer, *_like(params))[1]
    if own is not None and own < 0.5 and not (np.asarray(rates) == 1).all():
        warn(
            f"the optimizer seems to have a learning rate of its own, about {own:.2g}, by which Recipe(learning_rate) "
            "is multiplied; give it the learning rate 1, or choose Recipe(learning_rate=1)"
        )


def _like(params: Params) -> tuple[Any, tuple[tuple[tuple[int, ...], str], ...]]:
    leaves, structure = jax.tree.flatten(params)
    return structure, tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves)


@lru_cache(maxsize=256)
def _measured(
    optimizer: Any, structure: Any, leaves: tuple[tuple[tuple[int, ...], str], ...]
) -> tuple[float, float | None]:
    """(the sign, the own rate of a complete optimizer if it is constant and can be told)."""
    with jax.ensure_compile_time_eval(), foreign():
        params = structure.unflatten([jnp.ones(shape, dtype) for shape, dtype in leaves])
        grads = structure.unflatten([jnp.asarray(_alternating(shape), dtype) for shape, dtype in leaves])
        try:
            change, state, step = _moved(optimizer, grads, params)
        except BadInput:
            raise
        except Exception as error:  # a transformation of the user's can fail in any way
            raise BadInput(f"the optax transformation does not take these parameters ({said(error)})") from error
        pairs = zip(jax.tree.leaves(change), jax.tree.leaves(grads), strict=True)
        products = np.array([_product(u, g) for u, g in pairs])
        if (products > 0).any() and (products < 0).any():
            raise BadInput(
                "the optax transformation moves some parameters along the gradient and others against it; give every "
                "part a complete optimizer of learning rate 1, such as optax.sgd(1.0)"
            )
        if not (products < 0).any():
            return -1.0, None
        return 1.0, None if step or _scheduled(state) else _rate(optimizer, params, grads, change)


def _alternating(shape: tuple[int, ...]) -> np.ndarray:
    """±1e-3 in turn."""
    return np.where(np.arange(int(np.prod(shape))) % 2, -1e-3, 1e-3).reshape(shape)


def _opposed(optimizer: Any, grads: Params, states: Any, params: Params) -> tuple[Params, Any]:
    """((u(g) − u(−g))/2, the two states after the step), u being the update from the state of each."""
    ways = grads, jax.tree.map(jnp.negative, grads)
    (up, one), (down, other) = (optimizer.update(g, s, params) for g, s in zip(ways, states, strict=True))
    return jax.tree.map(lambda a, b: (a - b) / 2, up, down), (one, other)


def _moved(optimizer: Any, grads: Params, params: Params) -> tuple[Params, Any, int]:
    """(the first difference that is not 0, the state after it, the number of its step)."""
    states = (optimizer.init(params),) * 2
    for step in range(_FIRST):
        change, states = _opposed(optimizer, grads, states, params)
        if _any(change):
            return change, states[0], step

    def still(carry: Any) -> Any:
        return (carry[2] < _MOST) & ~_any(carry[0])

    def go(carry: Any) -> Any:
        return *_opposed(optimizer, grads, carry[1], params), carry[2] + 1

    change, states, count = jax.jit(lambda carry: jax.lax.while_loop(still, go, carry))((change, states, _FIRST))
    if not bool(_any(change)):
        raise BadInput(
            f"the optax transformation follows no gradient in {_MOST:,} steps; use one that moves some parameter, such "
            "as optax.sgd(1.0)"
        )
    return change, states[0], int(count) - 1


def _any(updates: Params) -> Any:
    return jnp.any(jnp.stack([jnp.any(jnp.nan_to_num(leaf) != 0) for leaf in jax.tree.leaves(updates)]))


def _rate(optimizer: Any, params: Params, grads: Params, change: Params) -> float | None:
    """The size of a first update beside that of an update of rate 1; None if it grows in another way than both."""
    moving = jax.tree.map(lambda u, g: g * (u != 0).astype(g.dtype), change, grads)
    count = float(np.sqrt(sum(int(jnp.sum(g != 0)) for g in jax.tree.leaves(moving))))
    begin = (optimizer.init(params),) * 2
    twice, _ = _opposed(optimizer, jax.tree.map(lambda g: 2 * g, grads), begin, params)
    size, once, doubled = (_product(tree, moving) for tree in (moving, change, twice))
    if abs(doubled / once - 2) < 0.02:  # updates in proportion to the gradient
        return -once / size
    if abs(doubled / once - 1) < 0.02:  # updates of the same size for every gradient
        return -once / (np.sqrt(size) * count)
    return None


def _product(a: Params, b: Params) -> float:
    product: Any = optax.tree.vdot(*(jax.tree.map(lambda leaf: leaf.astype(jnp.float32), tree) for tree in (a, b)))
    return float(product)


def _scheduled(state: Any) -> bool:
    """Whether a part of an optimizer's state counts the steps of a schedule, holds rates, or is of a trust ratio."""
    if type(state).__name__ in ("ScaleByScheduleState", "ScaleByTrustRatioState") or hasattr(state, "hyperparams"):
        return True
    parts = state.values() if isinstance(state, dict) else state if isinstance(state, tuple | list) else ()
    return any(_scheduled(part) for part in parts)
