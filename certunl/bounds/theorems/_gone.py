"""Whom a theorem speaks of."""

from typing import Any

import numpy as np

from certunl.errors import BadInput
from certunl.training.run import Run

__all__ = ["everyone_gone"]


def everyone_gone(run: Run, gone: Any) -> np.ndarray:
    """bool[n] of every example forgotten since training: `gone` itself if it is such a mask, else the request `gone`
    i32[k] and all that `run` forgot before it.

    Raises: BadInput for ids that are not examples of `run`, and a mask of another length or without those.
    """
    mask, absent = np.asarray(gone), ~np.asarray(run.present)
    if mask.dtype != bool:
        return ~np.asarray(run.retained(run.check(gone)))
    if mask.shape != absent.shape or (absent & ~mask).any():
        raise BadInput(f"a mask names everyone gone since training, bool[{len(absent)}], the earlier requests included")
    return mask
