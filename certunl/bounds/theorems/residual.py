"""What the gradient at a point proves of it, whichever method led there."""

from typing import Any

import jax
import numpy as np

from certunl.base import Params
from certunl.bounds.linear_risk import linear_risk
from certunl.bounds.residual import residual_bound
from certunl.certificates.guarantee import Assumption
from certunl.training.run import Run

__all__ = ["residual"]


def residual(run: Run, retained: jax.Array, params: Params) -> dict[str, Any]:
    """The fields of Update that the gradient at `params` fills, wherever they come from: true of this request alone.

    Raises: BadInput for other problems than softmax and least-squares regression, and without weight decay or l2.
    """
    risk = linear_risk(run, np.asarray(retained))
    slope, mu = risk.slope(params), risk.strong_convexity
    return {
        "bound": residual_bound(residual=slope.norm, rounding=slope.rounding, strong_convexity=mu),
        "nothing": risk.slope(run.params).most / mu,
        "reference": risk.reference,
        "compared": "minimiser",
        "assumptions": (
            Assumption(
                "residual", slope.norm, "proved", "float64 gradient norm of the retained risk, for this request"
            ),
            Assumption("rounding", slope.rounding, "proved", "of that number"),
            Assumption("mu", mu, "proved", "strong convexity of the retained risk"),
        ),
    }
