"""forget: one request of a line, its certificate and its release."""

import jax
import numpy as np

from certunl import disk, folders, registry, requests
from certunl.certificates.budget import Budget
from certunl.certificates.calibration import certify, secret_key
from certunl.cli._words import Folder, Settings, rows, say, seeded
from certunl.report.console import progress

__all__ = ["forget"]


def forget(
    folder: Folder,
    /,
    method: str = "hessian_free",
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
    """Forgets a request and writes a certificate; the next request of the same name goes on from there.

    Args:
        folder: the run folder.
        method: hessian_free, newton, certified_removal, descent_to_delete, rewind_to_delete, noisy_finetuning,
            noisy_sgd, model_clipping, retrain, newton_step, jackknife, or a heuristic: finetune, neggrad,
            neggrad_plus, random_labels, salun, scrub, fisher, influence, lcodec.
        request: random:SIZE, class:LABEL[:SIZE], owner:ID,..., hardest:SIZE, influential:SIZE (whose deletion most
            raises the training loss), near_duplicates:SIZE (whose nearest neighbour stays), mislabelled[:SIZE]
            (where --mislabel replaced labels) or ids:ID,ID,...
        epsilon: the budget's epsilon (default 1, or read off where sigma is given).
        delta: the budget's delta.
        distance: a distance fixed before the request; refused when the proved bound exceeds it.
        sigma: a noise level fixed before the request.
        total: the epsilon that all releases of the line may reach together, at delta; refused beyond it.
        trivial: without a theorem, use the trivial bound of the ball (output perturbation).
        name: the line of requests this one continues (default: the method's name).
        set: settings of the method; solver=lissa solver.depth=500 reach its solver.
        seed: decides a random request and a method's own randomness, never the noise.
    """
    chosen, line = registry.parse(set), folders.check_name(method if name is None else name)
    unlearner = registry.build("methods", method, **chosen)
    key = seeded(seed)
    if epsilon is None and sigma is None:
        epsilon = 1.0
    budget = Budget(epsilon=epsilon, delta=delta, distance=distance, sigma=sigma)
    limit = None if total is None else Budget(epsilon=total, delta=delta)
    with disk.lock(folder):
        run, _, known = folders.load_run(folder)
        state, earlier, account = folders.resume(folder, run, line, {"method": method, "settings": chosen})
        account = account.limited(limit)
        ask_key, forget_key = jax.random.split(jax.random.fold_in(key, earlier))
        ids = requests.parse(request, ask_key, state, known["mislabelled"])
        held, prepared = None, None
        if unlearner.stores_rows and (place := rows(folder, unlearner)).exists():
            held = unlearner.open(run, place)
            held.drop(np.unique(held.owners[folders.forgotten(folder, method)]))
            prepared = held if held.covers(ids) else None
        with progress(f"forgetting by {method}"):
            own = secret_key() if unlearner.own_noise else forget_key
            update = unlearner.forget(state, prepared, ids, own)
        release = certify(update, budget, secret_key(), trivial=trivial, account=account)
        made = folders.save_release(folder, line, earlier + 1, release, ids, {"method": method, "settings": chosen})
        if held is not None:
            held.drop(np.unique(held.owners[ids]))
    how = "" if method != "hessian_free" or prepared is not None else " (nothing prepared: one pass for this request)"
    facts = {name: value for name, value in update.cost.items() if not name.endswith("seconds")}
    solved = "".join(f", {name.replace('_', ' ')} {value:.4g}" for name, value in facts.items())
    say(f"forgot {len(ids)} examples in {update.cost['seconds']:.4g} s{solved}{how}; written to releases/{made}")
    say(str(release.certificate))
