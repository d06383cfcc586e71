"""Training with noise on secret Poisson batches: the price of a group by its size."""

import numpy as np

from certunl.certificates.guarantee import Assumption, Guarantee
from certunl.certificates.mixtures import mixture_epsilon
from certunl.certificates.statement import Pairs
from certunl.training.run import Run
from certunl.training.sealing import batches_of
from certunl.training.secret_batches import MISSED, batch_slots

__all__ = ["DELTAS", "batches_are_secret", "largest_group", "secret_batches", "secret_epsilon"]

DELTAS = tuple(float(f"{digit}e-{power}") for power in range(9, 1, -1) for digit in range(1, 10))
"""The deltas at which `secret_batches` proves an epsilon."""

_NOBODY = 1e-18
"""The delta at which it proves epsilon 0 where the forgotten are in no step."""


def batches_are_secret(run: Run) -> bool:
    """Whether the secret of its noise drew the batches of this training, to the last bit."""
    own = run.recipe.batches == "secret" and run.noise is not None
    return own and run.noise is not None and run.noise.batches == batches_of(run)


def secret_batches(
    run: Run, gone: int, *, until: int, rounding: float, secret: str, unchecked: tuple[str, ...]
) -> Guarantee:
    """The guarantee of a training with noise on secret Poisson batches that the forgotten have left at step `until`.

    Let k = `gone` examples be forgotten, now or before. Each is in each batch independently with probability q. So a
    step t < `until` has j of them with the probability Binomial(k, q)(j). Its sum then differs by at most j C, and by
    rounding in at most j microbatches, from the same step without them. `certificates.mixture_epsilon` composes the
    steps. The reference is the same training on the retained examples: as many steps, the same q, divisor and slots,
    and secret batches and noise of its own. The guarantee holds for any loss, network and optimizer.

    Proof: condition on the batches of the others and on their slots. The slots of a batch are drawn at random among W
    that depend on settings alone. So the forgotten take free slots of a random choice, and move nobody. The
    microbatches without them have the same sums, to the last bit, in both trainings. What is left is a mixture of
    Gaussians of j shifts, and the hockey-stick divergence is jointly convex. Overflowing batches have a probability of
    at most `secret_batches.MISSED`, which delta pays for.

    Steps from `until` on have the batches of the others as they were drawn, in the slots that they had. Both are
    independent of the forgotten, so these steps have the law of the reference. Noise is fresh there.

    The price holds for those who know none of the batches. Whoever learns some of them, from the run folder or from the
    risks of single batches, may tell the forgotten apart more easily. The price is then that of known batches.

    Args:
        run: a run of `train` with a recipe of noise and batches "secret".
        gone: k, everyone who is forgotten, now or before. All examples of an owner count.
        until: s, the first step that is trained again, or the number of steps.
        rounding: r, the distance that rounding adds to a microbatch's sum, in units of C.
        secret: the digest of the secret of the fresh noise.
        unchecked: open questions about states, noise and device.
    """
    recipe, steps, slots = run.recipe, len(run.schedule), _slots(run)
    pairs = tuple(
        (secret_epsilon(run, gone, delta, until=until, rounding=rounding), delta)
        for delta in (DELTAS if gone and until else (_NOBODY,))
    )
    rests = (
        ("C", recipe.clip_each, "largest norm of one example's gradient"),
        ("z", recipe.noise, "standard deviation of the noise of a batch's sum, in units of C"),
        ("q", _rate(run), "probability of an example in a batch, for all who know no batches and not the run folder"),
        ("k", gone, "examples that are forgotten, now or before"),
        ("T", steps, "steps of the training"),
        ("s", until, "first step without the forgotten; T where no step is trained again"),
        ("W", slots, "slots of a step, which depend on settings alone"),
        ("r", rounding, "distance that rounding adds to the sum of a microbatch, in units of C"),
    )
    return Guarantee(
        says=Pairs(tuple(pair for pair in pairs if np.isfinite(pair[0])), float(recipe.noise), secret),
        reference="the same training with noise and secret Poisson batches on the retained examples",
        sense="noisy training",
        every_request=True,
        from_training=True,
        assumptions=tuple(Assumption(symbol, float(value or 0), "proved", meaning) for symbol, value, meaning in rests),
        unchecked=unchecked,
    )


def secret_epsilon(run: Run, gone: int, delta: float, *, until: int, rounding: float) -> float:
    """The epsilon at `delta` of `secret_batches` for `gone` forgotten examples."""
    return mixture_epsilon(
        delta,
        group=gone,
        rate=_rate(run),
        noise=run.recipe.noise,
        steps=until,
        rounding=rounding,
        missed=2 * MISSED,
    )


def largest_group(run: Run) -> int:
    """The size of the largest unit that is present, an example or an owner, and everyone forgotten before."""
    present, owners = np.asarray(run.present), run.problem.data.owners
    largest = 1 if owners is None else int(np.unique(np.asarray(owners)[present], return_counts=True)[1].max())
    return largest + int((~present).sum())


def _rate(run: Run) -> float:
    """q rounded up. The threshold of the drawing is rounded down."""
    examples = len(run.problem.data)
    return min(1.0, float(np.nextafter(run.recipe.batch_size / examples, 2)))


def _slots(run: Run) -> int:
    examples = len(run.problem.data)
    return batch_slots(examples, min(run.recipe.batch_size, examples), len(run.schedule))
