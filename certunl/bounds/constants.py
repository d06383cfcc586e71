"""What the bounds need to know of the losses."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from certunl.errors import BadInput, nonnegative

__all__ = ["HessianFreeConstants", "NewtonConstants"]


@dataclass(frozen=True, kw_only=True)
class NewtonConstants:
    """What no code can see in a deep network; the user answers for each.

    `smoothness` L and `hessian_lipschitz` M: Lipschitz constants of the gradient and the Hessian of each example's
    loss (without the recipe's weight decay); `smallest_eigenvalue` lambda_min of the (with LiSSA: mini-batch) Hessians
    of the retained risk at the trained parameters, weight decay included; `gradient_residual`
    G >= ‖grad L(w~*, D_r)‖ at the reference w~*; `failure_probability` rho of a randomised inverse;
    `strong_convexity` mu >= 0 of the retained risk everywhere. `estimated` names the constants that were measured
    rather than known, `proved` those that the code derived (`bounds.linear`); certificates say which.
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
        for name in ("smoothness", "hessian_lipschitz", "gradient_residual", "strong_convexity"):
            nonnegative(**{name: getattr(self, name)})
        if not math.isfinite(self.smallest_eigenvalue):
            raise BadInput(f"smallest_eigenvalue must be finite, got {self.smallest_eigenvalue}")
        if not 0 < self.failure_probability < 1:
            raise BadInput(f"failure_probability must lie between 0 and 1, got {self.failure_probability}")
        if unknown := set(self.estimated) - set(self.__dataclass_fields__):
            raise BadInput(f"estimated names constants, got {sorted(unknown)[0]!r}")

    def status(self, name: str) -> str:
        """ "proved", "estimated" or "given"."""
        return "proved" if name in self.proved else "estimated" if name in self.estimated else "given"


@dataclass(frozen=True, kw_only=True)
class HessianFreeConstants:
    """Of each example's loss (l2 included, the recipe's weight decay not), wherever training and retraining go.

    `gradient_bound` G of its gradient; `smoothness` beta of its Hessian's norm; `hessian_lipschitz` M;
    `convexity` mu >= 0, the smallest eigenvalue of every example's Hessian, None where a loss is not convex.
    `gradient_change` bounds the difference of one example's gradients at two points and `gradient_spread` that of two
    examples' at one point; both are 2 G at most.
    Without convexity the contraction of each step is needed, a number or f[t]: `contraction` >= ‖I − rate H‖, H the
    batch's Hessian with weight decay, and `retained_contraction` >= the same norm for the step without the request.
    `rounding` bounds the error of one computed step of training (0: exact arithmetic) and `product_rounding` that of
    one step of the vectors, relative to their norm. `estimated` names the constants that were measured rather than
    known, `proved` those that the code derived (`bounds.linear`), and `public` says that it measured none of them on
    the data; certificates say which.
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
        for name in ("gradient_bound", "smoothness", "hessian_lipschitz", "rounding", "product_rounding"):
            nonnegative(**{name: getattr(self, name)})
        for name in ("gradient_change", "gradient_spread"):
            if not getattr(self, name) >= 0:
                raise BadInput(f"{name} must be at least 0, got {getattr(self, name)}")
            object.__setattr__(self, name, min(float(getattr(self, name)), 2 * self.gradient_bound))
        if self.convexity is not None and not 0 <= self.convexity <= self.smoothness:
            raise BadInput(f"convexity must lie between 0 and smoothness = {self.smoothness}, got {self.convexity}")
        for name in ("contraction", "retained_contraction"):
            given = getattr(self, name)
            if given is None:
                if self.convexity is None:
                    raise BadInput(f"give convexity (0 for convex losses), or {name} of every step")
                continue
            values = np.asarray(given, np.float64)
            if values.ndim > 1 or not (np.isfinite(values).all() and (values >= 0).all()):
                raise BadInput(f"{name} must be a number of at least 0, or one for each step, got {given!r}")
            object.__setattr__(self, name, tuple(values.tolist()) if values.ndim else float(values))
        if unknown := set(self.estimated) - set(self.__dataclass_fields__):
            raise BadInput(f"estimated names constants, got {sorted(unknown)[0]!r}")

    @property
    def span(self) -> float:
        """The norm that a difference of two Hessians of examples can have."""
        return 2 * self.smoothness if self.convexity is None else self.smoothness - self.convexity

    def status(self, *names: str) -> str:
        """The weakest of the named constants' "proved", "given" and "estimated"."""
        if any(name in self.estimated for name in names):
            return "estimated"
        return "proved" if all(name in self.proved for name in names) else "given"
