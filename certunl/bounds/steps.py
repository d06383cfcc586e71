"""The effect of a schedule's steps on distances, for any reference: the parts of every Hessian-free bound."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from certunl.bounds.constants import HessianFreeConstants
from certunl.errors import BadInput, one_of
from certunl.training.run import Run

__all__ = ["Steps", "batches", "check_form"]


def batches(run: Run, gone: Any) -> dict[str, Any]:
    """The batches of `run` as keyword arguments of a bound. `gone bool[n]` marks the forgotten examples."""
    run.need_history("a bound on the steps of training")
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
    """Raises BadInput for an unknown `denominator` or `form`."""
    if denominator not in ("batch", "retained"):
        raise BadInput(f"denominator must be batch or retained, got {denominator!r}")
    one_of(("first_order", "retained"), form=form)  # the others have no theorem


@dataclass(frozen=True)
class Steps:
    """The steps of a schedule as arrays f[t].

    Args:
        rates: learning rates.
        filled: the batch's slots divided by its divisor. The batch's Hessian is `filled` times a mean of examples'
            Hessians.
        gone: f, the forgotten slots divided by the divisor.
        kept: the same factor as `filled`, for the Hessian of the retained step.
        emptied: bool[t]; whether no example is left to divide by (denominator "retained").
        rho: contraction of the original step.
        rho_kept: contraction of the retained step.
    """

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
        """The steps for batches of `sizes` slots, of which `gone` are forgotten. `divisors` counts only for "batch"."""
        rates, sizes, gone, divisors = (np.asarray(a, np.float64) for a in (rates, sizes, gone, divisors))
        sizes, gone, divisors = (np.broadcast_to(a, rates.shape) for a in (sizes, gone, divisors))
        if (rates < 0).any() or (gone < 0).any() or (gone > sizes).any() or (divisors < 0).any():
            raise BadInput("rates and counts must be at least 0, and gone must not exceed sizes in any batch")
        divisors = sizes if denominator == "retained" else divisors
        share = np.divide(1.0, divisors, out=np.zeros_like(rates), where=divisors > 0)
        filled, gone_share = sizes * share, gone * share
        if denominator == "retained":
            emptied = (gone == sizes) & (sizes > 0)
            rest = np.where(emptied, 0.0, filled)
        else:
            emptied = np.zeros(rates.shape, bool)
            rest = filled - gone_share
        rho = _contraction(constants, constants.contraction, rates, filled, weight_decay)
        rho_kept = _contraction(constants, constants.retained_contraction, rates, rest, weight_decay)
        rho_kept = np.where(emptied, np.abs(1 - rates * weight_decay), rho_kept)
        return cls(rates, filled, gone_share, rest, emptied, rho, rho_kept)


def _contraction(
    constants: HessianFreeConstants, setting: Any, rates: np.ndarray, share: np.ndarray, weight_decay: float
) -> np.ndarray:
    """f[t] >= ‖I − rate (share H + weight_decay I)‖ for any mean H of examples' Hessians."""
    if setting is None:
        assert constants.convexity is not None
        ends = (constants.convexity, constants.smoothness)
        low, high = (np.abs(1 - rates * (weight_decay + share * end)) for end in ends)
        return np.maximum(low, high)
    values = np.asarray(setting, np.float64)
    if values.ndim and values.shape != rates.shape:
        raise BadInput(f"a contraction for each step needs {len(rates)} numbers, got {len(values)}")
    return np.broadcast_to(values, rates.shape)


def remainder(constants: HessianFreeConstants, distance: float) -> float:
    """min(M D²/2, span D) >= ‖grad l(w') − grad l(w) − H(w)(w' − w)‖, with D >= ‖w' − w‖."""
    return min(constants.hessian_lipschitz * distance * distance / 2, constants.span * distance)


def injection(constants: HessianFreeConstants, denominator: str) -> float:
    """The distance that one forgotten share of a batch moves retraining, divided by the learning rate."""
    return constants.gradient_spread if denominator == "retained" else constants.gradient_bound


def crossing(constants: HessianFreeConstants, denominator: str, distance: float, gone: float) -> float:
    """The largest change of one forgotten share's injection from w to w', with D >= ‖w' − w‖ and f = `gone`."""
    change, spread = constants.gradient_change, constants.gradient_spread
    if denominator == "batch":
        return min(constants.smoothness * distance, change)
    return (1 - gone) * min(constants.span * distance, 2 * change, 2 * spread) + gone * spread
