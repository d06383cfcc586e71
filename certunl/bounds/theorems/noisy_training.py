"""Training with noise as it is, or trained again from a step on: the price of the forgotten by their slots."""

import jax
import numpy as np

from certunl.base import width
from certunl.bounds.slots import slot_ratio, sum_rounding
from certunl.bounds.theorems.secret_batches import batches_are_secret, largest_group, secret_batches, secret_epsilon
from certunl.certificates.gaussian import read_epsilon
from certunl.certificates.guarantee import Assumption, Guarantee
from certunl.certificates.statement import OwnNoise
from certunl.errors import BadInput
from certunl.training.noisy_gradient import microbatch, noise_grid
from certunl.training.run import Run
from certunl.training.sealing import seal_of

__all__ = ["noisy_training", "prices", "request_epsilon", "worst_epsilon"]

_DEVICE = (
    "sums of gradients on this device round as those of float32 do, and are the same whenever they are computed from "
    "the same numbers"
)
_FOREIGN = "the kept states, and the noise that the recipe names, are those of the training"


def noisy_training(run: Run, gone: np.ndarray, *, until: int | None = None, secret: str = "") -> Guarantee:
    """The guarantee of a training with noise that the forgotten have left at step `until`.

    They take k_t slots of step t < `until`, in m_t microbatches. The release is the end of the training, whose steps
    from `until` on have fresh noise and none of their slots. It is as hard to tell from the end of the same training
    without them, with noise of its own, as two Gaussians of the ratio `bounds.slot_ratio`, or harder. This holds for
    any loss, network and optimizer, because the optimizer gets noisy gradients alone. If the secret of the noise drew
    the batches, it is that of `secret_batches`.

    Args:
        run: a run of `train` with a recipe that has `noise`.
        gone: bool[n], every example that is forgotten, now or before.
        until: s. Default: the number of steps, where nothing is trained again.
        secret: the digest of the secret of the fresh noise.

    Raises: BadInput for a run without noise.
    """
    _need_noise(run)
    steps = len(run.schedule)
    until = steps if until is None else until
    rounding, gone = _rounding(run), np.asarray(gone, bool)
    unchecked = _unchecked(run, until)
    if batches_are_secret(run):
        forgotten = int(gone.sum())
        return secret_batches(run, forgotten, until=until, rounding=rounding, secret=secret, unchecked=unchecked)
    taken = gone[np.asarray(run.schedule.indices[:until])] & (np.asarray(run.schedule.weights[:until]) != 0)
    taken = np.pad(taken, ((0, 0), (0, -taken.shape[1] % _size(run))))
    parts = taken.reshape(until, taken.shape[1] // _size(run), _size(run)).any(axis=2).sum(axis=1)
    recipe = run.recipe
    ratio = slot_ratio(taken.sum(axis=1), parts, noise=recipe.noise, rounding=rounding)
    rests = (
        ("C", recipe.clip_each, "largest norm of one example's gradient"),
        ("z", recipe.noise, "standard deviation of the noise of a batch's sum, in units of C"),
        ("T", steps, "steps of the training"),
        ("s", until, "first step without the forgotten; T where no step is trained again"),
        ("r", rounding, "distance that rounding adds to the sum of a microbatch, in units of C"),
        ("worst", prices(run, alone=True).max(), "largest ratio that the trained model has for any one, whoever asks"),
    )
    return Guarantee(
        says=OwnNoise(ratio, 1.0, secret),
        reference="the same training with noise, on the same schedule without the request",
        sense="noisy training",
        from_training=True,
        assumptions=tuple(Assumption(symbol, float(value or 0), "proved", meaning) for symbol, value, meaning in rests),
        unchecked=unchecked,
    )


def prices(run: Run, until: int | None = None, *, alone: bool = False) -> np.ndarray:
    """f[u]: the ratio of `noisy_training` for each unit, an example or an owner, and everyone forgotten before.

    Its largest value can be promised to whoever asks next: `read_epsilon(1/ratio, delta)` is the epsilon of doing
    nothing. With `alone`, nobody counts but the unit. That can be promised to whoever asks first. They are
    prices of known batches; `worst_epsilon` has that of secret ones.
    """
    _need_noise(run)
    steps = len(run.schedule) if until is None else until
    indices, present = np.asarray(run.schedule.indices[:steps]), np.asarray(run.present)
    counted = np.asarray(run.schedule.weights[:steps]) != 0
    if alone:
        present = np.ones_like(present)
    gone = (counted & ~present[indices]).sum(axis=1)
    counted &= present[indices]
    owners = run.problem.data.owners
    unit = np.arange(len(present)) if owners is None else np.unique(np.asarray(owners), return_inverse=True)[1].ravel()
    place = np.broadcast_to(np.arange(steps)[:, None], counted.shape)[counted]
    pairs, slots = np.unique(place * (unit.max() + 1) + unit[indices[counted]], return_counts=True)
    squares, before = np.full(unit.max() + 1, np.sum(gone**2)), gone[pairs // (unit.max() + 1)]
    np.add.at(squares, pairs % len(squares), (slots + before) ** 2 - before**2)
    return np.sqrt(squares) * (1 + _rounding(run)) / run.recipe.noise  # at most one microbatch for a slot


def worst_epsilon(run: Run, delta: float, until: int | None = None) -> float:
    """The largest epsilon of a request for any one unit that is present, with everyone forgotten before."""
    until = len(run.schedule) if until is None else until
    if batches_are_secret(run):
        return secret_epsilon(run, largest_group(run), delta, until=until, rounding=_rounding(run))
    return _epsilon(float(prices(run, until).max(initial=0.0)), delta)


def request_epsilon(run: Run, gone: np.ndarray, delta: float, until: int) -> float:
    """The epsilon of `noisy_training` at `delta`."""
    if batches_are_secret(run):
        return secret_epsilon(run, int(np.sum(gone)), delta, until=until, rounding=_rounding(run))
    return _epsilon(noisy_training(run, gone, until=until).bound or 0.0, delta)


def _epsilon(ratio: float, delta: float) -> float:
    return read_epsilon(1 / ratio, delta) if ratio else 0.0


def _unchecked(run: Run, until: int) -> tuple[str, ...]:
    record = () if run.noise is None else run.noise.unchecked
    device = (_DEVICE,) if jax.default_backend() != "cpu" else ()
    own = () if not until or (run.noise is not None and run.provenance.noise == seal_of(run)) else (_FOREIGN,)
    return (*(record if until else ()), *own, *device)


def _size(run: Run) -> int:
    return microbatch(run.start, run.schedule.indices.shape[1])


def _rounding(run: Run) -> float:
    cell = noise_grid(run.recipe, run.schedule.indices.shape[1])
    return sum_rounding(_size(run), width(run.start), cell / float(run.recipe.clip_each or 1))


def _need_noise(run: Run) -> None:
    if not run.recipe.noise:
        raise BadInput("this run was trained without noise; train with Recipe(clip_each=..., noise=...)")
