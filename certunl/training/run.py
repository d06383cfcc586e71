"""A trained model and everything that determines it."""

import logging
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from optax.projections import projection_l2_ball

from certunl.base import Key, Params, Progress
from certunl.errors import BadInput, Diverged, typed_key
from certunl.training.chunks import Keeper, followed, foreign_states
from certunl.training.dataset import automatic, placed
from certunl.training.describing import described
from certunl.training.direction import warn_of_two_rates
from certunl.training.loop import check_finite, replay
from certunl.training.placing import beside, initial, like, spread_out
from certunl.training.problem import Problem
from certunl.training.provenance import Provenance, of_parts, own
from certunl.training.recipe import Recipe
from certunl.training.schedule import Schedule, draw
from certunl.training.starting import check_parts, explained, fitting

__all__ = ["Run", "fit", "retrained", "train"]


@struct.dataclass
class Run:
    """A trained model and everything that determines it. A replay of `schedule` from `start` repeats the training.

    Args:
        problem: the initial parameters, losses and data.
        recipe: the settings of a training step.
        start: the parameters before the first step, a pytree of arrays.
        schedule: the mini-batches of training.
        params: the current un-noised parameters, a pytree like `start`. A request replaces them (`minus`).
        present: bool[n], true for every example that is not forgotten.
        provenance: where start and schedule come from. Default: from outside, so no certificate is PROVED.
        losses: f[t], the risk of each batch before its step, as training computed it; None if it is not known.
    """

    problem: Problem
    recipe: Recipe = struct.field(pytree_node=False)
    start: Params
    schedule: Schedule
    params: Params
    present: jax.Array
    provenance: Provenance = struct.field(pytree_node=False, default=Provenance())
    losses: jax.Array | None = None

    def __repr__(self) -> str:
        return described(self)

    @property
    def history(self) -> bool:
        """Whether start and schedule are those of the training. A run of `adopt` has no history."""
        return len(self.schedule) > 0

    def need_history(self, what: str) -> None:
        """Raises BadInput for a run without a history. `what` names the work that follows the training."""
        if not self.history:
            raise BadInput(
                f"{what} follows training step by step, and this run was adopted without the steps of its training; "
                "train it here with train or fit, or record your own loop with certunl.record"
            )

    @property
    def rates(self) -> tuple[float, float]:
        """The rates of the first and the last step. Without a history both are the recipe's learning rate."""
        if not self.history:
            return self.recipe.learning_rate, self.recipe.learning_rate
        return float(self.schedule.rates[0]), float(self.schedule.rates[-1])

    @property
    def unchecked(self) -> tuple[str, ...]:
        """The conditions on data, model, losses, start and schedule that nobody checked, in words.

        Every certificate names them. None is left for a run of `train` on `models.Linear`, `MLP`, `CNN`, `LeNet5`,
        `AllCNN` or `ResNet18`, with a loss of this library and an optimizer by name, on data that leave nothing
        unchecked. Inputs on the host, frozen and adopted parameters, and what a reader inferred are always named.
        """
        words = (*of_parts(self.problem, self.recipe), *self.provenance.unchecked(self.start, self.schedule))
        return tuple(dict.fromkeys(words))

    def minus(self, request: Any, params: Params) -> "Run":
        """The run after the deletion of `request`, with the un-noised parameters `params`. The next request uses it."""
        return replace(self, params=params, present=self.retained(self.check(request)))

    def retained(self, request: np.ndarray) -> jax.Array:
        """bool[n]: the examples that are present and not in `request` (as `check` returns it)."""
        present = np.array(self.present)  # on the host, because JAX would compile a program for every request size
        present[request] = False
        return jnp.asarray(present)

    def check(self, request: Any, *keys: Any) -> np.ndarray:
        """`request` as i32[k], sorted and unique.

        Raises: BadInput for an empty request, for ids outside the data or already forgotten, and for a request that
        names every remaining example; also unless each of `keys` is one of `jax.random.key`.
        """
        for key in keys:
            typed_key(key)
        ids = np.atleast_1d(np.asarray(request))
        if ids.size == 0:
            raise BadInput("the request is empty; name at least one example to forget")
        if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer):
            raise BadInput(f"a request is a list of example ids (whole numbers), got {ids.dtype}{list(ids.shape)}")
        ids, present = np.unique(ids), np.asarray(self.present)
        if present.dtype != bool:
            raise BadInput(f"present must be bool[n], true for examples not forgotten, got {present.dtype}")
        if ids[0] < 0 or ids[-1] >= len(present):
            wrong = ids[(ids < 0) | (ids >= len(present))]
            raise BadInput(f"the request names example {wrong[0]}, but the data have ids 0 to {len(present) - 1}")
        if not present[ids].all():
            raise BadInput(f"example {ids[~present[ids]][0]} is already forgotten; leave it out of the request")
        if len(ids) == present.sum():
            raise BadInput("the request names every remaining example and retains none; delete the model instead")
        return ids.astype(np.int32)


def fit(
    problem: Problem,
    recipe: Recipe,
    start: Params,
    schedule: Schedule,
    *,
    origin: str = "",
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
        recipe: the settings of a step. Its settings of a schedule (learning_rate, decay, epochs, batch_size, batches)
            do not change this training.
        start: the initial parameters, a pytree of arrays.
        schedule: the mini-batches, their weights and step sizes.
        origin: where start and schedule come from, in words, such as "weights learnt on public data, batches in random
            order". Certificates repeat it under `unchecked`.
        progress: called with (steps done, steps in all) about a hundred times, and with the loss of the last batch if
            it has a third parameter; None reports nothing.
        checkpoints: as in `train`.

    Raises: BadInput for unusable data, losses or schedule; Diverged if the loss becomes NaN or infinite.
    """
    if not isinstance(origin, str):
        raise BadInput(f"origin says in words where start and schedule come from, got {type(origin).__name__}")
    check_parts(problem, recipe)
    return _fitted(problem, recipe, start, schedule, progress, checkpoints, origin)


def _fitted(
    problem: Problem,
    recipe: Recipe,
    start: Params,
    schedule: Schedule,
    progress: Progress | None,
    checkpoints: Keeper | None,
    origin: str | None,
) -> Run:
    """`fit`, where None for `origin` says that the code has drawn start and schedule."""
    problem = replace(problem, data=placed(problem.data))
    schedule = automatic(jax.tree.map(jnp.asarray, schedule))
    if not len(schedule):
        raise BadInput("the schedule has no step; give at least one, or use adopt(problem, params) for a trained model")
    schedule = problem.numbered(schedule)
    start = spread_out(fitting(spread_out(start, problem.data), problem))
    problem = replace(problem, data=beside(problem.data, start))
    problem.check(start)
    schedule.check(len(problem.data))
    warn_of_two_rates(recipe.optimizer, start, schedule.rates)
    if recipe.radius is not None and (norm := float(optax.tree.norm(start))) > recipe.radius:
        logging.getLogger("certunl").warning(
            "the initial parameters have norm %.4g, outside the ball of radius %g; the first step projects them onto "
            "the ball",
            norm,
            recipe.radius,
        )
    params, risks = followed(problem, recipe, start, schedule, progress, checkpoints)
    params = like(params, start)
    try:
        check_finite(risks, params, recipe)
    except Diverged as error:
        raise explained(error, problem, start, schedule) from None
    present = jnp.ones(len(problem.data), bool)
    provenance = Provenance.drawn(start, schedule) if origin is None else Provenance(origin.strip())
    return Run(problem, recipe, start, schedule, params, present, provenance, risks)


def train(
    problem: Problem,
    recipe: Recipe,
    key: Key,
    *,
    progress: Progress | None = None,
    checkpoints: Keeper | None = None,
) -> Run:
    """The run that training gives with initial parameters and a schedule drawn from `key`.

    Args:
        problem: the initializer, the losses and the data.
        recipe: the settings of the schedule and of a step.
        key: draws the initial parameters and the mini-batches.
        progress: called with (steps done, steps in all) about a hundred times, and with the loss of the last batch if
            it has a third parameter; None reports nothing.
        checkpoints: `Checkpoints(folder)`, so that the same call goes on after a kill, with the same result to the bit.
            Default: none.

    Raises: the errors of `fit`; BadInput if the checkpoints are those of another training.
    """
    typed_key(key)
    check_parts(problem, recipe)
    # parts from outside are still named after they were replaced by others
    checked = own(problem, recipe) and not foreign_states(checkpoints)
    origin = None if checked else "drawn by parts that are not all certunl's own"
    start_key, schedule_key = jax.random.split(key)
    schedule = draw(schedule_key, recipe, len(problem.data))
    return _fitted(problem, recipe, initial(problem.init, start_key), schedule, progress, checkpoints, origin)


def retrained(run: Run, request: Any) -> Params:
    """The parameters of retraining without `request` and without all examples forgotten before.

    They are projected onto the ball if the recipe has one.
    Raises: the errors of `Run.check`; Diverged if the loss becomes NaN or infinite.
    """
    run.need_history("a replay of training")
    params, risks = replay(run, run.retained(run.check(request)))
    check_finite(risks, params, run.recipe)
    return params if run.recipe.radius is None else projection_l2_ball(params, run.recipe.radius)
