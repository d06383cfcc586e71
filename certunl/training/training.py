"""Training of a new run, and its repetition without some examples."""

import logging
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from optax.projections import projection_l2_ball

from certunl.base import Key, Params, Progress
from certunl.certificates.secret import Secret, digest_of, secret_key, spent, unchecked
from certunl.errors import BadInput, Diverged, typed_key, whole
from certunl.training.chunks import Keeper, followed, foreign_states, staged
from certunl.training.dataset import automatic, placed
from certunl.training.direction import warn_of_two_rates
from certunl.training.drawing import schedule_of
from certunl.training.loop import check_finite, replay
from certunl.training.marks import owned, taken
from certunl.training.noisy import NoiseRecord, check_noisy, check_params, trained_with_noise
from certunl.training.placing import beside, initial, like, spread_out
from certunl.training.problem import Problem
from certunl.training.provenance import Provenance, own
from certunl.training.recipe import Recipe
from certunl.training.run import Run
from certunl.training.schedule import Schedule
from certunl.training.sealing import batches_of, end_of, seal_of, states_of
from certunl.training.sharding import check_shards, sharded
from certunl.training.stages import even_places, stage_ends
from certunl.training.starting import check_parts, explained, fitting
from certunl.training.states import Parts, States, check_states

__all__ = ["fit", "retrained", "train"]


def fit(
    problem: Problem,
    recipe: Recipe,
    start: Params,
    schedule: Schedule,
    *,
    origin: str = "",
    noise_key: Key | Secret | None = None,
    states: int = 1,
    progress: Progress | None = None,
    checkpoints: Keeper | None = None,
) -> Run:
    """The run that training from `start` along `schedule` gives. Step sizes are the schedule's rates.

    It takes over a loop of your own: log its batches as a schedule, at rate 1 for an Optax optimizer that holds its own
    rate, and `HessianFree` is exact for it. `record` logs them, and compares the end of the replay with that of yours.

    A start or a schedule that depends on the forgotten examples makes every statement about forgetting them false. So
    no certificate about this run is PROVED. Those about a run of `train` may be, which draws both.

    Args:
        problem: the losses and the data.
        recipe: the settings of a step. Its settings of a schedule (learning_rate, decay, epochs, batch_size, batches,
            slices) do not change this training.
        start: the initial parameters, a pytree of arrays.
        schedule: the mini-batches, their weights and step sizes.
        origin: where start and schedule come from, in words, such as "weights learnt on public data, batches in random
            order". Certificates repeat it under `unchecked`.
        noise_key, states: as in `train`.
        progress: called with (steps done, steps in all) about a hundred times, and with the loss of the last batch if
            it has a third parameter; None reports nothing.
        checkpoints: as in `train`.

    Raises: BadInput for unusable data, losses or schedule; Diverged if the loss becomes NaN or infinite.
    """
    if not isinstance(origin, str):
        raise BadInput(f"origin says in words where start and schedule come from, got {type(origin).__name__}")
    check_parts(problem, recipe)
    return _fitted(problem, recipe, start, schedule, progress, checkpoints, origin, noise_key, states)


def _fitted(
    problem: Problem,
    recipe: Recipe,
    start: Params,
    batches: Schedule | None,
    progress: Progress | None,
    checkpoints: Keeper | None,
    origin: str | None,
    noise_key: Key | Secret | None,
    states: int,
    stages: tuple[int, ...] = (),
) -> Run:
    """`fit`, where None for `origin` says that the code has drawn start and schedule. `batches` is the schedule; None
    draws it from the secret of the noise. The run keeps the states after `stages` as well."""
    secret, seed = secret_key() if noise_key is None else noise_key, b""
    if batches is None:
        seed = spent(secret)
    schedule = schedule_of(problem, recipe, seed) if batches is None else batches
    problem = replace(problem, data=placed(problem.data))
    schedule = automatic(taken(schedule))
    if not len(schedule):
        raise BadInput("the schedule has no step; give at least one, or use adopt(problem, params) for a trained model")
    schedule = problem.numbered(schedule)
    start = spread_out(fitting(spread_out(start, problem.data), problem))
    problem = replace(problem, data=beside(problem.data, start))
    problem.check(start)
    schedule.check(len(problem.data))
    check_shards(problem, recipe, schedule)
    warn_of_two_rates(recipe.optimizer, start, schedule.rates)
    if recipe.radius is not None and (norm := float(optax.tree.norm(start))) > recipe.radius:
        logging.getLogger("certunl").warning(
            "the initial parameters have norm %.4g, outside the ball of radius %g; the first step projects them onto "
            "the ball",
            norm,
            recipe.radius,
        )
    record, places = None, tuple(sorted({*stages, *even_places(int(states), len(schedule))}))
    parts: Parts = ()
    if recipe.noise:
        check_noisy(problem, recipe, schedule, start, checkpoints, states)
        seed = seed or spent(secret)
        params, risks, places = trained_with_noise(problem, recipe, start, schedule, seed, states, progress)
        record = NoiseRecord(places, digest_of(secret), unchecked(secret), device=_device())
    elif noise_key is not None:
        raise BadInput("noise_key is for a recipe with noise; set clip_each and noise, or leave it out")
    elif places:
        check_states(schedule, len(problem.data), set(places) - {*stages})
        params, risks, parts = staged(
            problem, recipe, start, schedule, places, progress=progress, checkpoints=checkpoints
        )
    else:
        params, risks = followed(problem, recipe, start, schedule, progress, checkpoints)
    params = owned(like(params, start))
    try:
        if record is None:
            check_finite(risks, params, recipe)
        else:
            check_params(params)
    except Diverged as error:
        raise explained(error, problem, start, schedule) from None
    present = jnp.ones(len(problem.data), bool)
    provenance = Provenance.drawn(start, schedule) if origin is None else Provenance(origin.strip())
    run = Run(problem, recipe, start, schedule, params, present, provenance, risks, record)
    if problem.sharded:
        provenance = replace(provenance, end=end_of(run))
    if parts:
        run = replace(run, states=States(owned(parts), np.asarray(present)))
        provenance = replace(provenance, states=states_of(run))
    if record is not None and batches is None:
        run = replace(run, noise=replace(record, batches=batches_of(run)))
    if record is not None:
        provenance = replace(provenance, noise=seal_of(run))
    return replace(run, provenance=provenance)


def train(
    problem: Problem,
    recipe: Recipe,
    key: Key,
    *,
    shards: int = 1,
    noise_key: Key | Secret | None = None,
    states: int = 1,
    progress: Progress | None = None,
    checkpoints: Keeper | None = None,
) -> Run:
    """The run that training gives with initial parameters and a schedule drawn from `key`.

    With `shards`, several models are trained together and are one model from then on (`sharding.sharded`). Forgetting
    by `Retrain` trains the few of them anew that have learnt from the request. With `Recipe(slices=R)` each is trained
    in R stages on a growing part of its data, and goes back to the last stage without the request.

    Args:
        problem: the initializer, the losses and the data.
        recipe: the settings of the schedule and of a step.
        key: draws the initial parameters, the shards and the mini-batches, but not secret batches.
        shards: the number of models. Each is trained on examples of its own, with a batch of `batch_size` in each step.
        noise_key: the secret of the noise and of secret batches, for a recipe with `noise`. A JAX key is for tests.
            Default: `secret_key()`.
        states: the number of states that the run keeps, evenly over the steps and with the start. `NoisyRetrain` goes
            back to them. Without noise `Retrain` does, for those who have no slot before, such as in a training of one
            epoch. States lie in memory beside the parameters. `Recipe(slices=R)` keeps those between its stages.
        progress: called with (steps done, steps in all) about a hundred times, and with the loss of the last batch if
            it has a third parameter; None reports nothing.
        checkpoints: `Checkpoints(folder)`, so that the same call goes on after a kill, with the same result to the bit.
            Default: none.

    Raises: the errors of `fit`; BadInput if the checkpoints are those of another training, for states that serve
    nobody, and for slices that the data or the steps are too few for.
    """
    typed_key(key)
    check_parts(problem, recipe)
    whole(shards=shards)
    if shards > 1:
        problem = sharded(problem, shards)
    # parts from outside are still named after they were replaced by others
    checked = own(problem, recipe) and not foreign_states(checkpoints)
    origin = None if checked else "drawn by parts that are not all certunl's own"
    start_key, schedule_key = jax.random.split(key)
    schedule = None if recipe.batches == "secret" else schedule_of(problem, recipe, schedule_key)
    start = initial(problem.init, start_key)
    if checked:  # an initializer from outside may give arrays that it holds
        owned((start, schedule))
    stages = () if schedule is None else stage_ends(recipe.slices, len(schedule))
    return _fitted(problem, recipe, start, schedule, progress, checkpoints, origin, noise_key, states, stages)


def retrained(run: Run, request: Any) -> Params:
    """The parameters of retraining without `request` and without all examples forgotten before.

    They are projected onto the ball if the recipe has one.
    Raises: the errors of `Run.check`; Diverged if the loss becomes NaN or infinite.
    """
    run.need_history("a replay of training")
    params, risks = replay(run, run.retained(run.check(request)))
    check_finite(risks, params, run.recipe)
    return params if run.recipe.radius is None else projection_l2_ball(params, run.recipe.radius)


def _device() -> str:
    """The kind of the devices of this process; empty for CPUs, whose sums are those that the theory of rounding has."""
    return "" if jax.default_backend() == "cpu" else jax.default_backend()
