"""Every attack is at chance where there is nothing to find, and above it on an overfit model."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl import registry
from certunl.attacks._likelihood import ratios
from certunl.membership.roc import judge
from certunl.membership.shadows import suspects, train_shadows
from certunl.membership.target import Shadows, Target
from certunl.training.problem import Scores
from tests.cases import KEY
from tests.memorised import FORGOTTEN, worlds

ATTACKS = registry.names("attacks")
FEATURES = ("direct_difference", "sorted_difference", "direct_concatenation", "sorted_concatenation", "l2")


@pytest.fixture(scope="module")
def runs():
    return worlds()


@pytest.fixture(scope="module")
def reports(runs):
    overfit, never, test = runs
    key = jax.random.key(5)
    return [cu.evaluate(run, FORGOTTEN, {}, test=test, key=key, shadows=8) for run in (overfit, never)]


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_finds_members_of_an_overfit_model(name, reports):
    report = reports[0]  # an attacker with both models looks at what retraining changed
    found = report.attacks["retrain" if name == "update_difference" else "original"][name]
    assert found.low > 0.55, found


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_at_chance_on_two_sets_nobody_saw_and_on_retraining_against_itself(name, reports):
    for row in ("original", "retrain"):
        assert reports[1].attacks[row][name].at_chance, reports[1].attacks[row][name]
    if name not in ("update_difference",):  # which sees what retraining changed
        assert reports[0].attacks["retrain"][name].at_chance


@pytest.mark.parametrize("name", ATTACKS)
def test_its_control_is_at_chance_however_overfit_the_model(name, reports):
    control = reports[0].controls[name]
    assert control.at_chance and control.high - control.low > 0.1
    assert control.members == reports[0].attacks["original"][name].members


@pytest.mark.parametrize("name", ATTACKS)
def test_the_same_key_gives_the_same_scores(name, runs):
    overfit, _, test = runs
    target = aimed(overfit, test)
    attack = registry.build("attacks", name)
    first, second = (np.asarray(attack(target, KEY)) for _ in range(2))
    assert first.shape == (200,)
    np.testing.assert_array_equal(first, second)


def aimed(run, test):
    held = suspects(run, FORGOTTEN, test, KEY)
    trained = train_shadows(run, FORGOTTEN, held, KEY, 4)
    scores = run.problem.scores(run.params, held.candidates)
    return Target(
        run=run,
        params=run.params,
        candidates=held.candidates,
        member=jnp.asarray(held.member),
        original=scores,
        scores=scores,
        shadows=trained.seen(),
        unlearned=trained.seen(trained.forgotten(cu.Retrain(), KEY)),
    )


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("attacker", ["logistic", "tree", "forest", "mlp"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_what_forgetting_changed_gives_away_whom_it_was_about(features, attacker):
    """The judged model forgot the members' confidence; the attacker has seen half of them."""
    rng = np.random.default_rng(0)
    before = 0.3 * rng.normal(size=(200, 3))
    member = np.arange(200) < 100
    lost = np.eye(3)[np.zeros(200, int) if features.startswith("direct") else before.argmax(1)]
    after = before + 0.1 * rng.normal(size=before.shape) - 2.0 * member[:, None] * lost
    target = planted(before, after, member)
    attack = cu.attacks.UpdateDifference(features=features, attacker=attacker)
    scores = attack(target, KEY)
    assert np.isnan(scores).sum() == 100 and np.isnan(scores[member]).sum() == 50
    assert judge(scores, member).auc > 0.8
    assert judge(attack(planted(before, before, member), KEY), member).at_chance


def planted(before, after, member):
    pair = [Scores(jnp.zeros(200), None, jnp.asarray(a), jnp.zeros(200, int)) for a in (before, after)]
    return Target(
        run=None,
        params=None,
        candidates=None,
        member=jnp.asarray(member),
        original=pair[0],
        scores=pair[1],
    )


def test_likelihood_ratios_are_those_of_the_laws_they_were_drawn_from():
    rng = np.random.default_rng(1)
    inside = rng.random((4000, 3)) < 0.5
    mean_in, mean_out = np.array([1.0, 2.0, 0.0]), np.array([0.0, 0.0, 0.0])
    std = np.where(inside, 0.5, np.array([1.0, 0.5, 2.0]))
    margins = np.where(inside, mean_in, mean_out) + std * rng.normal(size=inside.shape)
    shadows = Shadows(jnp.asarray(inside), jnp.asarray(margins), jnp.zeros((4000, 3)))
    x = np.array([0.7, 1.5, 0.3])
    truth = -2 * (x - mean_in) ** 2 - np.log(0.5) + 0.5 * (x / [1.0, 0.5, 2.0]) ** 2 + np.log([1.0, 0.5, 2.0])
    np.testing.assert_allclose(ratios(jnp.asarray(x), shadows, False, None), truth, atol=0.25)
    np.testing.assert_allclose(ratios(jnp.asarray(x), shadows, True, True), x / [1.0, 0.5, 2.0], atol=0.1)


def test_what_an_attack_lacks_is_said(runs):
    overfit, _, test = runs
    for attack in (cu.attacks.LiRA(), cu.attacks.ULiRA(), cu.attacks.RMIA()):
        with pytest.raises(cu.BadInput, match="shadow models"):
            attack(planted(np.zeros((200, 3)), np.zeros((200, 3)), np.arange(200) < 100), KEY)
    for wrong, why in (
        ({"attacks": ["lira"], "shadows": 0}, "lira"),
        ({"attacks": ["nobody"]}, "unknown name"),
        ({"attacks": ["lira"], "shadows": 3}, "even number"),
        ({"test": None}, "test set"),
    ):
        with pytest.raises(cu.BadInput, match=why):
            cu.evaluate(overfit, FORGOTTEN, {}, key=KEY, **({"test": test} | wrong))  # pyright: ignore[reportArgumentType]
    with pytest.raises(cu.BadInput, match="no release 'nobody'"):
        cu.evaluate(overfit, FORGOTTEN, {}, test=test, key=KEY, methods={"nobody": cu.Retrain()})
    with pytest.raises(cu.BadInput, match="give a key"):
        cu.evaluate(overfit, FORGOTTEN, {}, test=test, attacks=["lira"])
    for settings in ({"features": "l3"}, {"attacker": "oracle"}):
        with pytest.raises(cu.BadInput, match="must be one of"):
            cu.attacks.UpdateDifference(**settings)
    with pytest.raises(cu.BadInput, match="two forgotten"):
        suspects(overfit, FORGOTTEN[:1], test, KEY)


def test_too_few_to_attack_is_said_and_nothing_else_is_lost(runs):
    overfit, _, test = runs
    update = cu.Retrain().forget(overfit, None, FORGOTTEN, KEY)
    again = cu.evaluate(overfit, FORGOTTEN, {"again": update}, test=test, key=KEY, attacks="ulira", shadows=4)
    assert "not given" in again.left_out["ulira on again"] and set(again.attacks["retrain"]) == {"ulira"}
    one = cu.evaluate(overfit, FORGOTTEN[:1], {}, test=test, key=KEY, attacks=["loss_threshold"], shadows=0)
    assert "two forgotten" in one.left_out["attacks"] and not one.attacks and "relearn_epochs" in one.rows["retrain"]
    attacks = ["loss_threshold", "update_difference"]
    two = cu.evaluate(overfit, FORGOTTEN[:2], {}, test=test, key=KEY, attacks=attacks, shadows=0)
    assert "two members" in two.left_out["update_difference"] and set(two.attacks["retrain"]) == {"loss_threshold"}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_model_that_gives_no_number_is_scored_and_the_others_are_too(name, runs):
    overfit, _, test = runs
    target = aimed(overfit, test)
    broken = target.scores.replace(  # pyright: ignore
        losses=target.scores.losses.at[0].set(jnp.nan).at[1].set(jnp.inf),
        outputs=target.scores.outputs.at[0].set(jnp.nan),
    )
    scores = np.asarray(registry.build("attacks", name)(replace(target, scores=broken), KEY))
    assert np.isfinite(scores[2:]).sum() >= 98 and not np.isinf(scores).any()
    learnt = name == "update_difference"  # half of the candidates have no score of their own
    assert np.isnan(scores).sum() == (100 if learnt else 0)
