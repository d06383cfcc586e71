"""What forgetting took."""

from certunl.metrics._outcome import Outcome

__all__ = ["cost"]


def cost(outcome: Outcome) -> dict[str, float]:
    """`seconds` of the call that forgot, compilation apart; `solver_residual` ‖v − A x‖/‖v‖ on the full retained data
    (NaN where nothing was done or solved)."""
    nothing = float("nan")
    return {
        "seconds": outcome.cost.get("seconds", nothing),
        "solver_residual": outcome.cost.get("residual", nothing),
    }
