"""serve: requests as JSON lines, each answered with a line."""

import io
import json
import queue
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from certunl import registry
from certunl.certificates.budget import Budget
from certunl.cli._http import listen
from certunl.cli._requests import answer
from certunl.cli._service import Service
from certunl.cli._words import Folder, Settings, listed, method_of, say, seeded, unlearner_of
from certunl.errors import BadInput
from certunl.folders import RunFolder
from certunl.folders.json_files import as_json

__all__ = ["serve"]


def serve(
    folder: Folder,
    /,
    method: Annotated[str, listed("the method that forgets", registry.names("methods"))] = "hessian_free",
    input: Path | None = None,
    epsilon: float | None = None,
    delta: float = 1e-5,
    distance: float | None = None,
    sigma: float | None = None,
    total: float | None = None,
    trivial: bool = False,
    name: str | None = None,
    set: Settings = (),
    seed: int = 0,
    http: int | None = None,
    wait: bool = False,
) -> None:
    """Answers requests to forget, one JSON object in a line, with one line each, until the input ends.

    A request is {"id": "ORDER-17", "ids": [4, 8]}, or has "owner": "ann" or "request": "random:4" in the place of
    "ids". It may have "epsilon", "delta", "distance", "sigma" and "reason". The same id again gives the same answer.
    An answer has the state, the number and the head of its entry in the ledger, the release, the public part of the
    certificate, and milliseconds. Requests that wait are answered by one update where prepared rows add up.

    Args:
        folder: the run folder.
        input: a file of requests (default: standard input).
        epsilon: the budget's epsilon of a request that names none (default: 1, or derived from sigma).
        delta: the same for the budget's delta.
        distance: the same for the distance fixed before the request.
        sigma: the same for the standard deviation of the noise.
        total: the epsilon that all releases of this folder may reach together, at delta.
        trivial: use the trivial bound of the ball if there is no theorem (output perturbation).
        name: the line of requests that is continued (default: the method's name).
        set: settings of the method.
        seed: decides random requests and the method's own randomness, never the noise.
        http: a port of the loopback (0: any that is free) on which POST /requests takes the lines and gives the
            answers. The token that a caller needs is printed first.
        wait: wait until another certunl has left the folder.
    """
    place, settings = RunFolder(folder), as_json(registry.parse(set))
    unlearner = unlearner_of(method, settings)
    budget: dict[str, Any] = {"epsilon": epsilon, "delta": delta, "distance": distance, "sigma": sigma}
    if epsilon is None and sigma is None:
        budget["epsilon"] = 1.0
    Budget(**budget)
    limit = None if total is None else Budget(epsilon=total, delta=delta)
    if input is not None and not input.is_file():
        raise BadInput(f"there is no file {input}; leave --input out to read from standard input")
    with place.locked(wait=wait, build=method_of) as finished:
        line = place.line(method if name is None else name, method, settings)
        rows = place.rows(method, unlearner)
        service = Service(place, line, unlearner, rows, budget, limit, trivial, seeded(seed))
        for entry in finished:
            _say(answer(entry) | {"interrupted": True})
        if http is not None:
            return listen(service, http)
        for texts in _waiting(input):
            for one in service.answers(texts):
                _say(one)


def _say(facts: dict[str, Any]) -> None:
    say(json.dumps(facts))


def _waiting(path: Path | None) -> Iterator[list[str]]:
    """The lines of a file or of standard input: all that wait, as soon as there is one."""
    if path is not None:
        texts = [line for line in path.read_text("utf-8", errors="replace").split("\n") if line.strip()]
        yield from (texts[i : i + 1024] for i in range(0, len(texts), 1024))
        return
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="replace")
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        try:
            for line in sys.stdin:
                if line.strip():
                    lines.put(line)
        finally:
            lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    while (first := lines.get()) is not None:
        texts = [first]
        while not lines.empty() and len(texts) < 1024:
            if (line := lines.get()) is None:
                yield texts
                return
            texts.append(line)
        yield texts
