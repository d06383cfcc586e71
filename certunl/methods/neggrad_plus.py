"""NegGrad+ (Kurmanji et al. 2023): descent on the retained loss and ascent on the forgotten loss in every step."""

from dataclasses import dataclass, replace
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from certunl.base import Key
from certunl.errors import proportion
from certunl.methods._continued import Continued, Lesson
from certunl.training.continuing import continuation
from certunl.training.run import Run
from certunl.training.schedule import Schedule

__all__ = ["NegGradPlus"]


@dataclass(frozen=True, kw_only=True)
class NegGradPlus(Continued):
    """Steps on retain_share · mean over retained l_i − (1 − retain_share) · mean over forgotten l_i.

    Each step holds one batch of retained examples and one of forgotten examples. The forgotten ones are visited again
    and again until the epochs over the retained ones end. Ascent has no minimum to stop at, so a small `retain_share`
    destroys the model. NOT CERTIFIED.

    Args:
        epochs: passes over the retained examples.
        learning_rate: the step size of every step. Default: the mean rate of training.
        retain_share: the weight of the retained loss, from 0 (negative gradient) to 1 (fine-tuning).

    Source: Kurmanji, Triantafillou, Hayes, Triantafillou 2023, NegGrad+.  Differs: the run's own optimizer and batch
    size.
    """

    name: ClassVar[str] = "neggrad_plus"

    retain_share: float = 0.95

    def __post_init__(self) -> None:
        super().__post_init__()
        proportion(retain_share=self.retain_share)

    def lesson(self, run: Run, request: np.ndarray, key: Key) -> Lesson:
        retain_key, forget_key = jax.random.split(key)
        lesson = self.own_loop(run, np.flatnonzero(run.retained(request)), retain_key)
        steps = len(lesson.schedule)
        # enough epochs over the forgotten examples to give every step a batch of them; the rest is cut off
        times = -(-steps // -(-len(request) // lesson.recipe.batch_size))
        _, forgotten = continuation(run, request, times, self.rate(run), forget_key)
        forgotten = jax.tree.map(lambda array: array[:steps], forgotten)
        return lesson._replace(schedule=_opposed(lesson.schedule, forgotten, self.retain_share))


def _opposed(retain: Schedule, forgotten: Schedule, share: float) -> Schedule:
    """Both batches in each step, each weighted to be `share` or `share` − 1 times its own mean."""
    halves = [(share, retain), (share - 1, forgotten)]
    # The loop divides a step by all its slots of nonzero weight (it must, where the denominator is "retained"). A half
    # is divided by its own divisor only if its weights are multiplied by slots / divisor first.
    slots = sum(jnp.sum(half.weights != 0, axis=1).astype(float) * float(part != 0) for part, half in halves)
    weights = [part * half.weights * (slots / half.divisors)[:, None] for part, half in halves]
    return replace(
        retain,
        indices=jnp.concatenate([retain.indices, forgotten.indices], axis=1),
        weights=jnp.concatenate(weights, axis=1),
        divisors=slots,
    )
