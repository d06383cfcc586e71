"""The examples that a theorem treats as forgotten."""

from typing import Any

import numpy as np

from certunl.errors import BadInput
from certunl.training.run import Run

__all__ = ["everyone_gone"]


def everyone_gone(run: Run, gone: Any) -> np.ndarray:
    """bool[n] of every example forgotten since training.

    If `gone` is such a mask, it is returned. If `gone` is a request i32[k], the mask has the request and every
    example that `run` forgot before it.

    Raises: BadInput for ids that are not examples of `run`, for a mask of another length, and for a mask without the
    examples that `run` forgot.
    """
    mask, absent = np.asarray(gone), ~np.asarray(run.present)
    if mask.dtype != bool:
        return ~np.asarray(run.retained(run.check(gone)))
    if mask.shape != absent.shape or (absent & ~mask).any():
        raise BadInput(
            "a mask must mark all examples forgotten since training, those of earlier requests included, as "
            f"bool[{len(absent)}]"
        )
    return mask
