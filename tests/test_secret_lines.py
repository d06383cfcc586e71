"""Several releases of one training on secret batches: what they spend together."""

from dataclasses import replace

import numpy as np

import certunl as cu
from certunl.certificates.budget import Common, joint
from certunl.certificates.mixtures import mixture_epsilon
from tests.test_secret_batches import secret_run

BUDGET = cu.Budget(epsilon=9.0, delta=1e-5)


def secret_line(requests, rewinds, budget=BUDGET):
    """The account of requests one after another to a training on secret batches, and their own certificates."""
    run, account, certificates = secret_run(noise=9.0, states=2), None, []
    for request, step in zip(requests, rewinds, strict=True):
        update = cu.NoisyRetrain(rewind_to=step).forget(run, None, request, cu.secret_key())
        certificates.append(cu.certify(update, budget, account=account).certificate)
        run, account = run.minus(request, update), certificates[-1].account
    return account, certificates


def test_releases_of_one_training_on_secret_batches_as_it_is_are_that_of_the_last():
    account, certificates = secret_line([[3], [7, 9], [20]], [None] * 3)
    own = [certificate.epsilon for certificate in certificates]
    assert own == sorted(own) and own[0] < own[2]
    assert account.epsilon(1e-5) == own[2] and account.least_delta == 1e-5 and account.releases == 3
    assert f"composed epsilon {own[2]:.4g} at delta 1e-05" in str(certificates[-1])
    lines = [Common(0.1, "", end, 6, True, True, True, (0.5, 1e-6)) for end in ("a", "b")]
    apart = cu.Account(pairs=((0.5, 1e-6), (0.5, 1e-6)), common=tuple(lines))
    assert apart.epsilon(1e-5) > 1.0 and apart.least_delta == 2e-6  # neither has forgotten whom the other has


def test_a_release_that_may_tell_batches_makes_later_ones_count_by_their_slots():
    account, _ = secret_line([[3], [7]], [0, None])
    later = account.common[-1]
    assert joint(account.common) == later.ratio > 0 and account.epsilon(1e-4) > sum(e for e, _ in account.pairs)
    account, _ = secret_line([[3], [7]], [None, 0])
    assert joint(account.common) == 0


def test_fresh_steps_with_known_batches_would_break_the_price_of_secret_ones():
    # one step, one example in it with probability q: first a fresh release with it, then the training as it is
    q, z, delta = 0.1, 0.7, 1e-3
    epsilon = mixture_epsilon(delta, group=1, rate=q, noise=z, steps=1)
    x = np.linspace(-8, 9, 1401) * z
    absent, present = (np.exp(-((x - m) ** 2) / (2 * z**2)) / np.sqrt(2 * np.pi) / z for m in (0.0, 1.0))
    cell = (x[1] - x[0]) ** 2
    told = (1 - q) * np.outer(absent, absent) + q * np.outer(present, present)
    without = np.outer((1 - q) * absent + q * present, absent)
    joint_delta = np.maximum(told - np.exp(epsilon) * without, 0).sum() * cell
    alone = np.maximum((1 - q) * absent + q * present - np.exp(epsilon) * absent, 0).sum() * (x[1] - x[0])
    assert alone <= delta * 1.01 and joint_delta > 1.5 * delta


def test_no_edit_of_the_run_hides_that_a_release_may_tell_batches():
    run, budget = secret_run(noise=9.0, states=2), cu.Budget(epsilon=9.0, delta=1e-5)
    for edited in (
        run,
        replace(run, noise=None),
        replace(run, noise=replace(run.noise, batches="")),
        replace(run, recipe=replace(run.recipe, batches="poisson")),
    ):
        first = cu.NoisyRetrain(rewind_to=0).forget(edited, None, [3], cu.secret_key())
        account = cu.certify(first, budget).certificate.account
        update = cu.NoisyRetrain().forget(run.minus([3], first), None, [7], cu.secret_key())
        account = cu.certify(update, budget, account=account).certificate.account
        assert account.epsilon(1e-4) > 1.5


def test_the_account_depends_on_the_number_of_the_forgotten_and_not_on_their_batches():
    run, budget = secret_run(noise=9.0, states=2), cu.Budget(epsilon=9.0, delta=1e-5)
    first = cu.NoisyRetrain(rewind_to=0).forget(run, None, [3], cu.secret_key())
    spent = set()
    for i in (4, 7, 9, 12, 20, 29):
        account = cu.certify(first, budget).certificate.account
        update = cu.NoisyRetrain().forget(run.minus([3], first), None, [i], cu.secret_key())
        certificate = cu.certify(update, budget, account=account).certificate
        assert f"composed epsilon {certificate.account.epsilon(2e-5):.4g} at delta 2e-05" in str(certificate)
        spent.add(certificate.account.epsilon(1e-4))
    assert len(spent) == 1 and np.isfinite([*spent]).all()
