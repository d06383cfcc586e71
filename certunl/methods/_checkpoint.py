"""The parameters of training some steps before its end, and the run they belong to."""

from dataclasses import dataclass

import jax

from certunl.base import Params, Progress, digest
from certunl.errors import BadInput
from certunl.rows.origin import Origin
from certunl.training.chunks import followed
from certunl.training.loop import check_finite
from certunl.training.run import Run

__all__ = ["Checkpoint"]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The parameters of the original training run, with all its examples, some steps before the end.

    They depend on the forgotten examples, so erase them after the last request.

    Args:
        params: the parameters, a pytree like those of the run.
        origin: the run and the step that the parameters belong to.
        seal: the digest of the parameters when they were computed.
    """

    params: Params
    origin: Origin
    seal: str = ""

    @classmethod
    def of(cls, run: Run, before: int, progress: Progress | None = None) -> "Checkpoint":
        """The parameters of `run` `before` steps before its end, recomputed from start and schedule.

        Raises: Diverged as training does.
        """
        run.need_history("a checkpoint of training")
        run.need_one_model("a checkpoint of training")
        first = jax.tree.map(lambda a: a[: len(run.schedule) - before], run.schedule)
        params, risks = jax.block_until_ready(followed(run.problem, run.recipe, run.start, first, progress))
        check_finite(risks, params, run.recipe)
        return cls(params, _origin(run, before), digest(None, params))

    def check(self, run: Run, before: int) -> "Checkpoint":
        """This checkpoint. Raises: BadInput if it belongs to another run or to another step."""
        if not _origin(run, before).same(self.origin):
            raise BadInput(
                "this checkpoint belongs to another run, or to another step of it; call prepare(run) for this run"
            )
        if digest(None, self.params) != self.seal:
            raise BadInput("the parameters of this checkpoint are not those that prepare computed; call prepare(run)")
        return self


def _origin(run: Run, before: int) -> Origin:
    return Origin.of(run, f"checkpoint, {before} steps before the end")
