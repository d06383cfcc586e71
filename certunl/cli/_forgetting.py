"""forget: one request, its certificate and its release."""

from typing import Annotated, Any

import jax
import numpy as np

from certunl import registry, requests
from certunl.certificates.budget import Budget
from certunl.certificates.update import Unlearner
from certunl.cli._requests import examples
from certunl.cli._sharing import by_all
from certunl.cli._words import Folder, Settings, answered, listed, method_of, opened, say, seeded, unlearner_of
from certunl.datasets import Splits
from certunl.folders import Entry, Order, RunFolder, drawn_id
from certunl.folders.json_files import as_json
from certunl.folders.repeating import earlier, interrupted
from certunl.folders.settling import Build
from certunl.folders.sharing import Shared, shared
from certunl.report.console import progress

__all__ = ["forget"]


def forget(
    folder: Folder,
    /,
    method: Annotated[str, listed("the method that forgets", registry.names("methods"))] = "hessian_free",
    request: str = "random:50",
    epsilon: float | None = None,
    delta: float = 1e-5,
    distance: float | None = None,
    sigma: float | None = None,
    total: float | None = None,
    trivial: bool = False,
    name: str | None = None,
    set: Settings = (),
    seed: int = 0,
    id: str | None = None,
    reason: str = "",
    wait: bool = False,
    distributed: bool = False,
    timeout: float = 600.0,
) -> None:
    """Forgets a request and writes a certificate. The next request of the same name starts from its result.

    Args:
        folder: the run folder.
        request: the examples to forget. random:SIZE, class:LABEL[:SIZE], owner:OWNER,... (owners have the names of
            the data, otherwise numbers), hardest:SIZE (highest loss), influential:SIZE (their deletion raises the
            training loss most), near_duplicates:SIZE (a close neighbour stays), mislabelled[:SIZE] (labels that
            --mislabel replaced), ids:ID,... (training examples), rows:ROW,... (rows of your own file, from 0), or
            ids:@FILE, rows:@FILE and owner:@FILE with entries in lines.
        epsilon: the budget's epsilon (default: 1, or derived from sigma).
        delta: the budget's delta.
        distance: a distance fixed before the request. A request whose proved bound exceeds it is refused.
        sigma: the standard deviation of the noise, fixed before the request.
        total: the epsilon that all releases of this folder may reach together, at delta. A request beyond it is
            refused, whatever its name.
        trivial: use the trivial bound of the ball if there is no theorem (output perturbation).
        name: the line of requests that this one continues (default: the method's name).
        set: settings of the method. solver=lissa solver.depth=500 reach its solver.
        seed: decides a random request and the method's own randomness, never the noise.
        id: a name of the request, such as ORDER-17. The same id again does nothing again and prints what was done
            (default: a new one). It stays in the ledger, so it should name no person.
        reason: why it was asked, for the ledger. A purge removes it.
        wait: wait until another certunl has left the folder.
        distributed: compute a Newton step (newton, newton_step) with the other processes that were started with the
            same command, by srun, mpirun, torchrun or the like. All of them see the same folder. Process 0 does all
            else, and every other method, alone.
        timeout: with --distributed, the seconds that a process waits for the others.
    """
    place = RunFolder(folder)

    def unlearner(name: str, settings: dict[str, Any], build: Build = method_of) -> Unlearner:
        return shared(name, settings, build(name, settings)) if distributed else build(name, settings)

    def answer() -> None:
        settings = as_json(registry.parse(set))
        forgetter = unlearner(method, settings, unlearner_of)
        key = seeded(seed)
        order = Order(
            id=drawn_id() if id is None else id,
            line=method if name is None else name,
            method=method,
            settings=settings,
            budget=Budget(
                epsilon=1.0 if epsilon is None and sigma is None else epsilon,
                delta=delta,
                distance=distance,
                sigma=sigma,
            ),
            words=requests.inline(request),
            reason=reason,
            total=None if total is None else Budget(epsilon=total, delta=delta),
            trivial=trivial,
            seed=seed,
        )
        with opened(place, wait=wait, build=unlearner):
            entry = interrupted(place, order) if id is None else earlier(place, order, requests.parse)
            splits = place.splits
            if entry is not None and entry.state != "asked":
                return _print(place, entry, splits)
            line = place.line(order.line, method, settings)
            ask_key, forget_key = jax.random.split(jax.random.fold_in(key, line.count))
            order = order.with_key(forget_key)
            ids = examples(line, order.words, ask_key) if entry is None else entry.ids
            assert ids is not None  # only those of finished requests are purged
            rows = place.rows(method, forgetter)
            how = "" if method != "hessian_free" or (rows is not None and rows.covers(ids)) else _UNPREPARED
            if distributed:
                how += _company(forgetter)
            with progress(f"forgetting by {method}"):
                entries = line.ask([(order, ids)], nameless=id is None) if entry is None else [entry]
                [entry], _ = line.answer(entries, forgetter, rows)
            _print(place, entry, splits, how)

    if distributed:
        by_all(place, timeout, answer)
    else:
        answer()


_UNPREPARED = " (nothing prepared: one pass for this request)"


def _company(method: Unlearner) -> str:
    """Who computes a request of several processes."""
    count = jax.process_count()
    return f" by {count} processes" if isinstance(method, Shared) else f" by process 0 of {count} alone"


def _print(folder: RunFolder, entry: Entry, splits: Splits, how: str = "") -> None:
    """What was done, the meaning of the words, and the certificate. Then the ledger says that it was told."""
    say(answered(entry, how))
    if entry.ids is not None:
        for sentence in _meant(entry.order.words, entry.ids, splits):
            say(sentence)
    if printed := entry.facts["applied"].get("printed"):
        say(printed)
    folder.ledger.tell(entry)


def _meant(request: str, ids: np.ndarray, splits: Splits) -> list[str]:
    """What the words of a request meant in data that were split here."""
    if request.startswith("ids:") and splits.rows is not None:
        rows = splits.rows[ids].tolist()
        listed = ", ".join(map(str, rows[:20])) + (" ..." if len(rows) > 20 else "")
        return [f"they are the rows {listed} of the data (from 0, without the header)"]
    if request.startswith("owner:") and splits.train.owners is not None and splits.test.owners is not None:
        count = int(np.isin(splits.test.owners, np.asarray(splits.train.owners)[ids]).sum())
        return [f"{count} more of their rows are test rows, which no training saw"] if count else []
    return []
