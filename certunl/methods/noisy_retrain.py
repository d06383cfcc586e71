"""Forgetting from a training with noise: the model as it is, at a price, or trained again from a step on."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import numpy as np

from certunl.base import Key
from certunl.bounds import theorems
from certunl.certificates.secret import Secret, digest_of, spent, unchecked
from certunl.certificates.update import Unlearner, Update
from certunl.errors import BadInput, plain_numbers, whole
from certunl.methods._updated import updated
from certunl.timing import Stopwatch
from certunl.training.loop import begin
from certunl.training.noisy import check_params, noisy_steps
from certunl.training.run import Run

__all__ = ["NoisyRetrain"]


@dataclass(frozen=True, kw_only=True)
class NoisyRetrain(Unlearner):
    """The end of a training with noise, trained again from a step on without the forgotten.

    The training has `Recipe(clip_each=C, noise=z)`. Its noise hides each example in proportion to the slots that it
    takes. So the trained model itself has forgotten everyone, at the price of `theorems.noisy_training`. With
    `rewind_to` only the steps before it count, and the others are trained again with fresh noise. This costs (T −
    rewind_to)/T of a training. The guarantee is `OwnNoise`, for any loss, network and optimizer, and `certify` adds no
    noise. It is `Pairs` for secret batches, which have a price by the number of the forgotten. Everyone forgotten so
    far counts, also those for whom an earlier update went further back.

    `key` draws the fresh noise; it must be `secret_key()`. A JAX key is for tests, and makes the certificate
    CONDITIONAL.

    Args:
        rewind_to: s, the first step that is trained again. The last state that training kept, at this step or before
            it, is taken (`train(..., states=)`). 0 is retraining. None: nothing is trained again, and the update is the
            trained model.

    Source: Dong, Roth and Su 2022 for the composition. The price of known slots, and going back, are of this library.
    """

    own_noise: ClassVar[bool] = True
    """`key` must be secret, so the command line takes it from the system's entropy and not from its seed."""

    rewind_to: int | None = None

    def __post_init__(self) -> None:
        plain_numbers(self)
        whole("to leave the model as it is", least=0, rewind_to=self.rewind_to)

    def forget(self, run: Run, prepared: Any, request: Any, key: Key | Secret) -> Update:
        """The update, from the states of the training and not from the parameters of the run.

        Raises: BadInput for a run without noise, and for a step that training does not have; Diverged as training.
        """
        retained = run.retained(run.check(request))
        run.need_history("training with noise again")
        if not run.recipe.noise:
            raise BadInput("this run was trained without noise; train with Recipe(clip_each=..., noise=...)")
        steps = len(run.schedule)
        if self.rewind_to is not None and self.rewind_to > steps:
            raise BadInput(f"rewind_to is step {self.rewind_to}, but the training has {steps} steps")
        if run.noise is None and self.rewind_to != 0:
            raise BadInput("the states of this training are gone; only rewind_to=0, which is retraining, needs none")
        place = 0 if run.noise is None else run.noise.before(steps if self.rewind_to is None else self.rewind_to)
        secret, questions = "", tuple[str, ...]()
        with Stopwatch() as watch:
            state = begin(run.problem, run.recipe, run.start)
            if place and run.noise is not None:
                state = jax.tree.unflatten(jax.tree.structure(state), run.noise.states[place])
            if place < steps:
                secret, questions = digest_of(key), unchecked(key)
                schedule = run.schedule.masked(~retained[run.schedule.indices])
                purpose = b"training again from step %d" % place
                state, _ = noisy_steps(
                    run.problem, run.recipe, state, schedule, spent(key), place, steps, purpose=purpose
                )
                check_params(state[0])
            params = jax.block_until_ready(state[0])
        guarantee = theorems.noisy_training(run, ~np.asarray(retained), until=place, secret=secret)
        guarantee = replace(guarantee, unchecked=(*guarantee.unchecked, *questions))
        cost = {"share_of_training": (steps - place) / steps}
        return updated(run, params, watch, "noisy_retrain", guarantee, request=request, cost=cost)
