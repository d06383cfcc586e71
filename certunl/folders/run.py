"""A run on disk, and everything that was made from it."""

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from certunl import disk
from certunl.base import Progress
from certunl.datasets import Splits
from certunl.errors import BadInput
from certunl.features import Features
from certunl.folders._reading import read_built, read_facts, read_untrained
from certunl.folders._writing import TRAINING, check_plain, reserve, root_of, training, write_run
from certunl.folders.arrays import load_arrays
from certunl.folders.json_files import as_json, read_json, write_json
from certunl.folders.ledger import Ledger
from certunl.folders.line import Line, begin
from certunl.folders.modelling import with_outputs
from certunl.folders.order import Entry
from certunl.folders.parts import check_name
from certunl.folders.releases import Releases
from certunl.folders.resuming import Checkpoints
from certunl.folders.settings import Built
from certunl.folders.settling import Build, settled
from certunl.rows.store import Store
from certunl.training.noisy import NoiseRecord
from certunl.training.run import Run
from certunl.training.states import States

__all__ = ["RunFolder"]


@dataclass(frozen=True)
class RunFolder:
    """A run on disk. Each part is written beside its place and renamed into it, so a part is whole or absent.

        RUN/run.json, arrays/          settings, versions and fingerprint; start and schedule (arrays: secret)
        RUN/model/                     the trained parameters, and losses and states of the training (secret)
        RUN/.certunl-training/         states of a training that goes on or was killed (secret); gone when it is done
        RUN/plan.json                  what was understood of the data: columns, categories, classes, scales (secret)
        RUN/owners.json                the number of each owner by name (secret)
        RUN/features/                  the parameters of the run's extractor, if it has one (public)
        RUN/slots/                     the batches of its training, if it was trained with noise
        RUN/prepared/METHOD_FORM/      stored rows, see `rows.Store` (personal data, secret)
        RUN/ledger.sqlite              every request, its state, and what its release spent (secret)
        RUN/updates/LINE-K/            the K-th un-noised result of a line, states of its replay (secret)
        RUN/releases/LINE-K/           what may be published: noised parameters, verdict, epsilon, delta, sigma
        RUN/*.json, report*, ...       evaluations, audits and pages for the owner; they describe un-noised models

    Secret parts are readable by their owner alone (mode 700 or 600). The noise of a release never depends on the seed
    in run.json.

    Args:
        path: the folder. It must not exist before `create`.
    """

    path: Path

    @classmethod
    def create(cls, path: Path, run: Run, settings: dict[str, Any], built: Built) -> "RunFolder":
        """A new run folder with `run`. Raises: BadInput if `path` already holds something."""
        cls(path).reserve()
        write_run(path, run, settings, built)
        return cls(path)

    def write_run(self, run: Run, settings: dict[str, Any], built: Built) -> None:
        """Writes the run of a `training` into the folder."""
        write_run(self.path, run, settings, built)

    def announce(self, plan: dict[str, Any]) -> None:
        """Writes RUN/plan.json before the training, so that it is there whatever becomes of the training."""
        disk.make(self.path)
        write_json(self.path / "plan.json", plan, mode=0o600)

    def reserve(self) -> None:
        """Raises BadInput unless a new run can be written here. Call it before the long work.

        What a training that did not end has left may be here.
        """
        reserve(self.path)

    @contextlib.contextmanager
    def training(self, settings: dict[str, Any], built: Built) -> Iterator[Checkpoints]:
        """Holds the folder while a run is trained into it, and gives what keeps the state of the training.

        A training that was killed goes on from its last state. One that failed leaves none.
        """
        with training(self.path, settings, built) as checkpoints:
            yield checkpoints

    @contextlib.contextmanager
    def locked(self, *, wait: bool = False, build: Build | None = None) -> Iterator[list[Entry]]:
        """Holds the folder against a second writer, after every open request was finished. It gives those.

        Args:
            wait: whether to wait for another writer. Default: no.
            build: (name, settings) -> the method, for requests that were asked and not applied. Without it they wait.

        Raises: BadInput if there is one, if this is no run folder, or if its ledger is not whole.
        """
        check_plain(self.path)
        if (self.path / TRAINING).exists() and not (self.path / "run.json").exists():
            raise BadInput(f"the training into {self.path} did not end; the same certunl train command goes on with it")
        with disk.lock(self.path, wait=wait):
            yield settled(self, build)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """The contents of run.json. Raises: BadInput if they are missing, or of another format or precision."""
        return read_facts(self.path)

    @cached_property
    def built(self) -> Built:
        """The objects that the run's settings describe; the data set is read from its files again."""
        return read_built(self.path, self.facts)

    @cached_property
    def run(self) -> Run:
        """The run. Raises: BadInput if files were changed, the data set is not the one it was trained on, or the
        trained model was purged."""
        if self.purged:
            raise BadInput(
                f"the trained model of {self.path} was purged; only retrain can begin a new line of requests"
            )
        model = load_arrays(self.path / "model", self.facts["model"])
        noise = NoiseRecord.of(model["states"], self.facts["noise"]) if "noise" in self.facts else None
        states = States.of(model["stages"]) if "stages" in model else None
        return replace(self.untrained, params=model["params"], losses=model.get("losses"), noise=noise, states=states)

    @property
    def purged(self) -> bool:
        """Whether the trained model was purged."""
        if (self.path / "model").exists():
            return False
        return any(event.state == "purged" and json.loads(event.facts)["model"] for event in self.ledger.events())

    @cached_property
    def untrained(self) -> Run:
        """The run before training: its parameters are those of the start. Raises: as `run`."""
        return read_untrained(self.path, self.facts, self.built)

    @property
    def left(self) -> Run:
        """The run before training, without every example that any line has forgotten: what is left to retrain from."""
        gone = self.ledger.forgotten()
        return self.untrained.minus(gone, self.untrained.start) if len(gone) else self.untrained

    @property
    def splits(self) -> Splits:
        """Training and test data as the model sees them."""
        return self.built.splits

    @property
    def owner_names(self) -> dict[str, int] | None:
        """The number of each owner by name (secret); None if the data name owners by numbers alone.

        Names that a purge removed are missing. Raises: BadInput if they are not those of the data.
        """
        names = {name: number for number, name in enumerate(self.splits.owner_names or ())}
        if not names:
            return None
        remaining = self.read("owners", {})
        if not remaining or {*remaining.items()} - {*names.items()}:
            raise BadInput(f"{self.path / 'owners.json'} has not the owners of the data; restore it from a copy")
        return remaining

    @property
    def ledger(self) -> Ledger:
        """Every request to this folder. Its first event is bound to the run and to the files of the trained model."""
        return Ledger(self.path / "ledger.sqlite", root_of(self.facts))

    @property
    def releases(self) -> Releases:
        """The updates and releases of all lines."""
        return Releases(self.path, self.ledger)

    def line(self, name: str, method: str, settings: dict[str, Any]) -> Line:
        """The line of requests `name`, ready for its next request. It starts from the run if it has none.

        Raises: BadInput if another method, or the same with other settings, began it, or if its last update is gone.
        Retraining continues any line.
        """
        return begin(self, check_name(name), {"method": method, "settings": as_json(settings)})

    def rows(self, name: str, method: Any) -> Store | None:
        """The stored rows of a method, without those of forgotten examples; None if nothing was prepared."""
        if not (method.stores_rows and self._place(name, method).exists()):
            return None
        store = method.open(self.for_rows, self._place(name, method))
        store.drop(np.unique(store.owners[self.ledger.forgotten()]))
        return store

    def prepare(self, name: str, method: Any, progress: Progress | None = None) -> Store:
        """Stores the rows of a method for all examples that no line has forgotten."""
        (self.path / "prepared").mkdir(exist_ok=True, mode=0o700)
        present = self.for_rows.present.at[self.ledger.forgotten()].set(False)
        return method.store(replace(self.for_rows, present=present), self._place(name, method), progress=progress)

    @property
    def for_rows(self) -> Run:
        """The run; rows need no trained model, and follow the training from its start."""
        return self.untrained if self.purged else self.run

    def _place(self, name: str, method: Any) -> Path:
        return self.path / "prepared" / f"{name}_{re.sub(r'[^a-z0-9]+', '_', method.kind)}"

    def features(self) -> tuple[Features, dict[str, Any]]:
        """(the network without its last layer, the settings from which a run of its features builds it again).

        Raises: BadInput if this run was itself trained on features, or with noise and has forgotten someone.
        """
        settings = self.facts["settings"]
        if "features" in settings:
            origin = settings["features"]["run"]
            raise BadInput(f"{self.path} was itself trained on features; give the run they came from, {origin}")
        if self.run.noise is not None and len(self.ledger.forgotten()):
            raise BadInput(f"{self.path} has forgotten examples, which its features hold; train it anew without them")
        extractor = Features.of(self.run)
        return extractor, {
            "run": str(self.path.absolute()),
            "fingerprint": self.facts["fingerprint"],
            **extractor.facts(),
            "model": settings["model"],
            "model_settings": with_outputs(settings, self.splits),
        }

    def read(self, name: str, otherwise: Any = None) -> Any:
        """The contents of RUN/`name`.json; `otherwise` if there is none."""
        place = self.path / f"{name}.json"
        if not place.exists():
            return otherwise
        content = read_json(place, "delete it and make it again")
        if otherwise is not None and isinstance(content, list) != isinstance(otherwise, list):
            raise BadInput(f"{place} has no usable content; delete it and make it again")
        return content

    def write(self, name: str, contents: Any) -> None:
        """Writes RUN/`name`.json, readable by the owner alone."""
        write_json(self.path / f"{name}.json", contents, mode=0o600)
