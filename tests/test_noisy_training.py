"""Forgetting from a training with noise: the model as it is, or trained again from a step on."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from certunl.bounds.theorems.noisy_training import noisy_training
from certunl.certificates.secret import spent
from certunl.training.loop import begin
from certunl.training.noisy import noisy_steps
from tests.cases import KEY, classes, gap, network
from tests.noisy import SETTINGS, run_of
from tests.verbs import certunl, refused


def test_doing_nothing_gives_the_trained_model_and_its_price():
    run = run_of(noise_key=None)
    update = cu.NoisyRetrain().forget(run, None, [4], cu.secret_key())
    assert gap(update.params, run.params) == 0 and update.cost["share_of_training"] == 0
    problem = cu.classification(cu.models.MLP(hidden=(6,), classes=3, dtype=jnp.float64), classes(30))
    own = cu.NoisyRetrain().forget(run_of(problem, noise_key=None), None, [4], cu.secret_key())
    release = cu.certify(own, cu.Budget(epsilon=9.0, delta=1e-5))
    assert release.certificate.verdict == "PROVED" and gap(release.params, own.params) == 0
    assert "the original model where it is no release" in str(release.certificate)
    assert release.certificate.epsilon == 9.0 and "in the sum of gradients of every step" in str(release.certificate)
    with pytest.raises(cu.BadInput, match="more than the budget"):
        cu.certify(own, cu.Budget(epsilon=0.5, delta=1e-5))


def test_a_training_again_has_seen_nothing_of_the_forgotten_after_its_step():
    data, request = classes(30), [4, 17]
    other = cu.Dataset(np.where(np.isin(np.arange(30), request)[:, None], 100.0, data.x), data.y)
    model = cu.models.MLP(hidden=(6,), classes=3, dtype=jnp.float64)
    ends = []
    for part in (data, other):
        run = run_of(cu.classification(model, part), states=6)
        ends.append(cu.NoisyRetrain(rewind_to=0).forget(run, None, request, jax.random.key(1)))
    assert gap(ends[0].params, ends[1].params) == 0 and ends[0].guarantee.bound == 0
    assert ends[0].cost["share_of_training"] == 1
    fresh = cu.NoisyRetrain(rewind_to=0).forget(run, None, request, jax.random.key(2))
    assert gap(fresh.params, ends[1].params) > 1e-3


def test_the_price_falls_with_the_step_and_the_states_are_those_of_training():
    run = run_of(states=6, epochs=4)
    assert list(run.noise.states) == [0, 2, 4, 6, 8, 10, 12]
    schedule, before = run.schedule, np.inf
    for step in (12, 9, 8, 5, 0):
        update = cu.NoisyRetrain(rewind_to=step).forget(run, None, [4], jax.random.key(1))
        place = step if step in run.noise.states else step - 1
        assert update.guarantee.bound == noisy_training(run, np.arange(30) == 4, until=place).says.apart <= before
        assert update.cost["share_of_training"] == (12 - place) / 12
        before = update.guarantee.bound
    tree = jax.tree.structure(begin(run.problem, run.recipe, run.start))
    state = jax.tree.unflatten(tree, run.noise.states[8])
    again, _ = noisy_steps(run.problem, run.recipe, state, schedule, spent(KEY), 8, 12)
    assert gap(again[0], run.params) == 0


def test_a_later_request_counts_everyone_forgotten_before():
    run = run_of(noise_key=None, states=3)
    first = cu.NoisyRetrain(rewind_to=2).forget(run, None, [4], cu.secret_key())
    after = run.minus([4], first.params)
    second = cu.NoisyRetrain(rewind_to=4).forget(after, None, [9], cu.secret_key())
    assert second.guarantee.bound == noisy_training(run, np.isin(np.arange(30), [4, 9]), until=4).says.apart
    assert second.guarantee.from_training
    account = cu.Account()
    budget = cu.Budget(epsilon=9.0, delta=1e-5)
    one = cu.certify(first, budget, account=account)
    two = cu.certify(second, budget, account=one.certificate.account)
    assert two.certificate.account.epsilon(1e-5) == pytest.approx(9.0)  # the later one holds all steps of the earlier
    less = cu.certify(
        cu.NoisyRetrain(rewind_to=2).forget(after, None, [9], cu.secret_key()), budget, account=two.certificate.account
    )
    assert less.certificate.account.epsilon(1e-5) > 9.0


def test_a_noisy_run_is_judged_and_reported(tmp_path):
    problem = cu.classification(cu.models.MLP(hidden=(6,), classes=3, dtype=jnp.float64), classes(40))
    run = run_of(problem, noise_key=None, states=2)
    update = cu.NoisyRetrain().forget(run, None, [4, 9], cu.secret_key())
    release = cu.certify(update, cu.Budget(epsilon=15.0, delta=1e-5))
    report = cu.evaluate(run, [4, 9], release, test=classes(40, seed=1), key=KEY)
    assert "PROVED" in str(report) and "distance to retraining" in report.left_out
    assert "loss_threshold" in report.attacks["noisy_retrain"] and "attack lira" in report.left_out


@pytest.mark.parametrize("reference", [None, cu.Retrain(afresh=cu.Recipe(**SETTINGS))], ids=["none", "afresh"])
def test_a_noisy_run_is_compared_and_what_needs_replays_is_left_out_with_the_reason(reference):
    run, methods = run_of(noise_key=None), {"nothing": cu.NoisyRetrain()}
    settings = {"test": classes(40, seed=1), "methods": methods, "budget": cu.Budget(epsilon=9.0, delta=1e-5)}
    settings |= {"shadows": 0, "attacks": [], "models": 10, "single": 3, "tuning": {"two": [7]}}
    (report,) = cu.compare(run, {"two": [4, 9]}, KEY, reference=reference, **settings)
    assert set(report.rows) == {"original", "retrain", "nothing"} and "distance" not in report.rows["nothing"]
    assert report.verdicts == {"nothing": "PROVED"}
    for name in ("many models", "single deletions by nothing"):
        assert "cannot be replayed" in report.left_out[name]


def test_without_its_states_a_training_can_still_be_repeated():
    run = replace(run_of(noise_key=None), noise=None)
    update = cu.NoisyRetrain(rewind_to=0).forget(run, None, [4], cu.secret_key())
    assert update.guarantee.bound == 0
    with pytest.raises(cu.BadInput, match="states of this training are gone"):
        cu.NoisyRetrain().forget(run, None, [4], cu.secret_key())


def test_training_and_going_back_never_share_noise():
    run = run_of(states=2)
    again = cu.NoisyRetrain(rewind_to=3).forget(run, None, [4], KEY)
    state = jax.tree.unflatten(jax.tree.structure(begin(run.problem, run.recipe, run.start)), run.noise.states[3])
    same, _ = noisy_steps(run.problem, run.recipe, state, run.schedule.without([4]), spent(KEY), 3, 6)
    assert gap(again.params, same[0]) > 1e-3


def test_noise_from_a_jax_key_is_no_secret():
    problem = cu.classification(cu.models.MLP(hidden=(6,), classes=3, dtype=jnp.float64), classes(30))
    for key, again in ((KEY, cu.secret_key()), (None, KEY)):
        run = run_of(problem, noise_key=key, states=2)
        update = cu.NoisyRetrain(rewind_to=3).forget(run, None, [4], again)
        release = cu.certify(update, cu.Budget(epsilon=9.0, delta=1e-5))
        assert release.certificate.verdict == "CONDITIONAL" and "JAX key" in str(release.certificate)


def test_states_and_noise_that_training_did_not_have_are_not_vouched_for():
    problem = cu.classification(cu.models.MLP(hidden=(6,), classes=3, dtype=jnp.float64), classes(30))
    run = run_of(problem, noise_key=None, states=2)
    other = {step: [leaf + 1e-9 for leaf in leaves] for step, leaves in run.noise.states.items()}
    cases = (
        replace(run, recipe=replace(run.recipe, noise=9.0)),
        replace(run, recipe=replace(run.recipe, clip_each=0.1)),
        replace(run, noise=replace(run.noise, states=other)),
        replace(
            run,
            noise=replace(run.noise, states={0: run.noise.states[0], 5: run.noise.states[3], 6: run.noise.states[6]}),
        ),
        replace(run, recipe=replace(run.recipe, weight_decay=0.5)),
        replace(run, problem=replace(run.problem, data=replace(run.problem.data, x=run.problem.data.x[::-1]))),
        replace(run, schedule=run.schedule.without([9])),
    )
    for given in cases:
        update = cu.NoisyRetrain().forget(given, None, [4], cu.secret_key())
        release = cu.certify(update, cu.Budget(epsilon=19.0, delta=1e-5))
        assert release.certificate.verdict == "CONDITIONAL" and update.unchecked
    tested = run_of(problem, states=2)
    vouched = replace(tested, noise=replace(tested.noise, unchecked=()))
    assert cu.NoisyRetrain().forget(vouched, None, [4], cu.secret_key()).unchecked
    fair = cu.NoisyRetrain().forget(run, None, [4], cu.secret_key())
    assert cu.certify(fair, cu.Budget(epsilon=19.0, delta=1e-5)).certificate.verdict == "PROVED"


def test_what_training_with_noise_does_not_cover_is_refused():
    run = run_of()
    plain = cu.train(network(), cu.Recipe(epochs=1), KEY)
    cases = [
        (lambda: cu.Recipe(noise=1.0), "needs clip_each"),
        (lambda: cu.Recipe(clip_each=1.0), "needs clip_each"),
        (lambda: cu.Recipe(clip_each=1.0, noise=1.0, denominator="retained"), 'must be "batch"'),
        (lambda: cu.Recipe(clip_each=1.0, noise=-1.0), "noise must"),
        (lambda: cu.train(network(), cu.Recipe(), KEY, noise_key=KEY), "for a recipe with noise"),
        (lambda: cu.train(network(), run.recipe, KEY, shards=2), "leave noise or shards out"),
        (lambda: cu.train(network(), run.recipe, KEY, states=99), "states must"),
        (lambda: cu.NoisyRetrain(rewind_to=99).forget(run, None, [1], KEY), "the training has 6 steps"),
        (lambda: cu.NoisyRetrain(rewind_to=-1), "rewind_to must"),
        (lambda: cu.NoisyRetrain().forget(plain, None, [1], KEY), "trained without noise"),
        (lambda: noisy_training(plain, np.arange(30) == 1), "trained without noise"),
        (lambda: cu.Retrain().forget(run, None, [1], KEY), "use NoisyRetrain"),
        (lambda: cu.HessianFree().forget(run, None, [1], KEY), "use NoisyRetrain"),
        (lambda: cu.retrainings(run, [[1]]), "use NoisyRetrain"),
    ]
    for call, sentence in cases:
        with pytest.raises(cu.BadInput, match=sentence):
            call()
    heavy = replace(plain.schedule, weights=2 * plain.schedule.weights)
    with pytest.raises(cu.BadInput, match="0 or 1"):
        cu.fit(network(), run.recipe, plain.start, heavy)


def test_a_saved_run_keeps_its_states(tmp_path):
    problem = cu.classification(cu.models.MLP(hidden=(6,), classes=3, dtype=jnp.float64), classes(30))
    run = run_of(problem, noise_key=None, states=3)
    cu.save(run, tmp_path / "run")
    again = cu.load(tmp_path / "run")
    assert not again.unchecked and list(again.noise.states) == list(run.noise.states)
    updates = [cu.NoisyRetrain(rewind_to=2).forget(one, None, [4], KEY) for one in (run, again)]
    assert gap(updates[0].params, updates[1].params) == 0 and again.noise.secret == run.noise.secret


def test_the_command_line_trains_with_noise_and_forgets_at_a_price(tmp_path, capsys):
    noisy = ("--set", "epochs=4", "hidden=(8,)", "batch_size=71", "clip_each=1.0", "noise=4.0", "learning_rate=1.0")
    certunl("train", tmp_path / "run", "--dataset", "wine", "--model", "mlp", *noisy, "--states", "4")
    capsys.readouterr()
    certunl("plan", tmp_path / "run")
    assert "epsilon, any example" in capsys.readouterr().out
    words = ("--method", "noisy_retrain", "--epsilon", "9")
    for request in ("ids:3", "ids:5"):
        certunl("forget", tmp_path / "run", "--request", request, *words)
        assert "PROVED" in capsys.readouterr().out
    again = ("--set", "rewind_to=2", "--name", "again")
    certunl("forget", tmp_path / "run", "--request", "ids:7", *words, *again)
    assert "share of training 0.75" in capsys.readouterr().out
    certunl("purge", tmp_path / "run", "--model")
    fresh = ("--set", "rewind_to=0", "--name", "fresh")
    for name in ((), fresh):
        certunl("forget", tmp_path / "run", "--request", f"ids:{11 + len(name)}", *words, *(name or fresh[:2]))
        assert "share of training 1" in capsys.readouterr().out
    plain = ("--request", "ids:9", "--method", "retrain", "--epsilon", "1")
    assert "use NoisyRetrain" in refused(capsys, "forget", tmp_path / "run", *plain)
