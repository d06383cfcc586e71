"""The constants of the losses on which the bounds rest."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from certunl.errors import BadInput, nonnegative, plain_numbers

__all__ = ["HessianFreeConstants", "NewtonConstants"]


@dataclass(frozen=True, kw_only=True)
class NewtonConstants:
    """Constants for the bound on a damped Newton step. No code can verify them for a deep network.

    The user vouches for them. `proved` has the names of the constants that the code derived (`bounds.linear`).
    Certificates print the status of each.

    Args:
        smoothness: L, Lipschitz constant of the gradient of each example's loss, without the recipe's weight decay.
        hessian_lipschitz: M, Lipschitz constant of the Hessian of each example's loss, without the recipe's weight
            decay.
        smallest_eigenvalue: lambda_min of the Hessians of the retained risk at the trained parameters, weight decay
            included. For LiSSA these are the Hessians of the mini-batches.
        gradient_residual: G >= ‖grad L(w~*, D_r)‖ at the reference w~*.
        failure_probability: rho, the probability that a randomised inverse is less exact than the bound says.
        strong_convexity: mu >= 0 of the retained risk everywhere.
        estimated: names of the constants that were measured and are not known to hold.
    """

    smoothness: float
    hessian_lipschitz: float
    smallest_eigenvalue: float
    gradient_residual: float
    failure_probability: float
    strong_convexity: float = 0.0
    estimated: tuple[str, ...] = ()
    proved: tuple[str, ...] = field(default=(), init=False)

    def __post_init__(self) -> None:
        plain_numbers(self)
        for name in ("smoothness", "hessian_lipschitz", "gradient_residual", "strong_convexity"):
            nonnegative(**{name: getattr(self, name)})
        if not math.isfinite(self.smallest_eigenvalue):
            raise BadInput(f"smallest_eigenvalue must be finite, got {self.smallest_eigenvalue}")
        if not 0 < self.failure_probability < 1:
            raise BadInput(f"failure_probability must lie between 0 and 1, got {self.failure_probability}")
        if unknown := set(self.estimated) - set(self.__dataclass_fields__):
            raise BadInput(f"estimated must contain names of constants, got {sorted(unknown)[0]!r}")

    def status(self, name: str) -> str:
        """ "proved", "estimated" or "given"."""
        return "proved" if name in self.proved else "estimated" if name in self.estimated else "given"


@dataclass(frozen=True, kw_only=True)
class HessianFreeConstants:
    """Constants of each example's loss at every point that training and retraining visit.

    The loss includes its own l2, but not the recipe's weight decay. Without `convexity` the contraction of each step
    is needed. `proved` has the names of the constants that the code derived (`bounds.linear`). `public` is true if
    none of them was measured on the data. Certificates print the status of each constant.

    Args:
        gradient_bound: G, bound on the norm of the gradient.
        smoothness: beta, bound on the norm of the Hessian.
        hessian_lipschitz: M, Lipschitz constant of the Hessian.
        convexity: mu >= 0, the smallest eigenvalue of every example's Hessian. None if a loss is not convex.
        gradient_change: bound on the difference of one example's gradients at two points, at most 2 G.
        gradient_spread: bound on the difference of two examples' gradients at one point, at most 2 G.
        contraction: a number or f[t] >= ‖I − rate H‖, H being the Hessian of the batch, weight decay included.
        retained_contraction: the same for the step without the request.
        rounding: bound on the error of one computed training step. 0 means exact arithmetic.
        product_rounding: bound on the error of one step of the vectors, relative to their norm.
        estimated: names of the constants that were measured and are not known to hold.
    """

    gradient_bound: float
    smoothness: float
    hessian_lipschitz: float
    convexity: float | None = None
    gradient_change: float = math.inf
    gradient_spread: float = math.inf
    contraction: Any = None
    retained_contraction: Any = None
    rounding: float = 0.0
    product_rounding: float = 0.0
    estimated: tuple[str, ...] = ()
    proved: tuple[str, ...] = field(default=(), init=False)
    public: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        plain_numbers(self)
        for name in ("gradient_bound", "smoothness", "hessian_lipschitz", "rounding", "product_rounding"):
            nonnegative(**{name: getattr(self, name)})
        for name in ("gradient_change", "gradient_spread"):
            if not getattr(self, name) >= 0:
                raise BadInput(f"{name} must be at least 0, got {getattr(self, name)}")
            object.__setattr__(self, name, min(float(getattr(self, name)), 2 * self.gradient_bound))
        if self.convexity is not None and not 0 <= self.convexity <= self.smoothness:
            raise BadInput(f"convexity must lie between 0 and smoothness = {self.smoothness}, got {self.convexity}")
        for name in ("contraction", "retained_contraction"):
            setting = getattr(self, name)
            if setting is None:
                if self.convexity is None:
                    raise BadInput(f"give convexity (0 for convex losses), or {name} of every step")
                continue
            values = np.asarray(setting, np.float64)
            if values.ndim > 1 or not (np.isfinite(values).all() and (values >= 0).all()):
                raise BadInput(f"{name} must be a number of at least 0, or one for each step, got {setting!r}")
            object.__setattr__(self, name, tuple(values.tolist()) if values.ndim else float(values))
        if unknown := set(self.estimated) - set(self.__dataclass_fields__):
            raise BadInput(f"estimated must contain names of constants, got {sorted(unknown)[0]!r}")

    @property
    def span(self) -> float:
        """The largest norm that the difference of two examples' Hessians can have."""
        return 2 * self.smoothness if self.convexity is None else self.smoothness - self.convexity

    def status(self, *names: str) -> str:
        """The weakest status among the named constants: "estimated", then "given", then "proved"."""
        if any(name in self.estimated for name in names):
            return "estimated"
        return "proved" if all(name in self.proved for name in names) else "given"
