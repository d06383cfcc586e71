"""Measurements of a model after forgetting, one family per file.

A metric is a function `(Outcome) -> dict[str, float]` that gives named columns of the report. The ideal value of a
column is that of retraining compared with itself. `evaluate` calls every file of this folder.
"""

from certunl.metrics._correlation import correlations
from certunl.metrics._outcome import Metric, Outcome
from certunl.metrics._perturbation import DRAWS, continuous, perturbed
from certunl.metrics.cost import cost
from certunl.metrics.fidelity import fidelity
from certunl.metrics.per_class import per_class
from certunl.metrics.residual_knowledge import residual_knowledge
from certunl.metrics.utility import utility

__all__ = [
    "DRAWS",
    "Metric",
    "Outcome",
    "continuous",
    "correlations",
    "cost",
    "fidelity",
    "per_class",
    "perturbed",
    "residual_knowledge",
    "utility",
]
