"""One line of requests, ready between them: requests come as JSON, and an answer goes back for each."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from certunl.base import Key
from certunl.certificates.budget import Budget
from certunl.cli._requests import answer, examples, fields, id_of, refusal
from certunl.cli._words import method_of
from certunl.errors import BadInput, Diverged
from certunl.folders import Line, Order, RunFolder, drawn_id
from certunl.folders.repeating import earlier
from certunl.folders.settling import settled
from certunl.requests import parse
from certunl.rows import Store

__all__ = ["Service"]

_MOST = 256
"""The most requests in one update."""
_Asked = tuple[Order, np.ndarray]


@dataclass
class Service:
    """A run folder whose line of requests stays ready, so that a request costs what its update costs.

    Args:
        folder: the locked run folder.
        line: the line that answers.
        method: its method.
        rows: the stored rows of the method, or None.
        budget: the settings of the budget of a request that names none.
        total: the budget of all releases, or None.
        trivial: as in `certify`.
        key: the randomness of requests that draw examples, and of the method.
        broken: whether the disk refused something, so that the line must be taken anew.
    """

    folder: RunFolder
    line: Line
    method: Any
    rows: Store | None
    budget: dict[str, Any]
    total: Budget | None
    trivial: bool
    key: Key
    broken: bool = False

    def answers(self, texts: Sequence[str]) -> Iterator[dict[str, Any]]:
        """An answer for each line of JSON, in order. Where rows add up, one update answers all that can share it.

        Each has the milliseconds since the call.
        """
        start = time.perf_counter()
        self._mend()
        waiting: list[_Asked | dict[str, Any]] = []
        for text in texts:
            orders = [one[0] for one in waiting if isinstance(one, tuple)]
            item = self._item(text, {order.id for order in orders})
            if item is None or (orders and isinstance(item, tuple) and not self._joins(item, waiting)):
                yield from self._answered(waiting, start)
                waiting = []
                item = self._item(text, set())  # the line has gone on since
            assert item is not None
            waiting.append(item)
        yield from self._answered(waiting, start)

    def _item(self, text: str, waiting: set[str]) -> _Asked | dict[str, Any] | None:
        """The order that a line describes and its examples; or the answer, where nothing is to be done for it; or None
        if a request with its id waits."""
        identity = id_of(text)
        try:
            request = fields(text)
            if identity in waiting:
                return None
            order = self._order(request)
            if (entry := earlier(self.folder, order, parse)) is not None:
                return answer(entry)
            self.key, key = jax.random.split(self.key)
            return order, examples(self.line, order.words, key)
        except BadInput as error:
            return refusal(identity, error)
        except Exception as error:  # the line of one caller must not end those of others
            return refusal(identity, BadInput(f"it cannot be read ({type(error).__name__})"))

    def _order(self, said: dict[str, Any]) -> Order:
        self.key, key = jax.random.split(self.key)
        other = {"epsilon", "sigma"} & {*said["budget"]}
        usual = {"delta": self.budget["delta"]} if other else self.budget
        return Order(
            id=drawn_id() if said["id"] is None else said["id"],
            line=self.line.name,
            method=self.line.maker["method"],
            settings=self.line.maker["settings"],
            budget=Budget(**{**usual, **said["budget"]}),
            words=said["words"],
            reason=said["reason"],
            total=self.total,
            trivial=self.trivial,
        ).with_key(key)

    def _joins(self, item: _Asked, waiting: Sequence[_Asked | dict[str, Any]]) -> bool:
        """Whether one update can answer a request together with those that wait.

        Its rows must be there, its budget the same, its examples others, and named rather than drawn.
        """
        others = [one for one in waiting if isinstance(one, tuple)]
        ids = np.concatenate([own for _, own in others])
        return (
            len(others) < _MOST
            and self.method.keeps_rows
            and self.rows is not None
            and self.rows.covers(np.union1d(ids, item[1]))
            and all(order.words.startswith(("ids:", "owner:", "rows:")) for order, _ in (*others, item))
            and (item[0].budget, item[0].total) == (others[0][0].budget, others[0][0].total)
            and not len(np.intersect1d(ids, item[1]))
        )

    def _answered(self, waiting: Sequence[_Asked | dict[str, Any]], start: float) -> Iterator[dict[str, Any]]:
        """The answers of what waits, after one update for it."""
        orders = [one for one in waiting if isinstance(one, tuple)]
        done = iter(self._update(orders) if orders else [])
        for one in waiting:
            facts = one if isinstance(one, dict) else next(done)
            yield facts | {"milliseconds": round(1000 * (time.perf_counter() - start), 3)}

    def _update(self, orders: Sequence[_Asked]) -> list[dict[str, Any]]:
        try:
            entries = self.line.ask(orders)
        except BadInput as error:  # a full disk
            return [refusal(order.id, error) for order, _ in orders]
        try:
            entries, self.line = self.line.answer(entries, self.method, self.rows)
        except (BadInput, Diverged, OSError):
            entries = [self.folder.ledger.entry(entry.number) for entry in entries]
            self.broken = any(entry.state != "refused" for entry in entries)
        return [answer(entry) for entry in entries]

    def _mend(self) -> None:
        """After a fault of the disk: finishes what is open, and takes the line anew."""
        if self.broken:
            settled(self.folder, method_of)
            self.line = self.folder.line(self.line.name, self.line.maker["method"], self.line.maker["settings"])
            self.rows, self.broken = self.folder.rows(self.line.maker["method"], self.method), False
