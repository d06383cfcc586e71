"""A line of requests: what it spends, what it refuses, and that noise never enters the state."""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.certificates.budget import Charge
from certunl.timing import Stopwatch
from tests.cases import KEY, claimed, classes, gap, ridge, trained, vector


@pytest.mark.parametrize(("count", "epsilon"), [(2, 1.465), (5, 2.442), (10, 3.619), (50, 9.359), (100, 14.429)])
def test_releases_of_epsilon_one_compose_to_the_known_table(count, epsilon):
    account = cu.Account()
    for _ in range(count):
        account = account.charge(Charge(ratios=(0.2680511232,)))
    assert account.epsilon(1e-5) == pytest.approx(epsilon, abs=1e-3)


def test_composition_of_unequal_gaussians_is_root_of_the_sum_of_squares():
    mixed = cu.Account(ratios=(0.3, 0.4)).epsilon(1e-5)
    assert mixed == pytest.approx(cu.Account(ratios=(0.5,)).epsilon(1e-5), rel=1e-9)
    assert cu.Account().epsilon(1e-5) == 0


def test_failures_are_paid_from_the_total_delta():
    safe, failing = (cu.Account(ratios=(0.3,), failures=f).epsilon(1e-5) for f in (0.0, 0.9e-5))
    assert failing > safe
    assert math.isinf(cu.Account(ratios=(0.3,), failures=1e-5).epsilon(1e-5))


def convex_run():
    problem = cu.classification(cu.models.Linear(classes=3, dtype=jnp.float64), classes(n=60))
    return trained(problem, weight_decay=1.0, radius=3.0, epochs=30)


def stream_of(run, total=None):
    method = cu.Newton(damping=0.01, gradient="retained", assumed="linear")
    total = None if total is None else cu.Budget(epsilon=total, delta=1e-5)
    return cu.Stream(run=run, method=method, account=cu.Account(total=total))


BUDGET = cu.Budget(epsilon=1.0, delta=1e-5)


def test_ten_requests_in_sequence_spend_what_ten_gaussians_do_and_compile_once():
    run = convex_run()
    stream, spent = stream_of(run), []
    for number, request in enumerate(cu.requests.stream(KEY, run, [2] * 10)):
        with Stopwatch() as watch:
            release, stream = stream.forget(request, BUDGET, KEY, jax.random.key(number))
        assert number < 2 or watch.compilations == 0  # the second has another type of state: the result of a step
        spent.append(release.certificate.account.epsilon(1e-5))
        truth = cu.Newton(damping=0.0, solver=cu.Dense(), gradient="retained", steps=6)
        minimiser = truth.forget(run, None, np.flatnonzero(~np.asarray(stream.run.present)), KEY).params
        assert np.linalg.norm(vector(stream.run.params) - vector(minimiser)) <= release.update.bound
    assert spent[0] == pytest.approx(1.0, rel=1e-6) and spent[9] == pytest.approx(3.619, abs=1e-3)
    assert "release 10     since training or the last exact retraining: composed epsilon 3.619 at delta 1e-05" in str(
        release.certificate
    )
    assert int(stream.run.present.sum()) == 40


def test_the_state_is_the_un_noised_projected_update_whatever_the_noise():
    run = convex_run()
    ends = []
    for _ in range(2):
        stream = stream_of(run)
        for request in cu.requests.stream(KEY, run, [2, 2]):
            release, stream = stream.forget(request, BUDGET, KEY, cu.secret_key())
            assert gap(release.params, stream.run.params) > 0.1
        ends.append(vector(stream.run.params))
    assert (ends[0] == ends[1]).all() and np.linalg.norm(ends[0]) <= 3.0


def test_a_spent_budget_is_refused_until_retraining_restores_it():
    run = convex_run()
    stream = stream_of(run, total=1.5)
    first, second, third = cu.requests.stream(KEY, run, [2, 2, 2])
    for request in (first, second):
        _, stream = stream.forget(request, BUDGET, KEY, cu.secret_key())
    with pytest.raises(cu.BadInput, match=r"would reach epsilon 1\.8.* 1\.465 is spent already.*restores the 1\.465"):
        stream.forget(third, BUDGET, KEY, cu.secret_key())
    assert len(stream.account.ratios) == 2
    afresh = cu.Stream(run=stream.run, method=cu.Retrain(), account=stream.account)
    _, afresh = afresh.forget(third, BUDGET, KEY, cu.secret_key())
    assert afresh.account.ratios == () and afresh.account.total.epsilon == 1.5


def test_a_release_without_a_theorem_cannot_be_accounted():
    run = trained(ridge(), radius=5.0)
    account = cu.Account(total=cu.Budget(epsilon=9.0, delta=1e-5))
    update = cu.FineTune().forget(run, None, [1], KEY)
    with pytest.raises(cu.BadInput, match="no proved distance"):
        cu.certify(update, BUDGET, account=account)
    cu.certify(update, BUDGET, account=account, trivial=True)
    assert cu.certify(update, BUDGET).certificate.account.ratios == (math.inf,)


def test_a_total_is_an_epsilon_and_a_delta():
    for total in (cu.Budget(delta=1e-5, sigma=1.0), cu.Budget(epsilon=1.0, delta=1e-5, distance=2.0)):
        with pytest.raises(cu.BadInput, match="total budget"):
            cu.Account(total=total)


def test_streams_of_requests_are_disjoint_and_leave_someone():
    run = trained(ridge()).minus([0, 1], {"w": jnp.zeros(5)})
    drawn = cu.requests.stream(KEY, run, [3, 1, 5])
    together = np.concatenate(drawn)
    assert [len(r) for r in drawn] == [3, 1, 5] and len(np.unique(together)) == 9 and together.min() >= 2
    for sizes in ([22], [0, 1], [10, 12]):
        with pytest.raises(cu.BadInput, match="leave an example"):
            cu.requests.stream(KEY, run, sizes)


def with_unchecked(update, unchecked):
    return replace(update, guarantee=replace(update.guarantee, unchecked=unchecked))


def test_retraining_on_data_with_anything_unchecked_restores_nothing_and_the_refusal_says_so():
    account = cu.Account(total=cu.Budget(epsilon=1.2, delta=1e-5)).charge(Charge(ratios=(0.25,)))
    for unchecked in ((), ("statistics",)):
        update = with_unchecked(cu.Retrain().forget(convex_run(), None, [1], KEY), unchecked)
        after = cu.certify(update, BUDGET, account=account).certificate.account
        if not unchecked:
            after = after.restarted()
            assert after.charge(Charge(ratios=(0.25,))).epsilon(1e-5) == pytest.approx(account.epsilon(1e-5))
    with pytest.raises(cu.BadInput, match=r"restores the 0\.92.*, unless the data or the model leave something unchec"):
        after.charge(Charge(ratios=(0.25,)))


def test_a_zero_bound_that_is_no_retraining_does_not_start_a_new_account():
    spent = cu.Account(ratios=(0.3,), failures=1e-7)
    assert spent.charge(Charge(ratios=(0.0,), failures=1e-7)).ratios == (0.3, 0.0)
    assert spent.charge(Charge(ratios=(0.0,), failures=1e-7)).failures == pytest.approx(2e-7)
    assert spent.charge(Charge(ratios=(0.0,)), exact=True) == spent and spent.restarted() == cu.Account(before=spent)
    run = convex_run()
    for unchecked, kept in (((), 1), (("statistics",), 2)):
        update = with_unchecked(cu.Retrain().forget(run, None, [1], KEY), unchecked)
        assert len(cu.certify(update, BUDGET, account=spent).certificate.account.ratios) == kept


def test_retraining_between_updates_of_the_original_run_restores_nothing():
    """Only whoever puts the retrained parameters into the run begins a new account."""
    run, account, found = convex_run(), cu.Account(), []
    for _ in range(3):
        update = cu.CertifiedRemoval().forget(run, None, [1], KEY)
        account = cu.certify(update, BUDGET, account=account).certificate.account
        found.append(account.epsilon(1e-5))
        account = cu.certify(cu.Retrain().forget(run, None, [1], KEY), BUDGET, account=account).certificate.account
    assert account.releases == 3 and found[0] == pytest.approx(1.0) and 1.8 < found[2] < 1.9


def test_a_total_once_set_is_kept_and_not_changed():
    account = cu.Account().limited(BUDGET)
    assert account.limited(None).total == BUDGET == account.limited(BUDGET).total
    with pytest.raises(cu.BadInput, match="already"):
        account.limited(cu.Budget(epsilon=9.0, delta=1e-5))


def test_a_total_that_is_set_after_a_retraining_limits_what_looks_back_as_well():
    retrained = cu.Account(ratios=(0.3,)).restarted().limited(cu.Budget(epsilon=1.5, delta=1e-5))
    assert retrained.charge(Charge(ratios=(0.3,))).epsilon(1e-5) < 1.5
    with pytest.raises(cu.BadInput, match=r"would exceed the total budget of epsilon 1\.5"):
        retrained.charge(Charge(ratios=(0.3,)), from_training=True)
    assert retrained.charge(Charge(ratios=(0.1,)), from_training=True).total == retrained.total


def test_what_looks_back_to_training_is_counted_with_everything_before_a_retraining():
    """Rewinding after exact retraining starts from a checkpoint that has seen everyone forgotten before."""
    problem = cu.classification(cu.models.Linear(classes=3, bound=1.0, dtype="float64"), classes())
    run = trained(problem, weight_decay=0.1)
    total = cu.Account(total=cu.Budget(epsilon=1.2, delta=1e-5))
    stream = cu.Stream(run=run, method=cu.RewindToDelete(steps=4, assumed="linear"), account=total)
    rewind = stream.method
    _, stream = stream.forget([1], BUDGET, KEY, cu.secret_key())
    release, stream = replace(stream, method=cu.Retrain()).forget([2], BUDGET, KEY, cu.secret_key())
    assert release.certificate.account.releases == 1 == stream.account.before.releases and stream.account.releases == 0
    sentence = r"the line would reach epsilon 1\.4.*spends nothing, but restores nothing to a method that depends on"
    with pytest.raises(cu.BadInput, match=sentence):
        replace(stream, method=rewind).forget([3], BUDGET, KEY, cu.secret_key())
    going_on = cu.DescentToDelete(assumed="linear", steps=200)
    release, _ = replace(stream, method=going_on).forget([3], BUDGET, KEY, cu.secret_key())
    assert release.certificate.account.epsilon(1e-5) == pytest.approx(1.0, rel=1e-6)


def test_a_key_that_drew_the_noise_of_one_release_is_refused_for_the_next():
    """Two releases with the same noise differ by the un-noised difference."""
    stream = stream_of(convex_run(), total=9.0)
    for key in (cu.secret_key(), jax.random.key(5)):
        _, after = stream.forget([1], BUDGET, KEY, key)
        with pytest.raises(cu.BadInput, match=r"used before|drew the noise of an earlier release"):
            after.forget([2], BUDGET, KEY, key)
    again = cu.Account(secrets=after.account.secrets)
    with pytest.raises(cu.BadInput, match="drew the noise of an earlier release"):
        cu.certify(claimed({"w": jnp.ones(3)}, bound=1.0), BUDGET, jax.random.key(5), account=again)
