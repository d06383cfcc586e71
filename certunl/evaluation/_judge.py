"""The metrics of the models of one request."""

from typing import Any

import jax
import numpy as np

from certunl import registry
from certunl.base import Params
from certunl.certificates.update import Update
from certunl.metrics import DRAWS, Outcome, continuous, perturbed
from certunl.training.problem import Dataset
from certunl.training.run import Run

__all__ = ["Judge"]

_NEAR = 1000
"""The largest number of forgotten examples that are perturbed."""


class Judge:
    """The rows of a Report. They share the request, the retrained model and the scores of the original and retrained
    models, which are computed once."""

    def __init__(self, run: Run, request: np.ndarray, truth: Update, test: Dataset | None):
        self.run, self.truth = run, truth.projected()
        self.test = test
        self.retained = run.retained(request)
        self.original_scores, self.truth_scores = self._train(run.params), self._train(self.truth)
        self.truth_test = self._test(self.truth)
        self.forgotten = run.problem.data[request[:_NEAR]]
        self.truth_perturbed = self._perturbed(self.truth)

    @property
    def sizes(self) -> dict[str, int]:
        """The numbers of forgotten, retained and test examples."""
        sizes = {"forget": int((self.run.present & ~self.retained).sum()), "retain": int(self.retained.sum())}
        return sizes if self.test is None else sizes | {"test": len(self.test)}

    def _train(self, params: Params) -> Any:
        return self.run.problem.scores(params, self.run.problem.data)

    def _test(self, params: Params) -> Any:
        return None if self.test is None else self.run.problem.scores(params, self.test)

    def _perturbed(self, params: Params) -> Any:
        """Whether a model is right on each of several perturbations of the forgotten, the same for every model."""
        if self.original_scores.correct is None or not continuous(self.forgotten):
            return None
        near = (perturbed(self.forgotten, key) for key in jax.random.split(jax.random.key(0), DRAWS))
        return np.stack([np.asarray(self.run.problem.scores(params, one).correct) for one in near])

    def row(self, params: Params, cost: dict[str, float]) -> dict[str, float]:
        """Every metric of a model with `params`; `cost` is that of its Update."""
        outcome = Outcome(
            original=self.run.params,
            retrained=self.truth,
            params=params,
            original_train=self.original_scores,
            retrained_train=self.truth_scores,
            train=self._train(params),
            retrained_test=self.truth_test,
            test=self._test(params),
            forgotten=self.run.present & ~self.retained,
            retained=self.retained,
            cost=cost,
            retrained_perturbed=self.truth_perturbed,
            perturbed=self._perturbed(params),
        )
        result: dict[str, float] = {}
        for metric in registry.every("metrics").values():
            result |= metric(outcome)
        return result
