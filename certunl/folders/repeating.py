"""Requests that repeat an earlier one: the same id does nothing again, and an interrupted request goes on."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from certunl.errors import BadInput
from certunl.folders.order import Entry, Order

if TYPE_CHECKING:
    from certunl.folders.run import RunFolder

__all__ = ["earlier", "interrupted"]

_NAMED = ("ids", "owner", "rows")
"""The kinds of words that name examples. Others draw or choose them."""


def earlier(folder: "RunFolder", order: Order, parse: Callable[..., np.ndarray]) -> Entry | None:
    """The entry with the id of `order`, which was answered or waits; None for a new id, or that of a refused request.

    Two requests of one id are the same if method, settings and budget are, and the examples: those that the words name,
    or else the words and the seed that draw them. After a purge the named examples must be as many, and forgotten; of
    words that draw examples only their number is compared.

    Args:
        folder: the run folder.
        order: the order.
        parse: `requests.parse`.

    Raises: BadInput if the id names another request.
    """
    entry = folder.ledger.find(order.id)
    if entry is None or entry.state == "refused":
        return None
    if not (entry.order.same(order, words=False) and _same_examples(folder, entry, order, parse)):
        raise BadInput(f"the id {order.id} names another request ({entry.said()}); give this one an id of its own")
    return entry


def interrupted(folder: "RunFolder", order: Order) -> Entry | None:
    """The request without an id of its own that an earlier call of the same command asked, and whose end nobody was
    told; None if there is none. It waits, or another verb has finished it."""
    return next((entry for entry in folder.ledger.untold() if entry.order.same(order)), None)


def _same_examples(folder: "RunFolder", entry: Entry, order: Order, parse: Callable[..., np.ndarray]) -> bool:
    if entry.ids is not None and entry.order.same(order):
        return True
    if order.words.partition(":")[0] not in _NAMED:
        size = re.search(r"^(?:class:-?\d+|random|hardest|influential|near_duplicates|mislabelled):(\d+)$", order.words)
        return entry.ids is None and (size is None or int(size[1]) == entry.size)
    run = folder.for_rows
    whole = replace(run, present=jnp.ones(len(run.present), bool))
    names = {name: number for number, name in enumerate(folder.splits.owner_names or ())}
    ids = parse(order.words, jax.random.key(0), whole, (), names or None, folder.splits.rows)
    if entry.ids is not None:
        return np.array_equal(ids, np.unique(entry.ids))
    return len(ids) == entry.size and bool(np.isin(ids, folder.ledger.forgotten(entry.order.line)).all())
