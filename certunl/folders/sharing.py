"""One process has the run folder, and others compute with it: process 0 says what, and all make the same call."""

import contextlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from certunl.base import Key
from certunl.certificates.update import Unlearner, Update
from certunl.errors import BadInput, Diverged
from certunl.folders.settling import Build
from certunl.rows.origin import fingerprint
from certunl.training.hosts import meet, told
from certunl.training.mesh import use_mesh
from certunl.training.run import Run

if TYPE_CHECKING:
    from certunl.folders.run import RunFolder

__all__ = ["Apart", "Shared", "dismiss", "follow", "shared"]


class Apart(BaseException):
    """The method failed in this process, and perhaps not in the others. Nothing may catch it before they all end."""


@dataclass(frozen=True)
class Shared(Unlearner):
    """A method in process 0 whose `forget` is computed by all processes together. The others are in `follow`.

    The others get the un-noised parameters, the examples and the method's own key. They get no secret, and draw none.

    Args:
        method: the method.
        name: its name in the registry.
        settings: its settings, ready for JSON.
    """

    method: Unlearner
    name: str
    settings: dict[str, Any]

    def forget(self, run: Run, prepared: Any, request: Any, key: Key) -> Update:
        run = replace(run, losses=None)  # the others do not have them
        data = np.asarray(jax.random.key_data(key)).tolist()
        ids = np.asarray(request).tolist()
        mark = fingerprint(run) if run.history else ""
        _call({"method": self.name, "settings": self.settings, "request": ids, "key": data, "mark": mark})
        _state(run)
        return _together(self.method, run, np.asarray(ids), key)


def shared(name: str, settings: dict[str, Any], method: Unlearner) -> Unlearner:
    """`method` for process 0. It is `Shared` if it spreads its work, and otherwise itself, so process 0 works alone.

    Args:
        name: its name in the registry.
        settings: its settings, ready for JSON.
        method: the method.
    """
    alone = not method.spreads or method.own_noise or method.keeps_rows
    return method if alone else Shared(method, name, settings)


def follow(folder: "RunFolder", build: Build) -> int:
    """The work of every process but 0, which computes each `Shared` request with process 0 and writes nothing.

    `build` gives the method of a name and settings. Returns the status of `dismiss`.
    Raises: BadInput if the run folder is not here, or is not as it was written.
    """
    while "status" not in (call := _call()):
        run = folder.untrained
        if call["mark"] and call["mark"] != fingerprint(run):
            raise BadInput(f"{folder.path} is another run here than in process 0; give each process the same folder")
        run = _state(run)
        method = build(call["method"], call["settings"])
        key = jax.random.wrap_key_data(jax.numpy.asarray(call["key"], jax.numpy.uint32))
        with contextlib.suppress(BadInput, Diverged):  # process 0 has the same, and records and says it
            _together(method, run, np.asarray(call["request"]), key)
    return call["status"]


def dismiss(status: int) -> None:
    """Process 0 ends `follow` in the other processes, which end with that status."""
    _call({"status": status})


def _together(method: Unlearner, run: Run, request: np.ndarray, key: Key) -> Update:
    """The update of all processes. One that refuses alone ends them all after the time limit.

    Raises: Apart for an error that is no refusal, since the other processes may still wait in the computation.
    """
    try:
        with use_mesh():
            return method.forget(run, None, request, key)
    except (BadInput, Diverged):
        meet("the request is refused")
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise Apart(f"the request cannot be computed together ({reason}); forget without --distributed") from error


def _call(facts: dict[str, Any] | None = None) -> dict[str, Any]:
    """The facts of process 0, in every process."""
    text = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    (size,) = told(np.asarray([text.size]))
    return json.loads(told(text if jax.process_index() == 0 else np.zeros(size, np.uint8)).tobytes())


def _state(run: Run) -> Run:
    """`run` with the parameters and the present examples that it has in process 0."""
    params, present = jax.tree.map(lambda leaf: jax.numpy.asarray(told(np.asarray(leaf))), (run.params, run.present))
    return replace(run, params=params, present=present)
