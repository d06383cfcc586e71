"""The chunks of a training, and the ends of its stages and the places of its states, which lie between chunks."""

from collections.abc import Iterator

from certunl.errors import BadInput, whole

__all__ = ["MOST", "chunks", "even_places", "stage_ends"]

MOST = 9
"""The most slices. A request for one example repeats (2 R + 1)/(3 R) of a training. That is .70 for 9, and never less
than 2/3."""


def chunks(total: int) -> Iterator[tuple[int, int]]:
    """(first, end) of each chunk: about a hundred of one size, and a last one of at least two steps.

    XLA compiles a loop of one step in another way. Two sizes are compiled twice, so one that divides all is taken.
    """
    size = _size(total)
    ends = [*range(size, total - 1, size), total]
    yield from zip([0, *ends[:-1]], ends, strict=True)


def stage_ends(slices: int, total: int) -> tuple[int, ...]:
    """The steps after which the stages of a training of `total` steps end, but for the last stage.

    Stage j of R learns from the slices 1 to j, and has 2 j/(R (R + 1)) of the steps. So an epoch of any stage passes
    over its data equally often. Ends are rounded down to chunks.

    Raises: BadInput for a training that is too short for so many stages.

    >>> stage_ends(3, 120)
    (20, 60)
    """
    size, R = _size(total), slices
    number = total // size
    if R > 1 and 2 * number < R * (R + 1):
        raise BadInput(
            f"{R} slices need at least {R * (R + 1)} steps of training, and there are {total}; give fewer slices, "
            "smaller batches or more epochs"
        )
    return tuple(size * (number * j * (j + 1) // (R * (R + 1))) for j in range(1, R))


def even_places(states: int, total: int) -> tuple[int, ...]:
    """The steps of `states` states, evenly over a training of `total` steps, without the start. They lie between
    chunks, so a short training has fewer."""
    whole(least=1, most=total, states=states)
    size = _size(total)
    places = {size * round(i * (total // size) / states) for i in range(1, states)}
    return tuple(sorted(place for place in places if 0 < place < total - 1))


def _size(total: int) -> int:
    least = max(2, total // 100)
    return next((size for size in range(least, 2 * least) if total % size == 0), least)
