"""The knowledge of the neighbourhood of forgotten examples."""

import numpy as np

from certunl.metrics._outcome import Outcome

__all__ = ["residual_knowledge"]


def residual_knowledge(outcome: Outcome) -> dict[str, float]:
    """`perturbed_accuracy` p of slightly perturbed forgotten examples, and `residual_knowledge` p/(p of retraining).

    The ideal ratio is 1. Above 1 the model is right more often than retraining near examples that it should have
    forgotten. The ratio is infinite if only the retrained model gets none right, and 1 if neither model gets one right.
    There are no columns without predicted classes or bits, or with inputs that are whole numbers.

    Source: Hsu et al. 2025.  Differs: one ratio for all forgotten examples, because that of a single example often has
    the denominator 0; the perturbations are random, none is sought by an attacker.
    """
    if outcome.perturbed is None or outcome.retrained_perturbed is None:
        return {}
    mine, theirs = (float(np.mean(a, dtype=np.float64)) for a in (outcome.perturbed, outcome.retrained_perturbed))
    ratio = mine / theirs if theirs else (float("inf") if mine else 1.0)
    return {"perturbed_accuracy": mine, "residual_knowledge": ratio}
