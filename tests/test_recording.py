"""One's own Optax loop, recorded: its schedule replays it, and HessianFree is exact for it."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.training.train_state import TrainState

import certunl as cu
from tests.cases import KEY, classes, network, ridge, trained, vector

CHAIN = optax.chain(
    optax.clip_by_global_norm(0.5),
    optax.adamw(optax.warmup_cosine_decay_schedule(1e-3, 0.02, 4, 20), eps_root=1e-16, weight_decay=0.01),
)
RECIPE = cu.Recipe(optimizer=CHAIN)


def batches(n=30, epochs=3, size=8, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        order = rng.permutation(n)
        yield from (order[i : i + size] for i in range(0, n, size))


def loop(problem, start, log=None, **weights):
    """A loop as anybody writes it: the mean loss of a batch, its gradient, Optax."""
    x, y = jnp.asarray(problem.data.x), jnp.asarray(problem.data.y)

    @jax.jit
    def step(params, memory, x, y):
        gradient = jax.grad(lambda p: jnp.mean(problem.losses(p, cu.Dataset(x, y))))(params)
        updates, memory = CHAIN.update(gradient, memory, params)
        return optax.apply_updates(params, updates), memory

    params, memory = start, CHAIN.init(start)
    for indices in batches(len(y)):
        params, memory = step(params, memory, x[indices], y[indices])
        if log is not None:
            log.step(indices)
    return params


@pytest.fixture(scope="module")
def run():
    problem = network()
    start = problem.init(KEY)
    with cu.record() as log:
        end = loop(problem, start, log)
    return log.run(problem, RECIPE, start, end=end), end, log


def test_a_recorded_loop_replays_to_its_own_end(run):
    run, end, log = run
    assert log.difference < 5e-7 and np.abs(vector(run.params) - vector(end)).max() < 1e-9
    assert run.history and len(run.schedule) == len(log) == 12
    assert np.asarray(run.schedule.divisors).tolist() == [8, 8, 8, 6] * 3
    assert any("recorded loop, replayed" in words for words in run.unchecked)


def test_rows_of_a_recorded_loop_are_the_derivative_of_that_loop(run):
    run, *_ = run
    row = vector(cu.HessianFree().forget(run, None, [4], KEY).params) - vector(run.params)
    ends = []
    for h in (1e-6, -1e-6):
        weights = jnp.where(run.schedule.indices == 4, run.schedule.weights * (1 - h), run.schedule.weights)
        schedule = cu.Schedule(run.schedule.indices, weights, run.schedule.rates, run.schedule.divisors)
        ends.append(vector(cu.fit(run.problem, run.recipe, run.start, schedule).params))
    np.testing.assert_allclose(row, (ends[0] - ends[1]) / 2e-6, atol=1e-6 * np.abs(row).max())


class Dropped(nn.Module):
    """A network with dropout."""

    @nn.compact
    def __call__(self, x, train):
        x = nn.softplus(nn.Dense(5, param_dtype=jnp.float64)(x))
        return nn.Dense(3, param_dtype=jnp.float64)(nn.Dropout(0.3, deterministic=not train)(x))


def test_a_loop_with_dropout_and_warm_up_is_recorded_and_its_rows_are_the_derivative():
    problem = cu.classification(Dropped(), classes(), randomness=5)
    start = params = problem.init(KEY)
    memory = CHAIN.init(start)
    with cu.record() as log:
        for number, indices in enumerate(batches()):
            batch = problem.batch(jnp.asarray(indices), number)
            gradient = jax.grad(lambda p, b: jnp.mean(problem.per_example(p, b)))(params, batch)
            updates, memory = CHAIN.update(gradient, memory, params)
            params = optax.apply_updates(params, updates)
            log.step(indices)
    run = log.run(problem, RECIPE, start, end=params)
    assert log.difference < 5e-7
    test_rows_of_a_recorded_loop_are_the_derivative_of_that_loop((run,))


def test_a_train_state_is_recorded_without_a_word_about_it():
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(3, param_dtype=jnp.float64, dtype=jnp.float64)(x)

    data = classes()
    problem, model, x = cu.classification(Net(), data), Net(), jnp.asarray(data.x)
    start = problem.init(KEY)
    state = TrainState.create(apply_fn=model.apply, params=start, tx=optax.sgd(0.1, momentum=0.9))

    @jax.jit
    def step(state, x, y):
        def loss(params):
            logits = state.apply_fn({"params": params}, x)
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

        return state.apply_gradients(grads=jax.grad(loss)(state.params))

    with cu.record() as log:
        for indices in batches():
            state = step(state, x[indices], jnp.asarray(data.y)[indices])
            log.step(jnp.asarray(indices))
    run = log.run(problem, cu.Recipe(optimizer=state.tx), start, end=state.params, origin="seed 0")
    assert log.difference < 1e-9 and any("(seed 0, replayed)" in words for words in run.unchecked)


def test_weights_rates_and_divisors_are_those_of_the_loop():
    problem = ridge(n=6)
    start = problem.init(KEY)
    x, y, w = np.asarray(problem.data.x), np.asarray(problem.data.y), np.asarray(start["w"])
    with cu.record(rate=lambda t: 0.1 / (1 + t)) as log:
        for t, (ids, factors) in enumerate([([0, 1, 2], [1, 0.5, 0]), ([3, 4], [2, 1]), ([5], [1])]):
            pull = x[ids].T @ (np.array(factors) * (x[ids] @ w - y[ids]))  # a sum, no mean
            rate = 0.03 if t == 2 else 0.1 / (1 + t)
            w = w - rate * pull
            log.step(ids, weights=factors, divisor=1, rate=0.03 if t == 2 else None)
    log.run(problem, cu.Recipe(), start, end={"w": w})
    assert log.difference < 1e-13
    np.testing.assert_allclose(log.schedule().rates, [0.1, 0.05, 0.03])


@pytest.mark.parametrize("fault", ["order", "sum", "decay", "rate"])
def test_a_replay_that_ends_elsewhere_is_refused_with_the_difference_and_its_causes(fault):
    problem = network()
    start = problem.init(KEY)
    with cu.record(rate=1.0 if fault != "rate" else 0.9) as log:
        end = loop(problem, start, log)
    if fault == "order":
        other = cu.Dataset(problem.data.x[::-1], problem.data.y[::-1])
        problem = cu.classification(problem.losses.model, other)
    recipe = cu.Recipe(optimizer=CHAIN, weight_decay=0.5) if fault == "decay" else RECIPE
    if fault == "sum":
        rows, log = log.schedule(), cu.record()
        for row in rows.indices:
            log.step(row, divisor=0.01)  # beyond the clipping
    with pytest.raises(cu.BadInput, match=r"ends \d[.\d]* of the way .* another order, losses that are summed"):
        log.run(problem, recipe, start, end=end, tolerance=1e-5)


def test_what_is_no_step_is_refused():
    log = cu.record()
    traced = jax.jit(lambda indices: log.step(indices))
    for call, sentence in (
        (lambda: traced(jnp.arange(3)), "indices is traced by jit.*outside of the compiled step"),
        (lambda: log.step([0.5]), "whole numbers of shape"),
        (lambda: log.step([[1]]), "whole numbers of shape"),
        (lambda: log.step([-1]), "whole numbers from 0"),
        (lambda: log.step([1, 2], weights=[1.0]), "weights must be 2 finite numbers"),
        (lambda: log.step([1], rate="fast"), "rate must be a finite number, got 'fast'"),
        (lambda: log.step([1], divisor=0), "divisor must be a positive number"),
        (lambda: cu.record(rate=np.nan), "rate must be a finite number"),
        (log.schedule, "no step was recorded"),
    ):
        with pytest.raises(cu.BadInput, match=sentence):
            call()
    with log:
        log.step([1])
    with pytest.raises(cu.BadInput, match="the record is closed"):
        log.step([1])


def test_a_run_keeps_the_losses_of_its_training_and_loggers_hear_them():
    problem, lines = network(), []
    run = cu.train(problem, cu.Recipe(epochs=2, batch_size=8), KEY, progress=lambda *three: lines.append(three))
    assert lines == [(t + 1, 8) for t in range(8)]
    heard = []

    def logger(done, total, loss):
        heard.append((done, loss))

    again = cu.fit(problem, run.recipe, run.start, run.schedule, progress=logger)
    jax.effects_barrier()
    assert [done for done, _ in sorted(heard)] == list(range(1, 9))
    np.testing.assert_allclose([loss for _, loss in sorted(heard)], run.losses, rtol=1e-6)
    np.testing.assert_array_equal(run.losses, again.losses)
    first = run.problem.data[run.schedule.indices[0]]
    weights = run.schedule.weights[0]
    by_hand = np.sum(problem.losses(run.start, first) * weights) / run.schedule.divisors[0]
    assert float(run.losses[0]) == pytest.approx(float(by_hand))
    assert trained(network()).minus([1], run.params).losses is not None
    cu.HessianFree(units=[1, 2]).prepare(run, progress=logger)
    assert np.isnan(heard[-1][1])
