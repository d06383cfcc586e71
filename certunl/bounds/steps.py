"""What the steps of a schedule do to distances, whatever the target: the parts of every Hessian-free bound."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from certunl.bounds.constants import HessianFreeConstants
from certunl.errors import BadInput, one_of
from certunl.training.run import Run
from certunl.training.sensitivity import FORMS

__all__ = ["Steps", "batches", "check_form"]


def batches(run: Run, gone: Any) -> dict[str, Any]:
    """The steps of `run` as a bound asks for them, without everyone `gone bool[n]`."""
    schedule = run.schedule
    there = np.asarray(schedule.weights) != 0
    return {
        "rates": schedule.rates,
        "sizes": np.sum(there, axis=1),
        "gone": np.sum(there & np.asarray(gone, bool)[np.asarray(schedule.indices)], axis=1),
        "divisors": schedule.divisors,
        "weight_decay": run.recipe.weight_decay,
        "denominator": run.recipe.denominator,
    }


def check_form(denominator: str, form: str) -> None:
    """Raises BadInput for unknown words."""
    if denominator not in ("batch", "retained"):
        raise BadInput(f"denominator must be batch or retained, got {denominator!r}")
    one_of(FORMS, form=form)


@dataclass(frozen=True)
class Steps:
    """Arrays f[t] with k = `kept`, f = `gone`: the batch's Hessian is `filled` times a mean of examples' Hessians,
    the retained one's k times, `rates` and `decay` as in training; `emptied` where nobody is left to divide by."""

    rates: np.ndarray
    filled: np.ndarray
    gone: np.ndarray
    kept: np.ndarray
    emptied: np.ndarray
    rho: np.ndarray
    rho_kept: np.ndarray

    @classmethod
    def of(
        cls,
        constants: HessianFreeConstants,
        *,
        rates: Any,
        sizes: Any,
        gone: Any,
        divisors: Any,
        weight_decay: float,
        denominator: str,
    ) -> "Steps":
        """From slots per batch: `sizes` in all, of which `gone` go; `divisors` count only for "batch"."""
        rates, sizes, gone, divisors = (np.asarray(a, np.float64) for a in (rates, sizes, gone, divisors))
        sizes, gone, divisors = (np.broadcast_to(a, rates.shape) for a in (sizes, gone, divisors))
        if (rates < 0).any() or (gone < 0).any() or (gone > sizes).any() or (divisors < 0).any():
            raise BadInput("rates and counts must be at least 0, and no more can go from a batch than it holds")
        divisors = sizes if denominator == "retained" else divisors
        share = np.divide(1.0, divisors, out=np.zeros_like(rates), where=divisors > 0)
        filled, gone_share = sizes * share, gone * share
        if denominator == "retained":
            emptied = (gone == sizes) & (sizes > 0)
            kept = np.where(emptied, 0.0, filled)
        else:
            emptied = np.zeros(rates.shape, bool)
            kept = filled - gone_share
        rho = _contraction(constants, constants.contraction, rates, filled, weight_decay)
        rho_kept = _contraction(constants, constants.retained_contraction, rates, kept, weight_decay)
        rho_kept = np.where(emptied, np.abs(1 - rates * weight_decay), rho_kept)
        return cls(rates, filled, gone_share, kept, emptied, rho, rho_kept)


def _contraction(
    constants: HessianFreeConstants, given: Any, rates: np.ndarray, share: np.ndarray, weight_decay: float
) -> np.ndarray:
    """f[t] >= ‖I − rate (share H + weight_decay I)‖ for any mean H of examples' Hessians."""
    if given is None:
        assert constants.convexity is not None
        ends = (constants.convexity, constants.smoothness)
        low, high = (np.abs(1 - rates * (weight_decay + share * end)) for end in ends)
        return np.maximum(low, high)
    values = np.asarray(given, np.float64)
    if values.ndim and values.shape != rates.shape:
        raise BadInput(f"a contraction for each step needs {len(rates)} numbers, got {len(values)}")
    return np.broadcast_to(values, rates.shape)


def remainder(constants: HessianFreeConstants, distance: float) -> float:
    """min(M D²/2, span D) >= ‖grad l(w') − grad l(w) − H(w)(w' − w)‖, D >= ‖w' − w‖."""
    return min(constants.hessian_lipschitz * distance * distance / 2, constants.span * distance)


def injection(constants: HessianFreeConstants, denominator: str) -> float:
    """What one forgotten share of a batch moves retraining by, over the rate."""
    return constants.gradient_spread if denominator == "retained" else constants.gradient_bound


def crossing(constants: HessianFreeConstants, denominator: str, distance: float, gone: float) -> float:
    """How far one forgotten share's injection can differ from w to w', D >= ‖w' − w‖, f = `gone` of the batch."""
    change, spread = constants.gradient_change, constants.gradient_spread
    if denominator == "batch":
        return min(constants.smoothness * distance, change)
    return (1 - gone) * min(constants.span * distance, 2 * change, 2 * spread) + gone * spread
