"""Who claims to have forgotten and has not is refuted by one run; who has is not, whatever the coins."""

from dataclasses import dataclass, field, replace
from math import inf

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.bounds.linear_risk import linear_risk
from certunl.certificates.guarantee import REPLAY
from tests.cases import KEY, claimed, gap, ridge, trained, vector

BUDGET = cu.Budget(epsilon=1.0, delta=1e-5)
SEEDS = range(20)


def noise(n, seed):
    """Inputs of more numbers than there are examples, and labels of no meaning: what is learnt is learnt by heart."""
    rng = np.random.default_rng(seed)
    return cu.Dataset(rng.normal(size=(n, 60)), rng.integers(0, 3, n))


EXTRA = noise(60, 1)


def problem(**fields):
    return cu.classification(cu.models.Linear(3, dtype=jnp.float64), replace(noise(20, 0), **fields))


@pytest.fixture(scope="module")
def run():
    return overfit(problem())


def overfit(problem, **recipe):
    return trained(problem, **{"learning_rate": 1.0, "epochs": 20, "batch_size": 40, "weight_decay": 0.01} | recipe)


@dataclass(frozen=True, kw_only=True)
class Nothing:
    """It forgets nothing, and says that it is near retraining."""

    facts: dict = field(default_factory=lambda: {"bound": 1e-3, "every_request": True})

    def prepare(self, run, *, progress=None):
        return None

    def forget(self, run, prepared, request, key):
        return claimed(run.params, method="nothing", **{"reference": REPLAY} | self.facts)


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A method, with the runs and requests it was given."""

    method: object
    seen: list = field(default_factory=list)

    def prepare(self, run, *, progress=None):
        return self.method.prepare(run)

    def forget(self, run, prepared, request, key):
        self.seen.append((run, request))
        return self.method.forget(run, prepared, request, key)


def audit(run, method, seed, budget=BUDGET, extra=EXTRA, **settings):
    return cu.audit_canaries(run, method, budget, extra, jax.random.key(seed), **settings)


def test_doing_nothing_that_claims_epsilon_1_is_refuted(run):
    found = [audit(run, Nothing(), seed) for seed in SEEDS]
    assert all(a.refuted and a.epsilon == 1.0 and a.guesses == 30 for a in found)
    assert all(a.lower == cu.one_run_lower_bound(a.correct, 30, 1e-5) for a in found)
    assert audit(run, Nothing(), 3) == found[3]


@pytest.mark.parametrize(
    ("method", "budget", "claimed"),
    [
        (cu.Retrain(), cu.Budget(delta=1e-5, sigma=0.01), 0.0),
        (cu.Retrain(), BUDGET, 0.0),
        (cu.CertifiedRemoval(), BUDGET, 1.0),
    ],
    ids=["retrain with noise", "retrain", "certified_removal"],
)
def test_what_has_forgotten_is_not_refuted(run, method, budget, claimed):
    found = [audit(run, method, seed, budget) for seed in SEEDS]
    assert not any(a.refuted for a in found) and {a.epsilon for a in found} == {claimed}
    assert 12 < np.mean([a.correct for a in found]) < 18  # of 30 coins


def test_methods_with_noise_of_their_own_are_audited_too(run):
    wide = cu.Budget(epsilon=300.0, delta=1e-5)
    for method in (cu.NoisyFineTuning(noise=5.0), cu.NoisySGD(noise=5.0, assumed="linear", start="trained")):
        found = audit(overfit(problem(), learning_rate=0.01), method, 0, wide)
        assert 0 < found.epsilon <= 300 and not found.refuted


def test_where_nothing_is_claimed_nothing_is_refuted_but_the_bound_is_told(run):
    found = audit(run, Nothing(facts={}), 0)
    assert found.epsilon == inf and not found.refuted and found.lower > 3 and found.delta == 1e-5


def test_all_that_a_solver_may_fail_with_is_part_of_the_claim(run):
    facts = {"bound": 1e-3, "every_request": True, "failure_probability": 1e-3}
    assert audit(run, Nothing(facts=facts), 0).delta == 1e-5 + 1e-3


def test_who_is_out_is_never_seen_and_the_law_without_canaries_is_one_whatever_the_coins(run):
    method = Watched(method=cu.Retrain())
    audit(run, method, 0)
    [(world, request)] = method.seen
    out = np.flatnonzero(~np.asarray(world.present))
    assert sorted([*out, *request]) == list(range(20, 80)) and len(out) > 15 < len(request)
    x = jnp.where((jnp.arange(80) < 20)[:, None], world.problem.data.x, 1e3)
    x = x.at[request].set(world.problem.data.x[request])  # whoever is out becomes somebody else
    other = replace(world.problem, data=replace(world.problem.data, x=x))
    assert gap(cu.fit(other, world.recipe, world.start, world.schedule).params, world.params) == 0
    bare = jax.tree.map(lambda a: a[:20], world.problem.data)
    bare = replace(world.problem, data=bare)
    alone = cu.fit(bare, world.recipe, world.start, world.schedule.without(np.arange(20, 80))).params
    assert gap(cu.Retrain().forget(world, None, request, KEY).params, alone) < 1e-12
    assert gap(world.params, alone) > 0.1


def test_a_minimiser_counts_everyone_whatever_the_coins(run):
    """The risk of denominator="batch" is divided by all who were visited: by who came in, it would tell the coins."""
    method = Watched(method=cu.CertifiedRemoval())
    for seed in (0, 1):
        audit(run, method, seed)
    counted = [linear_risk(world, world.retained(request)).divisor for world, request in method.seen]
    assert counted[1::2] == [80, 80] and max(counted[::2]) < 80
    retained = Watched(method=cu.CertifiedRemoval())
    audit(overfit(problem(), denominator="retained"), retained, 0)
    assert [linear_risk(w, w.retained(request)).divisor for w, request in retained.seen] == [20]


def test_a_share_of_the_canaries_has_a_wrong_class_drawn_uniformly(run):
    moved = []
    for seed, share in enumerate((0.0, 0.25, 0.5, *[1.0] * 7)):
        method = Watched(method=Nothing())
        audit(run, method, seed, mislabelled=share)
        world = method.seen[0][0]
        assert (np.asarray(world.problem.data.x[20:]) == EXTRA.x).all()
        shift = (np.asarray(world.problem.data.y[20:]) - EXTRA.y) % 3
        assert np.sum(shift > 0) == 60 * share
        moved += [*shift[shift > 0]]
    assert 190 < np.sum(np.array(moved) == 1) < 275  # of 465


def test_owners_and_the_forgotten_of_the_run_are_minded():
    whose = overfit(problem(owners=np.arange(20) // 2), epochs=1)
    method = Watched(method=Nothing())
    audit(whose.minus([4, 5], whose.params), method, 0)
    data = method.seen[0][0].problem.data
    assert len(data) == 78 and list(data.owners[16:20]) == [9, 9, 10, 11] and data.owners[-1] == 69
    assert (np.asarray(data.x[:18]) == np.delete(noise(20, 0).x, [4, 5], axis=0)).all()
    assert vector(whose.params).shape == vector(method.seen[0][0].params).shape


def test_a_noise_or_an_epsilon_that_depends_on_who_asks_is_no_audit(run):
    own = Nothing(facts={"bound": 1e-3})
    for budget in (BUDGET, cu.Budget(delta=1e-5, sigma=1.0)):
        with pytest.raises(cu.BadInput, match="the bound of nothing does: give the budget a distance"):
            audit(run, own, 0, budget)
    for facts in ({"distance": 0.1}, {"sigma": 1.0}):
        assert audit(run, own, 0, cu.Budget(epsilon=1.0, delta=1e-5, **facts)).epsilon == 1.0


def test_what_is_no_audit_is_refused_in_a_sentence(run):
    for guesses in (0, 61):
        with pytest.raises(cu.BadInput, match="between 1 and the 60 canaries"):
            audit(run, Nothing(), 0, guesses=guesses)
    with pytest.raises(cu.BadInput, match="share between 0 and 1"):
        audit(run, Nothing(), 0, mislabelled=1.5)
    with pytest.raises(cu.BadInput, match="one example of the canaries has x of shape"):
        audit(run, Nothing(), 0, extra=cu.Dataset(np.ones((9, 4)), np.ones(9, int)))
    with pytest.raises(cu.BadInput, match="nothing to forget"):
        audit(run, Nothing(), 2, extra=noise(1, 1))
    squares = trained(ridge(), epochs=1)
    more = ridge(seed=1).data
    with pytest.raises(cu.BadInput, match="only classes can be wrong"):
        audit(squares, Nothing(), 0, extra=more)
    assert audit(squares, Nothing(), 0, extra=more, mislabelled=0).guesses == 12


def test_a_refusal_is_an_audit_that_found_nothing(run):
    """Whether a budget refuses may depend on who is in: drawing again would leave out what is hard to forget."""
    budget = cu.Budget(epsilon=1.0, delta=1e-5, distance=1e-9)
    found = audit(run, Nothing(facts={"bound": 1.0}), 0, budget)
    assert found.lower == 0.0 and not found.refuted and found.correct == 0
    assert "refused" in found.how and "exceeds the distance" in found.how


def test_wrong_settings_are_no_finding(run):
    with pytest.raises(cu.BadInput, match="closed form"):
        audit(trained(ridge(), epochs=1), cu.CertifiedRemoval(), 0, extra=ridge(seed=1).data, mislabelled=0)
