"""A verb by several processes: process 0 does it, and the others compute with it."""

import sys
from collections.abc import Callable

import jax

from certunl.cli._words import unlearner_of
from certunl.errors import BadInput, Diverged
from certunl.folders import RunFolder
from certunl.folders.sharing import Apart, dismiss, follow
from certunl.training.hosts import distributed
from certunl.training.mesh import own_devices

__all__ = ["by_all"]


def by_all(folder: RunFolder, timeout: float, work: Callable[[], None]) -> None:
    """`work()` in process 0, and `follow` in the others.

    A refusal is raised in process 0 alone. The others exit with status 2 and say nothing.
    """
    refusal, status = None, 0
    try:
        with distributed(timeout=timeout):
            if jax.process_index():
                status = follow(folder, unlearner_of)
            else:
                try:
                    with own_devices():
                        work()
                except (BadInput, Diverged) as error:
                    refusal = error
                dismiss(0 if refusal is None else 2)
    except Apart as error:
        raise BadInput(str(error)) from error
    if refusal is not None:
        raise refusal
    if status:
        sys.exit(status)
