"""The interval of an accuracy."""

import math
from statistics import NormalDist

__all__ = ["wilson"]


def wilson(share: float, size: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of an accuracy `share` on `size` examples, which are taken for a sample of all such examples:

        (p + z²/2n ± z sqrt(p(1 − p)/n + z²/4n²)) / (1 + z²/n)

    Where an example is right in part (places of a sequence, several bits), the interval is too wide rather than too
    narrow, because a share of predictions varies less than a coin.

    Source: Wilson 1927.

    >>> [round(end, 4) for end in wilson(0.9, 100)]
    [0.8256, 0.9448]
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    middle, spread = share + z * z / (2 * size), z * math.sqrt(share * (1 - share) / size + (z / (2 * size)) ** 2)
    low, high = (middle - spread) / (1 + z * z / size), (middle + spread) / (1 + z * z / size)
    return max(low, 0.0), min(high, 1.0)
