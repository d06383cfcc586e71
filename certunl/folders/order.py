"""A request as it was asked, and as the ledger has it."""

import dataclasses
import hashlib
import re
import secrets
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from certunl.base import Key
from certunl.certificates.budget import Budget
from certunl.errors import BadInput
from certunl.folders.chain import Event

__all__ = ["BESIDE", "FINAL", "Entry", "Order", "commitment", "drawn_id"]

FINAL = ("erased", "refused")
"""The states after which nothing is left to do."""

_ID = re.compile(r"[A-Za-z0-9][\w.:-]{0,63}", re.ASCII)


def drawn_id() -> str:
    """A new id for a request without one."""
    return f"r-{secrets.token_hex(6)}"


@dataclass(frozen=True, kw_only=True)
class Order:
    """A request as it was asked: what to forget, by which method, at which price.

    Args:
        id: its name, 1 to 64 letters, digits, "_", ".", ":" or "-". It stays in the ledger for good, so it should name
            no person.
        line: the line of requests that it continues.
        method: the name of the method.
        settings: the settings of the method, ready for JSON.
        budget: what its release may reveal.
        words: the request as a text, such as "random:4".
        reason: why it was asked, in words. Default: not said.
        total: the budget of all releases of the folder. Default: that of earlier orders, or none.
        trivial: whether output perturbation is used where there is no theorem. Default: no.
        key: the data of the JAX key from which the method draws its own randomness, so that an interrupted answer is
            computed again with the same result. Default: 0.
        seed: the number from which a random request and the key were drawn. Default: 0.
    """

    id: str
    line: str
    method: str
    settings: dict[str, Any]
    budget: Budget
    words: str = ""
    reason: str = ""
    total: Budget | None = None
    trivial: bool = False
    key: tuple[int, ...] = (0, 0)
    seed: int = 0

    def __post_init__(self) -> None:
        try:
            f"{self.words}{self.reason}".encode()
        except UnicodeEncodeError as error:
            raise BadInput("the words and the reason of a request must be text that UTF-8 can write") from error
        if not (isinstance(self.id, str) and _ID.fullmatch(self.id)):
            raise BadInput(f"an id is 1 to 64 letters, digits, '_', '.', ':' or '-', got {self.id!r}")

    @property
    def jax_key(self) -> Key:
        """The key of the method's own randomness."""
        return jax.random.wrap_key_data(jax.numpy.asarray(self.key, jax.numpy.uint32))

    def with_key(self, key: Key) -> "Order":
        """The order with a key of the method's own randomness."""
        return dataclasses.replace(self, key=tuple(np.asarray(jax.random.key_data(key)).tolist()))

    def same(self, other: "Order", *, words: bool = True) -> bool:
        """Whether two orders ask for the same, whatever their ids and reasons are.

        Args:
            other: another order.
            words: whether their texts are compared. After a purge they are not known.
        """
        aside: dict[str, Any] = {"id": "any", "reason": "", "key": ()} | ({} if words else {"words": "", "seed": 0})
        return dataclasses.replace(self, **aside) == dataclasses.replace(other, **aside)


BESIDE = ("words", "reason", "key", "seed")
"""The fields of an order that a purge removes. Whoever knows the others and the data could draw the examples anew."""


def commitment(salt: bytes, beside: str, ids: bytes) -> str:
    """A hash that binds an entry to its examples, and tells nothing of them to who does not know the salt."""
    return hashlib.sha256(salt + beside.encode() + b"\n" + ids).hexdigest()


@dataclass(frozen=True, eq=False)
class Entry:
    """A request as the ledger has it.

    Args:
        number: 1, 2, ... along the ledger.
        order: the request. Its words and its reason are empty after a purge.
        size: the number of its examples.
        ids: i32[size], its examples; None after a purge.
        events: its events so far.
        facts: the facts of its last event of each state.
    """

    number: int
    order: Order
    size: int
    ids: np.ndarray | None
    events: tuple[Event, ...] = ()
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """The state of its last event."""
        return self.events[-1].state

    @property
    def time(self) -> str:
        """When it was asked."""
        return self.events[0].time

    def said(self) -> str:
        """What was asked, in words."""
        words = f"{self.order.words} " if self.order.words else f"{self.size} examples "
        return f"{words}by {self.order.method}, name {self.order.line}, on {self.time[:10]}"

    @property
    def part(self) -> str:
        """The name of its update and its release, such as "newton-2"; empty before it was applied."""
        return self.facts.get("applied", {}).get("part", "")

    @property
    def head(self) -> str:
        """The hash that its release names: that of the event "applied"; empty before."""
        return next((event.hash for event in reversed(self.events) if event.state == "applied"), "")
