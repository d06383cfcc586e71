"""How far a number of a table lies from that of retraining, for the colour of its cell."""

import math

__all__ = ["KEY", "shade"]

KEY = (
    "Orange: above retraining. Blue: below. The colour is full at 0.1 of an accuracy, agreement, tug of war or AUC, at "
    "twice or half of a loss, and at relative distance 1."
)
"""What the colours mean."""


def shade(column: str, value: float, truth: float) -> float:
    """The difference of `value` to the retrained model's `truth`, from -1 to 1; 0 for a column without a scale.

    An accuracy, an agreement, an AUC and the tug of war have 1 at a difference of 0.1, a loss at a factor of 2, and the
    relative distance at 1, the distance of doing nothing.

    >>> shade("test_accuracy", 0.91, 0.96), shade("seconds", 1.0, 9.0)
    (-0.5, 0.0)
    """
    if column.endswith("_loss"):
        apart = math.log2(value / truth) if value > 0 and truth > 0 else math.nan
    elif column == "relative_distance":
        apart = value - truth
    elif column.endswith(("_accuracy", "_agreement", "auc")) or column == "tug_of_war":
        apart = (value - truth) / 0.1
    else:
        return 0.0
    return 0.0 if math.isnan(apart) else round(max(-1.0, min(1.0, apart)), 2)
