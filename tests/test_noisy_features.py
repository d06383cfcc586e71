"""A head on features of a network that learnt from the same examples with noise: one account for both."""

import math
from dataclasses import replace

import dp_accounting
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dp_accounting.pld import privacy_loss_distribution as pld

import certunl as cu
from certunl.bounds.theorems.noisy_training import prices
from certunl.certificates.sharing import SHARE
from certunl.folders import RunFolder
from certunl.planning import noise_prices
from tests.cases import KEY, classes
from tests.heads import BUDGET, METHOD, REST, certified, head_on, network_with_noise, price
from tests.verbs import certunl, refused


@pytest.fixture(scope="module")
def noisy():
    with jax.enable_x64(False):
        yield network_with_noise()


@pytest.fixture(scope="module")
def head(noisy):
    with jax.enable_x64(False):
        yield head_on(cu.Features.of(noisy)(noisy.problem.data))


def test_a_head_is_proved_to_forget_with_its_extractor_in_one_account(noisy, head):
    certificate = certified(head, [3, 7], cu.Budget(epsilon=6.0, delta=1e-5))
    first, second = price(noisy, [3, 7]), certificate.bound / certificate.sigma
    assert certificate.verdict == "PROVED" and certificate.unchecked == () and second > 0.1
    assert math.hypot(first, second) < certificate.mu == pytest.approx(math.hypot(second * SHARE / REST, second))
    largest = (SHARE * certificate.mu, second)  # what the extractor may take, whoever asks
    assert first < largest[0]
    parts = [pld.from_gaussian_mechanism(1 / ratio, value_discretization_interval=1e-4) for ratio in largest]
    assert pytest.approx(parts[0].compose(parts[1]).get_epsilon_for_delta(1e-5), rel=2e-3) == 6.0
    text = str(certificate)
    assert "on features of another training with noise" in text and "that the training of the features'" in text
    assert "requests chosen after seeing releases" in text


def test_the_budget_leaves_the_head_what_the_extractor_did_not_take(noisy, head):
    first, whole = price(noisy, [3]), 1 / dp_accounting.get_sigma_gaussian(8, 1e-5)
    for budget in (cu.Budget(epsilon=8.0, delta=1e-5), cu.Budget(epsilon=8.0, delta=1e-5, distance=0.01)):
        certificate = certified(head, [3], budget)
        assert certificate.epsilon == 8 and certificate.mu == pytest.approx(whole)
        reach = budget.distance or certificate.bound
        assert reach / certificate.sigma == pytest.approx(REST * whole)
    least = dp_accounting.get_epsilon_gaussian(SHARE / first, 1e-5)
    with pytest.raises(cu.BadInput, match=f"asks for epsilon {least:.4g}.*forget fewer.*more noise"):
        certified(head, [3], cu.Budget(epsilon=0.9 * least, delta=1e-5))
    assert certified(head, [3], cu.Budget(epsilon=1.01 * least, delta=1e-5)).verdict == "PROVED"
    classical = certified(head, [3], cu.Budget(epsilon=1.0, delta=1e-1, calibration="classical"))
    assert classical.epsilon <= 1.0 and classical.mu > first
    sigma = certified(head, [3]).sigma
    assert certified(head, [3], replace(BUDGET, sigma=sigma)).mu == certified(head, [3]).mu
    with pytest.raises(cu.BadInput, match="noise of the release asks for epsilon"):
        certified(head, [3], replace(BUDGET, sigma=sigma / 2))
    with pytest.raises(cu.BadInput, match="needs an epsilon: read off the noise, it would tell of the request"):
        certified(head, [3], cu.Budget(sigma=sigma, delta=1e-5))


def test_noise_and_charge_are_the_same_whoever_asks():
    """Poisson batches give examples different prices."""
    with jax.enable_x64(False):
        data = jax.tree.map(jnp.float32, classes(60)).replace(y=classes(60).y)
        problem = cu.classification(cu.models.MLP(hidden=(6,), classes=3), data)
        recipe = cu.Recipe(epochs=3, batch_size=20, clip_each=0.5, noise=4.0, batches="poisson")
        run = cu.train(problem, recipe, KEY)
        head = head_on(cu.Features.of(run)(data))
        each = prices(run)
        pair = [int(each.argmin()), int(each.argmax())]
        assert price(run, pair[:1]) < price(run, pair[1:])
        for method in (METHOD, cu.Retrain()):
            one, two = (certified(head, [i], method=method) for i in pair)
            assert (one.sigma, one.epsilon, one.mu) == (two.sigma, two.epsilon, two.mu)
            assert [c.ratio for c in one.account.common] == [c.ratio for c in two.account.common]
        short = cu.train(problem, replace(recipe, epochs=1), KEY)  # some examples are in no batch
        head, each = head_on(cu.Features.of(short)(data)), prices(short)
        none, some = int(np.flatnonzero(each == 0)[0]), int(each.argmax())
        for method in (METHOD, cu.Retrain()):
            one, two = (certified(head, [i], method=method) for i in (none, some))
            assert (one.sigma, one.epsilon, one.mu) == (two.sigma, two.epsilon, two.mu) and "on features" in str(one)
        with pytest.raises(cu.BadInput, match="needs an epsilon"):
            certified(head, [none], cu.Budget(sigma=0.1, delta=1e-5))


def test_a_head_retrained_exactly_costs_what_its_extractor_costs(noisy, head):
    update = cu.Retrain().forget(head, None, [3], KEY)
    certificate = cu.certify(update, BUDGET, cu.secret_key()).certificate
    assert certificate.verdict == "PROVED" and certificate.sigma == 0 and not certificate.guarantee.restores
    whole = 1 / dp_accounting.get_sigma_gaussian(BUDGET.epsilon, 1e-5)
    assert price(noisy, [3]) < certificate.mu == certificate.account.mu == pytest.approx(SHARE * whole)
    assert certificate.epsilon == pytest.approx(dp_accounting.get_epsilon_gaussian(1 / certificate.mu, 1e-5))
    total = cu.Account(total=cu.Budget(epsilon=1.0, delta=1e-5))
    with pytest.raises(cu.BadInput, match="train the features' extractor and the head anew"):
        cu.certify(update, BUDGET, account=total)
    with pytest.raises(cu.BadInput, match="more than the budget's"):
        cu.certify(update, cu.Budget(epsilon=0.1, delta=1e-5))


def test_what_is_no_feature_of_its_own_training_set_stays_unchecked(noisy, head):
    extractor, data = cu.Features.of(noisy), noisy.problem.data
    order = np.arange(len(data))[::-1]
    for other in (data.subset(order), data.subset(order[:40]), data.replace(y=(data.y + 1) % 3)):
        with pytest.raises(cu.BadInput, match="give its training set as it was"):
            extractor(other)
    mine = extractor(data)
    for changed in (mine.subset(np.arange(40)), mine.replace(x=mine.x * 2), extractor(classes(60, seed=5))):
        certificate = certified(head_on(changed), [3])
        assert certificate.verdict == "CONDITIONAL" and "without the forgotten examples" in certificate.unchecked[0]
    with pytest.raises(cu.BadInput, match="has forgotten examples, which its features hold"):
        cu.Features.of(noisy.minus([3], noisy.params))


def test_an_extractor_is_the_end_of_its_training_and_not_what_was_put_into_the_run(noisy):
    data, plain = noisy.problem.data, cu.train(noisy.problem, cu.Recipe(epochs=2), KEY)
    extractor = cu.Features.of(noisy)
    cheap = replace(extractor.slots, noise=1e6)
    own = extractor(data)
    for swapped in (replace(extractor, params=plain.params), replace(extractor, slots=cheap)):
        assert certified(head_on(swapped(data)), [3]).verdict == "CONDITIONAL"
    for changed in (own.replace(slots=replace(own.slots, noise=1e6)), own.replace(slots=cheap, unchecked=())):
        assert certified(head_on(changed), [3]).verdict == "CONDITIONAL"
    assert certified(head_on(own.replace(unchecked=())), [3]).guarantee.before == price(noisy, [3])
    other = replace(noisy, params=jax.tree.map(lambda p: p + 1, noisy.params))
    assert (cu.Features.of(other)(noisy.problem.data).x == cu.Features.of(noisy)(noisy.problem.data).x).all()
    foreign = replace(noisy, recipe=replace(noisy.recipe, noise=400.0))  # the seal names the recipe
    data = cu.Features.of(foreign)(noisy.problem.data)
    assert certified(head_on(data), [3]).verdict == "CONDITIONAL"


def test_no_network_with_noise_learns_on_features_of_another_one(noisy):
    data = cu.Features.of(noisy)(noisy.problem.data)
    recipe = cu.Recipe(epochs=2, batch_size=60, clip_each=0.5, noise=4.0)
    second = cu.train(cu.classification(cu.models.MLP(hidden=(5,), classes=3), data), recipe, KEY)
    with pytest.raises(cu.BadInput, match="features of another network with noise"):
        cu.Features.of(second)
    with pytest.raises(cu.BadInput, match="price of a network with noise on features"):
        noise_prices(second)
    update = cu.NoisyRetrain().forget(second, None, [3], cu.secret_key())
    assert cu.certify(update, BUDGET).certificate.verdict == "NOT CERTIFIED"
    public = cu.Features(apply=lambda p, x: x, origin="a network trained on 60 examples, with noise")(
        noisy.problem.data
    )
    first = cu.train(cu.classification(cu.models.MLP(hidden=(5,), classes=3), public), recipe, KEY)
    certificate = certified(head_on(cu.Features.of(first)(public)), [3])
    assert certificate.verdict == "CONDITIONAL"  # the sentence of the first extractor has the same words


def test_noise_of_a_jax_key_and_statements_of_pairs_prove_nothing(noisy, head):
    run = cu.train(noisy.problem, noisy.recipe, KEY, noise_key=KEY)
    tested = certified(head_on(cu.Features.of(run)(run.problem.data)), [3])
    assert tested.verdict == "CONDITIONAL" and any("JAX key" in word for word in tested.unchecked)
    ball = head_on(head.problem.data, radius=5.0)
    clipped = cu.ModelClipping(radius=1.0, noise=5.0)
    update = clipped.forget(ball, None, [3], cu.secret_key())
    certificate = cu.certify(update, cu.Budget(epsilon=8.0, delta=1e-5)).certificate
    assert certificate.verdict == "NOT CERTIFIED" and any(
        "are not composed with the training" in m for m in certificate.guarantee.missing
    )


def test_conditions_of_the_networks_own_data_stay_with_its_features():
    with jax.enable_x64(False):
        data = jax.tree.map(jnp.float32, classes(60)).replace(y=classes(60).y, unchecked=("strange data",))
        recipe = cu.Recipe(epochs=1, batch_size=20, clip_each=0.5, noise=4.0)
        run = cu.train(cu.classification(cu.models.MLP(hidden=(6,), classes=3), data), recipe, KEY)
        stripped = cu.Features.of(run)(data).replace(unchecked=())
        assert certified(head_on(stripped), [3]).unchecked == ("strange data",)


def test_a_saved_head_keeps_the_account(noisy, head, tmp_path):
    cu.save(head, tmp_path / "head")
    back = cu.load(tmp_path / "head")
    assert certified(back, [3]).verdict == "PROVED" and certified(back, [3]).sigma == certified(head, [3]).sigma
    with pytest.raises(cu.BadInput):  # other rows, other prices
        cu.load(tmp_path / "head", problem=replace(head.problem, data=head.problem.data.subset(np.arange(40))))


def test_the_command_line_trains_a_head_on_a_network_with_noise(tmp_path, capsys):
    net, top = tmp_path / "net", tmp_path / "head"
    noise = ("epochs=2", "batch_size=40", "clip_each=1.0", "noise=9.0")
    certunl("train", net, "--dataset", "wine", "--model", "mlp", "--set", *noise)
    settings = ("bound=1.0", "weight_decay=0.01", "epochs=2")
    certunl("train", top, "--dataset", "wine", "--model", "linear", "--features", net, "--set", *settings)
    capsys.readouterr()
    ask = ("--method", "certified_removal", "--epsilon", "2", "--request")
    extractor, folder = RunFolder(net).run, RunFolder(top)
    for number, gone in enumerate(([3], [3, 4])):
        certunl("forget", top, *ask, f"ids:{gone[-1]}")
        out = capsys.readouterr().out
        assert "PROVED: certified_removal" in out and "\n  r_1 " in out
        certificate = folder.releases.release(f"certified_removal-{number + 1}").certificate
        assert certificate.guarantee.common.ratio == pytest.approx(price(extractor, gone))
    first, second = certificate.account.common
    assert second.start == first.end
    certunl("forget", net, "--method", "noisy_retrain", "--epsilon", "20", "--request", "ids:3")
    late = ("train", tmp_path / "late", "--dataset", "wine", "--model", "linear", "--features", net)
    assert "has forgotten examples, which its features hold" in refused(capsys, *late)
