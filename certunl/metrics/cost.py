"""What forgetting took."""

from certunl.typing import Outcome

__all__ = ["cost"]


def cost(outcome: Outcome) -> dict[str, float]:
    """`seconds` of the call that forgot, compilation apart (NaN where nothing was done)."""
    return {"seconds": outcome.cost.get("seconds", float("nan"))}
