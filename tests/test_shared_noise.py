"""Releases that hold the noise of one training: it counts once for all of them, beside one such training."""

import math
from dataclasses import replace

import dp_accounting
import jax
import numpy as np
import pytest

import certunl as cu
from certunl.certificates.budget import Common, joint
from certunl.certificates.sharing import SHARE
from tests.cases import KEY
from tests.heads import BUDGET, METHOD, REST, certified, head_on, network_with_noise, price


@pytest.fixture(scope="module")
def noisy():
    with jax.enable_x64(False):
        yield network_with_noise()


@pytest.fixture(scope="module")
def head(noisy):
    with jax.enable_x64(False):
        yield head_on(cu.Features.of(noisy)(noisy.problem.data))


def test_the_extractor_counts_once_for_all_heads_of_a_line(noisy, head):
    account, run, gone, whole = None, head, [], 1 / dp_accounting.get_sigma_gaussian(20, 1e-5)
    for count, request in enumerate(([3], [7, 9], [20]), 1):
        update = METHOD.forget(run, None, request, KEY)
        certificate = cu.certify(update, BUDGET, cu.secret_key(), account=account).certificate
        run, account, gone = run.minus(request, update), certificate.account, gone + request
        assert update.guarantee.common.ratio == pytest.approx(price(noisy, gone)) and price(noisy, gone) < SHARE * whole
        assert account.mu == pytest.approx(whole * math.hypot(SHARE, REST * math.sqrt(count)))
    strangers = certified(head, [3]).account
    second = certified(head, [11], account=strangers).account  # of the original head, which still counts 3
    assert second.mu == pytest.approx(whole * math.hypot(2 * SHARE, REST, REST))
    assert price(noisy, [3]) + price(noisy, [11]) >= price(noisy, [3, 11])
    folder_like = replace(account, common=(*account.common, *strangers.common))
    assert folder_like.mu > account.mu and account.extends(strangers) is False


def test_releases_of_one_noisy_training_add_by_their_slots(noisy):
    first, run = cu.NoisyRetrain().forget(noisy, None, [3], KEY), noisy
    release = cu.certify(first, cu.Budget(epsilon=20.0, delta=1e-5))
    again = cu.NoisyRetrain().forget(run.minus([3], first), None, [7], KEY)
    both = cu.certify(again, cu.Budget(epsilon=20.0, delta=1e-5), account=release.certificate.account)
    assert both.certificate.account.mu == release.certificate.mu  # each states the budget's epsilon
    assert [c.ratio for c in (first.guarantee.common, again.guarantee.common)] == [price(run, [3]), price(run, [3, 7])]
    back = cu.NoisyRetrain(rewind_to=3).forget(run.minus([3], first), None, [7], cu.secret_key()).guarantee.common
    assert back.steps == 3 and back.ratio < price(run, [3, 7])
    parts = [first.guarantee.common, again.guarantee.common, back]
    assert joint(parts[:2]) == parts[1].ratio and joint([parts[0], back]) == math.hypot(parts[0].ratio, back.ratio)
    assert joint([parts[1], parts[0]]) == parts[0].ratio + parts[1].ratio  # in no order in which requests were made


def test_the_ratio_of_several_releases_covers_every_step():
    rng = np.random.default_rng(0)
    for _ in range(50):
        steps, count = 6, 3
        slots = np.cumsum(rng.integers(0, 3, (count, steps)), axis=0)  # of everyone forgotten by each release
        ends = rng.integers(1, steps + 1, count)
        parts = [
            Common(float(np.sqrt(np.sum(k[:s] ** 2))), str(j), str(j + 1), int(s))
            for j, (k, s) in enumerate(zip(slots, ends, strict=True))
        ]
        exact = sum(
            max((k[t] ** 2 for k, s in zip(slots, ends, strict=True) if s > t), default=0) for t in range(steps)
        )
        assert joint(parts) >= math.sqrt(exact) - 1e-9
        apart = [replace(part, start="0") for part in parts]
        assert joint(apart) == pytest.approx(sum(part.ratio for part in parts))
