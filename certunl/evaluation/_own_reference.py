"""The model that a certificate compares with, where it is one model and can be computed."""

from dataclasses import replace

import jax
import numpy as np
import optax

from certunl.base import Params
from certunl.certificates.guarantee import REPLAY
from certunl.certificates.update import Update
from certunl.errors import BadInput, Diverged
from certunl.methods.certified_removal import CertifiedRemoval
from certunl.training.run import Run

__all__ = ["distances"]

_PARTS = (1e-3, 1e-2)
"""Error of the computed minimiser as a part of the bound. The first that the floating-point numbers allow counts."""


def distances(run: Run, request: np.ndarray, update: Update, truth: Update) -> dict[str, float]:
    """The distance of an update to the reference of its certificate, and that of the reference to retraining.

    The reference of `update` is `truth` if both are retraining. If it is the exact minimiser of the retained risk,
    Newton steps from `update` compute it, until their own distance is proved to be at most a hundredth of the bound.
    Other references are laws and not models.

    Args:
        run: the run before the request.
        request: the ids i32[k].
        update: the update, with a bound.
        truth: the update of the retraining that the report compares with.

    Returns: {} if the reference is not one model, or could not be computed.
    """
    guarantee, own = update.guarantee, update.projected()
    if guarantee.sense == "retraining" and guarantee.reference == REPLAY and truth.guarantee.replayed:
        return _named(own, truth.projected(), truth)
    if guarantee.sense != "minimiser" or not guarantee.bound:
        return {}
    mu = next((a.value for a in guarantee.assumptions if a.symbol == "mu"), 0.0)
    from_here = replace(run, params=own)
    for part in _PARTS if mu else ():
        try:
            exact = CertifiedRemoval(tolerance=part * guarantee.bound * mu).forget(
                from_here, None, request, jax.random.key(0)
            )
        except (BadInput, Diverged):
            continue
        return _named(own, exact.projected(), truth)
    return {}


def _named(own: Params, reference: Params, truth: Update) -> dict[str, float]:
    return {
        "distance_to_its_reference": _distance(own, reference),
        "reference_to_retraining": _distance(reference, truth.projected()),
    }


def _distance(a: Params, b: Params) -> float:
    return float(optax.tree.norm(optax.tree.sub(a, b)))
