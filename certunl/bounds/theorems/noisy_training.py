"""Training with noise as it is, or trained again from a step on: the price of the forgotten by their slots."""

from dataclasses import replace
from typing import Any

import numpy as np

from certunl.base import digest
from certunl.bounds.slots import slot_ratio, sum_rounding
from certunl.bounds.theorems.secret_batches import batches_are_secret, largest_group, secret_batches, secret_epsilon
from certunl.certificates.budget import Common
from certunl.certificates.gaussian import read_epsilon
from certunl.certificates.guarantee import Assumption, Guarantee
from certunl.certificates.statement import OwnNoise
from certunl.training.run import Run
from certunl.training.slot_table import DEVICE, SlotTable, open_questions

__all__ = ["common_of", "noisy_training", "prices", "request_epsilon", "settings_of", "worst_epsilon"]


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
    table = SlotTable.of(run)
    until = len(table.indices) if until is None else until
    common = common_of(table, run.present, gone, until)
    unchecked = open_questions(run) if until else tuple({DEVICE} & {*open_questions(run)})
    if batches_are_secret(run):
        forgotten, rounding = int(np.sum(gone)), _rounding(table)
        of_size = secret_batches(run, forgotten, until=until, rounding=rounding, secret=secret, unchecked=unchecked)
        # the largest of so many examples, because the account must not tell the batches of these
        largest = forgotten * float(_each(table, np.ones(len(gone), bool), None, until).max(initial=0.0))
        return replace(of_size, common=replace(common, ratio=largest, own=True))
    s = Assumption("s", float(until), "proved", "first step without the forgotten; T where no step is trained again")
    return Guarantee(
        says=OwnNoise(common.ratio, 1.0, secret),
        reference="the same training with noise, on the same schedule without the request",
        sense="noisy training",
        from_training=True,
        common=replace(common, own=True),  # also at 0, where its steps may tell the batches
        assumptions=(*settings_of(table, run.problem.data.owners), s),
        unchecked=unchecked,
    )


def common_of(table: SlotTable, present: Any, gone: np.ndarray, until: int) -> Common:
    """What a release has in common with others: noise of the first `until` steps, for everyone who is `gone`.

    Args:
        present: bool[n], the examples before the request.
        gone: bool[n], every example that is forgotten, now or before.
    """
    ratio = slot_ratio(*table.taken(gone, until), noise=table.noise, rounding=_rounding(table))
    start, end = (digest(table.seal, np.packbits(np.asarray(a, bool))) for a in (np.logical_not(present), gone))
    return Common(ratio, start, end, until, whole=until == len(table.indices))


def settings_of(table: SlotTable, owners: Any) -> tuple[Assumption, ...]:
    """The numbers that the price depends on, and the largest price of any one."""
    everyone = np.ones(1 + table.indices.max(initial=0) if owners is None else len(owners), bool)
    rests = (
        ("C", table.clip_each, "largest norm of one example's gradient"),
        ("z", table.noise, "standard deviation of the noise of a batch's sum, in units of C"),
        ("T", len(table.indices), "steps of the training"),
        ("r", _rounding(table), "distance that rounding adds to the sum of a microbatch, in units of C"),
        ("worst", _each(table, everyone, owners).max(), "largest ratio of the training for any one, whoever asks"),
    )
    return tuple(Assumption(symbol, float(value), "proved", meaning) for symbol, value, meaning in rests)


def prices(run: Run, until: int | None = None, *, alone: bool = False) -> np.ndarray:
    """f[u]: the ratio of `noisy_training` for each unit, an example or an owner, and everyone forgotten before.

    Its largest value can be promised to whoever asks next: `read_epsilon(1/ratio, delta)` is the epsilon of doing
    nothing. With `alone`, nobody counts but the unit. That can be promised to whoever asks first. They are
    prices of known batches; `worst_epsilon` has that of secret ones.
    """
    table, present = SlotTable.of(run), np.asarray(run.present)
    return _each(table, np.ones_like(present) if alone else present, run.problem.data.owners, until)


def _each(table: SlotTable, present: np.ndarray, owners: Any, until: int | None = None) -> np.ndarray:
    indices = table.indices[:until]
    counted = indices >= 0
    gone = (counted & ~present[indices]).sum(axis=1)
    counted &= present[indices]
    unit = np.arange(len(present)) if owners is None else np.unique(np.asarray(owners), return_inverse=True)[1].ravel()
    place = np.broadcast_to(np.arange(len(indices))[:, None], counted.shape)[counted]
    pairs, slots = np.unique(place * (unit.max() + 1) + unit[indices[counted]], return_counts=True)
    squares, before = np.full(unit.max() + 1, np.sum(gone**2)), gone[pairs // (unit.max() + 1)]
    np.add.at(squares, pairs % len(squares), (slots + before) ** 2 - before**2)
    return np.sqrt(squares) * (1 + _rounding(table)) / table.noise  # at most one microbatch for a slot


def worst_epsilon(run: Run, delta: float, until: int | None = None) -> float:
    """The largest epsilon of a request for any one unit that is present, with everyone forgotten before."""
    until = len(run.schedule) if until is None else until
    if batches_are_secret(run):
        return secret_epsilon(run, largest_group(run), delta, until=until, rounding=_rounding(SlotTable.of(run)))
    return _epsilon(float(prices(run, until).max(initial=0.0)), delta)


def request_epsilon(run: Run, gone: np.ndarray, delta: float, until: int) -> float:
    """The epsilon of `noisy_training` at `delta`."""
    if batches_are_secret(run):
        return secret_epsilon(run, int(np.sum(gone)), delta, until=until, rounding=_rounding(SlotTable.of(run)))
    return _epsilon(noisy_training(run, gone, until=until).bound or 0.0, delta)


def _epsilon(ratio: float, delta: float) -> float:
    return read_epsilon(1 / ratio, delta) if ratio else 0.0


def _rounding(table: SlotTable) -> float:
    return sum_rounding(table.microbatch, table.width, table.cell / table.clip_each)
