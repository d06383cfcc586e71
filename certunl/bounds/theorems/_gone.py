"""Whom a theorem speaks of."""

from typing import Any

import numpy as np

from certunl.training.run import Run

__all__ = ["everyone_gone"]


def everyone_gone(run: Run, gone: Any) -> np.ndarray:
    """bool[n] of every example forgotten since training: `gone` itself if it is such a mask, else the request `gone`
    i32[k] and all that `run` forgot before it.

    Raises: BadInput for ids that are not examples of `run`.
    """
    mask = np.asarray(gone)
    return mask if mask.dtype == bool else ~np.asarray(run.retained(run.check(gone)))
