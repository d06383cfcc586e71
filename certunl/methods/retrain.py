"""True retraining: the same loop, from the same start, on the schedule without the request."""

from dataclasses import dataclass
from typing import Any

import jax

from certunl.base import Key
from certunl.certificates.guarantee import REPLAY, Guarantee
from certunl.certificates.statement import Distance
from certunl.certificates.update import Unlearner, Update
from certunl.methods._updated import updated
from certunl.timing import Stopwatch
from certunl.training.loop import check_finite, replay
from certunl.training.run import Run

__all__ = ["Retrain"]


@dataclass(frozen=True, kw_only=True)
class Retrain(Unlearner):
    """The truth every method is held to: exact, and as slow as training. Its distance to itself is 0, proved."""

    def forget(self, run: Run, prepared: Any, request: Any, key: Key) -> Update:
        """Trains again without `request` and all that was forgotten before; `key` is not used."""
        request = run.check(request)
        with Stopwatch() as watch:
            params, risks = jax.block_until_ready(replay(run, run.retained(request)))
        check_finite(risks, params, run.recipe)
        exact = Guarantee(says=Distance(0.0, exact=True), reference=REPLAY, every_request=True)
        return updated(run, params, watch, "retrain", exact)
