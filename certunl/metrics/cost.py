"""The cost of forgetting."""

from certunl.metrics._outcome import Outcome

__all__ = ["cost"]


def cost(outcome: Outcome) -> dict[str, float]:
    """`seconds` of `forget` without compilation, and `solver_residual` ‖v − A x‖/‖v‖ on the full retained data.

    Both are NaN for a model whose update does not record them.
    """
    missing = float("nan")
    return {
        "seconds": outcome.cost.get("seconds", missing),
        "solver_residual": outcome.cost.get("residual", missing),
    }
