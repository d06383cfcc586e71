"""Training with noise: its steps, its price for each example, and training again from a step on."""

from dataclasses import replace

import dp_accounting
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dp_accounting.pld import privacy_loss_distribution as pld

import certunl as cu
from certunl.bounds.slots import slot_ratio, sum_rounding
from certunl.bounds.theorems.noisy_training import noisy_training, prices
from certunl.certificates.gaussian import read_epsilon
from certunl.certificates.noise import integers
from certunl.certificates.secret import expanded, spent
from certunl.planning import noise_prices
from certunl.training.clipping import clipped_sum, margin
from certunl.training.loop import begin
from certunl.training.noisy import noise_grid, noisy_steps
from tests.cases import KEY, classes, gap, network, vector
from tests.verbs import certunl, refused

SETTINGS = {"learning_rate": 0.5, "epochs": 2, "batch_size": 10, "clip_each": 0.5, "noise": 2.0, "weight_decay": 0.01}


def run_of(problem=None, *, noise_key=KEY, states=1, **settings):
    recipe = cu.Recipe(**SETTINGS | settings)
    return cu.train(problem or network(), recipe, KEY, noise_key=noise_key, states=states)


def gradients_of(problem, params, ids, key=None):
    """The gradient of each example, one after the other, f64[b, d]."""
    one = jax.grad(lambda p, i: problem.risk(p, problem.batch(i[None], key), jnp.ones(1)))
    return np.stack([vector(one(params, jnp.asarray(i))) for i in ids])


def clipped(gradients, limit):
    norms = np.linalg.norm(gradients, axis=1, keepdims=True)
    return gradients * np.minimum(1, limit / np.maximum(norms, 1e-300))


def test_a_clipped_sum_is_that_of_gradients_one_by_one():
    problem = network()
    params, ids = problem.init(KEY), np.arange(12)
    weights = jnp.asarray(ids % 4 != 1, float)
    each = gradients_of(problem, params, ids)
    for limit in (0.01, np.median(np.linalg.norm(each, axis=1)), 100.0):
        total, risk = clipped_sum(problem, params, problem.data[ids], weights, float(limit))
        summed = jax.tree.map(lambda a: a[0], total)
        assert np.allclose(vector(summed), clipped(each, limit)[ids % 4 != 1].sum(0), atol=1e-12)
        halves, _ = clipped_sum(problem, params, problem.data[ids], weights, float(limit), 2)
        assert gap(jax.tree.map(lambda a: a.sum(0), halves), summed) < 1e-12
        first = clipped(each, limit)[:6][(ids % 4 != 1)[:6]].sum(0)
        assert np.allclose(vector(jax.tree.map(lambda a: a[0], halves)), first, atol=1e-12)
        assert np.isclose(risk, np.sum(problem.per_example(params, problem.data[ids]) * weights))


def test_an_example_without_a_finite_gradient_counts_as_nothing():
    x = np.ones((4, 3))
    x[2] = 1e200
    problem = cu.Problem(
        init=lambda key: {"w": jnp.ones(3)},
        losses=lambda p, batch: jnp.exp(batch.x @ p["w"]),
        data=cu.Dataset(x, np.zeros(4)),
    )
    total, _ = clipped_sum(problem, {"w": jnp.ones(3)}, problem.data[np.arange(4)], jnp.ones(4), 1.0)
    assert np.allclose(np.linalg.norm(vector(total)), 3.0)
    alone, _ = clipped_sum(problem, {"w": jnp.ones(3)}, problem.data[np.array([2])], jnp.ones(1), 1.0)
    assert vector(alone).tolist() == [0, 0, 0]


def test_no_term_of_a_float32_sum_is_longer_than_the_margin_says():
    with jax.enable_x64(False):
        problem = cu.classification(cu.models.MLP(hidden=(300,), classes=3), classes(20))
        params = problem.init(KEY)
        for i in range(20):
            total, _ = clipped_sum(problem, params, problem.data[np.array([i])], jnp.ones(1), 0.125)
            assert np.linalg.norm(vector(total)) <= 0.125 * (1 + margin(params))
    assert 1e-5 < margin(params) < 1e-4


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("batches", ["equal", "poisson"])
def test_a_training_is_that_of_a_loop_in_plain_arithmetic(optimizer, batches):
    run = run_of(optimizer=optimizer, batches=batches, radius=4.0, learning_rate=0.1)
    recipe, schedule, seed = run.recipe, run.schedule, spent(KEY)
    cell, d = noise_grid(recipe, schedule.indices.shape[1]), len(vector(run.start))
    leaves, tree = jax.tree.flatten(run.start)
    cuts = np.cumsum([leaf.size for leaf in leaves])[:-1]

    def shaped(flat):
        return tree.unflatten([p.reshape(a.shape) for p, a in zip(np.split(flat, cuts), leaves, strict=True)])

    w, first, second = vector(run.start), np.zeros(d), np.zeros(d)
    limit = 0.5 / (1 + margin(run.start))
    for t in range(len(schedule)):
        ids = np.asarray(schedule.indices[t])[np.asarray(schedule.weights[t]) != 0]
        total = np.rint(clipped(gradients_of(run.problem, shaped(w), ids), limit).sum(0) / cell)
        noise = integers(expanded(seed, b"training step %d" % t, 32), np.zeros(d), 2.0 * 0.5 / cell)
        g = (total + noise) * cell / float(schedule.divisors[t]) + 0.01 * w
        first = {"sgd": g, "momentum": g + 0.9 * first, "adam": 0.1 * g + 0.9 * first}[optimizer]
        second = 0.001 * g**2 + 0.999 * second
        way = first
        if optimizer == "adam":
            way = first / (1 - 0.9 ** (t + 1)) / (np.sqrt(second / (1 - 0.999 ** (t + 1)) + 1e-16) + 1e-8)
        w = w - 0.1 * way
        w *= min(1, 4.0 / np.linalg.norm(w))
    assert np.linalg.norm(vector(run.params) - w) < 1e-6 * np.linalg.norm(w)


def test_a_sum_changes_by_no_more_than_the_price_counts_when_examples_leave_it():
    with jax.enable_x64(False):
        data = cu.Dataset(np.random.default_rng(0).normal(size=(200, 20)).astype(np.float32), np.arange(200) % 3)
        problem = cu.classification(cu.models.MLP(hidden=(40,), classes=3), data)
        small = {"clip_each": 0.05, "noise": 1e-3, "learning_rate": 10.0}
        recipe = cu.Recipe(batch_size=200, epochs=1, **small)
        schedule = cu.train(problem, replace(recipe, noise=0.0, clip_each=None), KEY).schedule
        start, seed = problem.init(KEY), b"same"
        cells = noise_grid(recipe, 200) / 0.05
        for gone in ([3], [5, 6, 7], list(range(90, 140))):
            ends = []
            for rows in (schedule, schedule.without(gone)):
                state, _ = noisy_steps(problem, recipe, begin(problem, recipe, start), rows, seed, 0, 1)
                ends.append(vector(state[0]))
            moved = np.linalg.norm(ends[0] - ends[1]) * 200 / 10 / 0.05  # rate, divisor and C undone
            most = len(gone) + 2 * sum_rounding(128, len(ends[0]), cells)
            assert 0.5 < moved < most + 2e-3  # the parameters themselves are rounded to float32


def test_the_ratio_is_that_of_an_independent_account():
    slots = np.array([1, 0, 2, 1, 3, 0, 1])
    ratio = slot_ratio(slots, slots > 0, noise=4.0)
    assert ratio == pytest.approx(np.sqrt(np.sum(slots**2)) / 4)
    parts = [pld.from_gaussian_mechanism(4.0 / k, value_discretization_interval=1e-4) for k in slots if k]
    composed = parts[0]
    for part in parts[1:]:
        composed = composed.compose(part)
    for delta in (1e-5, 1e-3):
        exact, theirs = read_epsilon(1 / ratio, delta), composed.get_epsilon_for_delta(delta)
        assert exact == pytest.approx(theirs, rel=2e-3)
        assert dp_accounting.get_epsilon_gaussian(1 / ratio, delta) == pytest.approx(exact)


def test_the_price_of_a_request_counts_slots_of_a_step_together():
    run = run_of(epochs=3)
    indices = np.asarray(run.schedule.indices)
    rounding = sum_rounding(10, len(vector(run.start)), noise_grid(run.recipe, 10) / 0.5)
    for request in ([4], [4, 9, 11], list(range(20))):
        says = noisy_training(run, np.isin(np.arange(30), request)).says
        slots = np.isin(indices, request).sum(axis=1)
        assert says.apart == pytest.approx(np.sqrt(np.sum((slots + rounding * (slots > 0)) ** 2)) / 2)
    each = prices(run)
    assert np.allclose(each, np.sqrt(3) * (1 + rounding) / 2)
    assert np.allclose([noisy_training(run, np.arange(30) == i).says.apart for i in range(30)], each)
    owned = run_of(network(owners=np.repeat(np.arange(10), 3)))
    by_owner = prices(owned)
    assert by_owner.shape == (10,)
    truth = [noisy_training(owned, np.repeat(np.arange(10), 3) == owner).says.apart for owner in range(10)]
    assert np.allclose(by_owner, truth, rtol=1e-3) and (by_owner >= np.array(truth) * (1 - 1e-12)).all()


def test_doing_nothing_gives_the_trained_model_and_its_price():
    run = run_of(noise_key=None)
    update = cu.NoisyRetrain().forget(run, None, [4], cu.secret_key())
    assert gap(update.params, run.params) == 0 and update.cost["share_of_training"] == 0
    problem = cu.classification(cu.models.MLP(hidden=(6,), classes=3, dtype=jnp.float64), classes(30))
    own = cu.NoisyRetrain().forget(run_of(problem, noise_key=None), None, [4], cu.secret_key())
    release = cu.certify(own, cu.Budget(epsilon=9.0, delta=1e-5))
    assert release.certificate.verdict == "PROVED" and gap(release.params, own.params) == 0
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
    assert two.certificate.account.epsilon(1e-5) > 9.0


def attack(noise, claimed, runs=400):
    """An audit of doing nothing, whose training has `noise` and whose certificate says `claimed`."""
    x = np.zeros((8, 1))
    x[0] = 1e3
    problem = cu.Problem(
        init=lambda key: {"w": jnp.zeros(1)},
        losses=lambda p, batch: -(batch.x @ p["w"]),
        data=cu.Dataset(x, np.zeros(8)),
    )
    recipe = cu.Recipe(learning_rate=1.0, epochs=4, batch_size=8, clip_each=1.0, noise=noise)
    run = cu.train(problem, recipe, KEY, noise_key=KEY)
    masked = run.schedule.without([0])

    def ends(schedule):
        def one(key):
            state = begin(problem, recipe, run.start)
            return noisy_steps(problem, recipe, state, schedule, spent(key), 0, 4)[0][0]

        return one

    update = cu.NoisyRetrain().forget(replace(run, recipe=replace(recipe, noise=claimed)), None, [0], KEY)
    release = cu.certify(update, cu.Budget(epsilon=4.5, delta=1e-5))
    return cu.audit_runs(
        ends(run.schedule), ends(masked), release.certificate, runs=runs, key=KEY, statistic=lambda p: float(p["w"][0])
    )


def test_the_price_is_not_refuted_and_with_half_the_noise_it_is():
    fair, half = attack(2.0, 2.0), attack(1.0, 2.0)
    assert not fair.refuted and fair.lower > 0.3
    assert half.refuted


def test_canaries_do_not_refute_the_price():
    problem = cu.classification(cu.models.MLP(hidden=(6,), classes=3, dtype=jnp.float64), classes(40))
    run = run_of(problem, noise_key=None, noise=8.0)
    budget = cu.Budget(epsilon=15.0, delta=1e-5)
    for method in (cu.NoisyRetrain(), cu.NoisyRetrain(rewind_to=0)):
        audit = cu.audit_canaries(run, method, budget, classes(20, seed=3), KEY)
        assert not audit.refuted and audit.guesses > 0 and "coins" in audit.how


def test_a_gradient_of_tiny_and_huge_factors_is_clipped():
    with jax.enable_x64(False):
        x = np.full((3, 4), 1e15, np.float32)
        problem = cu.Problem(
            init=lambda key: {"w": jnp.zeros((4, 2))},
            losses=lambda p, batch: 1e-20 * jnp.sum((batch.x @ p["w"]), axis=1),
            data=cu.Dataset(x, np.zeros(3)),
        )
        total, _ = clipped_sum(problem, {"w": jnp.zeros((4, 2))}, problem.data[np.arange(1)], jnp.ones(1), 1e-6)
        assert np.isclose(np.linalg.norm(vector(total)), 1e-6, rtol=1e-4)


def test_leaves_of_every_kind_have_the_gradients_one_by_one():
    def losses(p, batch):
        hidden = jnp.tanh(batch.x @ p["used twice"]) * p["scalar"]
        return jnp.sum((hidden @ p["used twice"].T + p["once"].sum()) ** 2, axis=1) + jnp.sum(
            batch.x @ p["rows"], axis=1
        )

    shapes = {"used twice": (4, 4), "scalar": (), "once": (3,), "rows": (4, 2), "empty": (0, 3)}
    params = {name: jax.random.normal(KEY, shape) for name, shape in shapes.items()}
    problem = cu.Problem(init=lambda key: params, losses=losses, data=classes(10))
    ids = np.array([0, 3, 3, 7])
    total, _ = clipped_sum(problem, params, problem.data[ids], jnp.ones(4), 1.0)
    summed = vector(jax.tree.map(lambda a: a[0], total))
    assert np.allclose(summed, clipped(gradients_of(problem, params, ids), 1.0).sum(0), atol=1e-12)


def test_an_infinite_loss_decides_nothing_and_dropout_has_its_keys():
    x = np.array(classes(30).x)
    problem = cu.Problem(
        init=lambda key: {"w": jnp.ones(4)},
        losses=lambda p, batch: jnp.where(batch.y == 1, jnp.inf, 1.0) * jnp.sum(batch.x @ p["w"]) ** 2,
        data=cu.Dataset(x, (np.arange(30) == 3).astype(float)),
    )
    assert np.isfinite(vector(run_of(problem).params)).all()


def test_a_noisy_run_is_judged_and_reported(tmp_path):
    problem = cu.classification(cu.models.MLP(hidden=(6,), classes=3, dtype=jnp.float64), classes(40))
    run = run_of(problem, noise_key=None, states=2)
    update = cu.NoisyRetrain().forget(run, None, [4, 9], cu.secret_key())
    release = cu.certify(update, cu.Budget(epsilon=15.0, delta=1e-5))
    report = cu.evaluate(run, [4, 9], release, test=classes(40, seed=1), key=KEY)
    assert "PROVED" in str(report) and "distance to retraining" in report.left_out
    assert "loss_threshold" in report.attacks["noisy_retrain"] and "attack lira" in report.left_out


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
        (lambda: cu.train(network(), cu.Recipe(), KEY, states=3), "for a recipe with noise"),
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


def test_the_plan_says_the_worst_price_and_that_of_a_request():
    run = run_of(states=3, epochs=4)
    plan = noise_prices(run, [4, 9], delta=1e-3)
    assert plan.places == (0, 4, 8, 12) and plan.worst[0] == plan.request[0] == 0
    for place, worst, of in zip(plan.places[1:], plan.worst[1:], plan.request[1:], strict=True):
        assert worst == read_epsilon(1 / prices(run, place).max(), 1e-3)
        apart = noisy_training(run, np.isin(np.arange(30), [4, 9]), until=place).says.apart
        assert of == read_epsilon(1 / apart, 1e-3) > worst
    after = run.minus([4], run.params)
    alone = [noisy_training(run, np.isin(np.arange(30), [4, i])).says.apart for i in range(30) if i != 4]
    assert np.allclose(np.delete(prices(after), 4), alone, rtol=1e-3)
    assert noise_prices(after).worst[-1] > noise_prices(run).worst[-1]
    assert "this request" in str(plan) and "this request" not in str(noise_prices(run))


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
