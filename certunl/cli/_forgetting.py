"""forget: one request, its certificate and its release."""

from typing import Annotated

import jax
import numpy as np

from certunl import registry, requests
from certunl.certificates.budget import Budget
from certunl.certificates.calibration import certify
from certunl.certificates.secret import secret_key
from certunl.cli._words import Folder, Settings, listed, say, seeded
from certunl.datasets import Splits
from certunl.folders import RunFolder
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
    """
    place, settings = RunFolder(folder), registry.parse(set)
    unlearner = registry.build("methods", method, **settings)
    key = seeded(seed)
    if epsilon is None and sigma is None:
        epsilon = 1.0
    budget = Budget(epsilon=epsilon, delta=delta, distance=distance, sigma=sigma)
    limit = None if total is None else Budget(epsilon=total, delta=delta)
    with place.locked():
        line = place.line(method if name is None else name, method, settings)
        ask_key, forget_key = jax.random.split(jax.random.fold_in(key, line.count))
        splits = place.splits
        ids = requests.parse(request, ask_key, line.run, place.built.mislabelled, place.owner_names, splits.rows)
        store = place.rows(method, unlearner)
        prepared = store if store is not None and store.covers(ids) else None
        with progress(f"forgetting by {method}"):
            update = unlearner.forget(line.run, prepared, ids, secret_key() if unlearner.own_noise else forget_key)
        release = certify(update, budget, trivial=trivial, account=line.account.limited(limit))
        part = line.save(release, ids)
        if store is not None:
            store.drop(np.unique(store.owners[ids]))
    how = "" if method != "hessian_free" or prepared is not None else " (nothing prepared: one pass for this request)"
    facts = {name: value for name, value in update.cost.items() if not name.endswith("seconds")}
    solved = "".join(f", {name.replace('_', ' ')} {value:.4g}" for name, value in facts.items())
    say(f"forgot {len(ids)} examples in {update.cost['seconds']:.4g} s{solved}{how}; written to releases/{part}")
    for sentence in _meant(request, ids, splits):
        say(sentence)
    say(str(release.certificate))


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
