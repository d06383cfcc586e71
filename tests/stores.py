"""A small store of rows that are known: unit u's are the same every time, in any process."""

import jax
import jax.numpy as jnp
import numpy as np

from certunl.rows.store import Store

M, CHUNK = 10, 4
LIKE = {"b": jnp.zeros(3, jnp.float32), "w": jnp.zeros((2, 4), jnp.float32)}
UNITS = np.arange(M) * 2 + 1
OWNERS = np.repeat(np.arange(2 * M + 1), 2)  # unit u owns examples 2u and 2u + 1


def examples(*units):
    return np.concatenate([[2 * u, 2 * u + 1] for u in units])


def rows(units=UNITS, like=LIKE):
    """What the row of each unit is: random, but the same for a unit every time."""
    draw = [np.random.default_rng(int(u)) for u in units]
    return jax.tree.map(lambda leaf: np.stack([d.normal(size=leaf.shape).astype(leaf.dtype) for d in draw]), like)


def make(place, like=LIKE, units=UNITS, **settings):
    return Store.create(place, like, units, OWNERS, **{"fingerprint": "f", "chunk": CHUNK} | settings)


def fill(store, numbers=None):
    for number in store.missing() if numbers is None else numbers:
        store.write(number, rows(store.members(number), store._like))
    return store


def truth(*units, like=LIKE):
    return jax.tree.map(lambda leaf: leaf.astype(float).sum(axis=0), rows(units, like))


def pattern(unit):
    """The bytes of a row as they stand in a float32 file."""
    return np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(rows([unit]))]).astype(np.float32).tobytes()


def holding(folder, content):
    return [path for path in folder.rglob("*") if path.is_file() and content in path.read_bytes()]
