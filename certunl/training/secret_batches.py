"""Poisson batches that a secret draws: who is in each batch of a training with noise, and in which slots."""

import math

import numpy as np

from certunl.certificates.secret import expanded

__all__ = ["MISSED", "batch_slots", "members_and_slots"]

MISSED = 2.0**-80
"""The largest probability that any batch of a training has more examples than `batch_slots`."""


def batch_slots(examples: int, batch_size: int, steps: int) -> int:
    """The slots W of every step. They depend on the settings and on nobody's presence.

    b = `batch_size` is the mean of a batch. With L = ln(steps/MISSED), the smaller of the number of examples and

        W = ⌈b + L/3 + √(L²/9 + 2 b L)⌉

    Source: Bernstein's inequality for a sum of independent numbers that are 0 or 1, and a union over the steps.

    >>> batch_slots(60_000, 2_000, 900)
    2521
    """
    excess = math.log(steps / MISSED)
    return min(examples, math.ceil(batch_size + excess / 3 + math.sqrt(excess**2 / 9 + 2 * batch_size * excess)))


def members_and_slots(seed: bytes, examples: int, batch_size: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """(indices i32[t, W], weights f[t, W]) of batches that hold each example independently with probability q.

    q is b/n, rounded down to a multiple of 2^-64. An example is in a batch if its own 64 bits are below q 2^64. The m
    examples of a batch take m slots at random, and the other slots are empty. Then anybody's absence leaves the others
    in slots of the same law, and moves none of them. All bits are expanded from `seed`.

    Ties between the 128 bits that order the slots are the only departure from that law. They have a probability below
    W² 2^-128 a step.
    """
    below = (batch_size << 64) // examples
    batches = []
    for step in range(steps):
        bits = np.frombuffer(expanded(seed, b"members of batch %d" % step, 8 * examples), "<u8")
        batches.append(np.arange(examples) if below >> 64 else np.flatnonzero(bits < np.uint64(below)))
    width = max(batch_slots(examples, batch_size, steps), *map(len, batches))
    indices, weights = np.zeros((steps, width), np.int32), np.zeros((steps, width))
    for step, members in enumerate(batches):
        order = np.frombuffer(expanded(seed, b"slots of batch %d" % step, 16 * width), "<u8")
        slots = np.lexsort(order.reshape(2, width))[: len(members)]
        indices[step, slots], weights[step, slots] = members, 1.0
    return indices, weights
