"""Parameters on the way of training, and whose they are."""

from dataclasses import dataclass

import jax

from certunl.base import Params, Progress
from certunl.errors import BadInput
from certunl.rows.origin import Origin
from certunl.training.loop import check_finite, follow
from certunl.training.run import Run

__all__ = ["Checkpoint"]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """`params` of training as it was, with everyone, some steps before its end; `origin` says of which run and how
    many. They depend on the forgotten, so erase them after the last request."""

    params: Params
    origin: Origin

    @classmethod
    def of(cls, run: Run, before: int, progress: Progress | None = None) -> "Checkpoint":
        """That of `run`, recomputed from start and schedule. Raises: Diverged as training does."""
        first = jax.tree.map(lambda a: a[: len(run.schedule) - before], run.schedule)
        params, risks = jax.block_until_ready(follow(run.problem, run.recipe, run.start, first, progress))
        check_finite(risks, params, run.recipe)
        return cls(params, _origin(run, before))

    def check(self, run: Run, before: int) -> "Checkpoint":
        """Itself. Raises: BadInput where it is another run's, or of another step."""
        if not _origin(run, before).same(self.origin):
            raise BadInput("this checkpoint belongs to another run, or to another step of it; prepare this one")
        return self


def _origin(run: Run, before: int) -> Origin:
    return Origin.of(run, f"checkpoint, {before} steps before the end")
