"""Settings of each method, chosen on a request of the same kind that is not judged."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from certunl import registry
from certunl.base import Key
from certunl.certificates.update import Unlearner, declared
from certunl.errors import BadInput, Diverged
from certunl.evaluation._judge import Judge
from certunl.methods.noisy_retrain import NoisyRetrain
from certunl.methods.retrain import Retrain
from certunl.training.continuing import mean_rate
from certunl.training.memory import release_programs
from certunl.training.problem import Dataset
from certunl.training.run import Run

__all__ = ["Tuned", "apart", "grid", "tune"]

Settings = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """The choice for one method.

    Args:
        method: the method with the chosen settings.
        settings: what differs from the method that was given; empty if that one was best.
        score: its likeness to retraining on the request that is not judged, from 0 to 1.
        before: that of the method as it was given; NaN if it failed.
        tried: the number of settings that were tried.
        seconds: the time of all tries, without compilation and without the one retraining that they share.
    """

    method: Unlearner
    settings: Settings
    score: float
    before: float
    tried: int
    seconds: float

    def __str__(self) -> str:
        words = [f"{n}={v:.3g}" if isinstance(v, float) else f"{n}={v}" for n, v in self.settings.items()]
        chosen = ", ".join(words) or "as given"
        return (
            f"{chosen}: the best of {self.tried} on another request (likeness to retraining {self.score:.3f}, as given "
            f"{self.before:.3f}), in {self.seconds:.3g} s"
        )


def tune(
    run: Run,
    methods: Mapping[str, Unlearner],
    request: Any,
    key: Key,
    *,
    test: Dataset,
    reference: Unlearner | None = None,
    grids: Mapping[str, Sequence[Settings]] | None = None,
    tell: Callable[[str], None] | None = None,
) -> dict[str, Tuned]:
    """{name: the best of a few settings} for each method that can forget the request with one of them.

    Each candidate forgets `request`. The one whose model is most like the retrained one is chosen, by tug of war
    (`metrics`): the product of 1 − |accuracy − retrained accuracy| over forgotten, retained and test examples. Without
    accuracies it is the product of exp(−|mean loss − retrained mean loss|).

    A comparison on another request of the same kind is then fair to methods whose defaults do not fit the model. The
    judged request must not be used here.

    Args:
        run: the training run.
        methods: the methods by name.
        request: the ids of a request that is not judged.
        key: the randomness of the methods.
        test: examples that no model was trained on.
        reference: the ground truth, as in `evaluate`.
        grids: lists of settings by the name of the method. Default: those of `grid`.
        tell: called with the name of each method before it is tried.

    Methods whose own steps carry the noise are left out, because their noise is set by the budget.
    """
    request = run.check(request, key)
    reference = reference or (NoisyRetrain(rewind_to=0) if run.recipe.noise else Retrain())
    truth = reference.forget(run, None, request, key)
    judge = Judge(run, request, truth, run.problem.admit(test))
    aim = judge.row(judge.truth, {})
    chosen = {}
    for name, method in methods.items():
        if declared(method).own_noise:
            continue
        if tell is not None:
            tell(name)
        candidates: list[Settings] = [{}, *(grids[name] if grids and name in grids else grid(run, method))]
        scores, seconds = [], 0.0
        for settings in candidates:
            release_programs()
            try:
                update = _changed(method, settings).forget(run, None, request, key)
            except (BadInput, Diverged):
                scores.append(-math.inf)
                continue
            seconds += update.cost["seconds"]
            scores.append(_likeness(judge.row(update.projected(), {}), aim))
        best = int(np.argmax(scores))
        if scores[best] == -math.inf:
            continue
        chosen[name] = Tuned(
            method=_changed(method, candidates[best]),
            settings=candidates[best],
            score=scores[best],
            before=scores[0] if scores[0] > -math.inf else math.nan,
            tried=len(candidates),
            seconds=seconds,
        )
    return chosen


def _changed(method: Any, settings: Settings) -> Unlearner:
    return replace(method, **settings) if settings else method


def apart(
    run: Run,
    methods: Mapping[str, Unlearner],
    judged: np.ndarray,
    other: Any,
    key: Key,
    test: Dataset,
    reference: Unlearner | None,
    tell: Callable[[str], None],
    title: str,
) -> dict[str, Tuned]:
    """`tune` on the request `other`. Raises: BadInput if it has an example of the `judged` one."""
    other = run.check(other)
    if len(both := np.intersect1d(judged, other)):
        raise BadInput(f"the request to tune on has example {both[0]} of the judged one; choose other examples")
    options = {"test": test, "reference": reference, "tell": lambda name: tell(f"{title}: tuning {name}")}
    return tune(run, methods, other, key, **options)


def grid(run: Run, method: Unlearner) -> list[Settings]:
    """The settings that `tune` tries for a method, besides those it has. There are none for a method of the user's.

    Rates are multiples of the mean rate of training.
    """
    names = {kind: name for name, kind in registry.every("methods").items()}
    settings = _GRIDS.get(names.get(type(method), ""))
    return [] if settings is None else settings(mean_rate(run))


def _all(**values: Sequence[Any]) -> list[Settings]:
    """Every combination of the values."""
    return [dict(zip(values, one, strict=True)) for one in product(*values.values())]


def _times(rate: float, *factors: float) -> list[float]:
    return [rate * factor for factor in factors]


_GRIDS: dict[str, Callable[[float], list[Settings]]] = {
    "finetune": lambda rate: _all(learning_rate=_times(rate, 0.3, 1, 3), epochs=(1, 5)),
    "neggrad": lambda rate: _all(learning_rate=_times(rate, 1e-3, 0.01, 0.03, 0.1, 0.3)),
    "neggrad_plus": lambda rate: _all(learning_rate=_times(rate, 0.3, 1), retain_share=(0.9, 0.95, 0.99)),
    "random_labels": lambda rate: _all(learning_rate=_times(rate, 0.03, 0.1, 0.3, 1)),
    "salun": lambda rate: _all(learning_rate=_times(rate, 0.03, 0.1, 0.3), quantile=(0.5, 0.8)),
    "scrub": lambda rate: _all(max_learning_rate=_times(rate, 0.003, 0.01, 0.03, 0.1, 0.3)),
    "fisher": lambda _: _all(alpha=(1e-4, 3e-4, 3e-3, 1e-2)),
    "influence": lambda _: _all(damping=(0.003, 0.01, 0.03, 0.1, 0.3, 1.0)),
    "lcodec": lambda _: _all(damping=(0.01, 0.1, 1.0), units=(16, 64)),
    "newton": lambda _: [{"operator": "ggn"}, *_all(operator=("ggn",), damping=(0.01, 0.1, 1.0))],
    "newton_step": lambda _: _all(operator=("ggn",), damping=(0.01, 0.1, 1.0)),
    "jackknife": lambda _: _all(operator=("ggn",), damping=(0.01, 0.1, 1.0)),
    "hessian_free": lambda _: [{"form": "retained"}],
}


def _likeness(row: Mapping[str, float], aim: Mapping[str, float]) -> float:
    """How like the retrained model a model is, from 0 to 1; −inf if it cannot be told."""
    if math.isfinite(score := row.get("tug_of_war", math.nan)):
        return score
    away = sum(abs(row[f"{split}_loss"] - aim[f"{split}_loss"]) for split in ("forget", "retain", "test"))
    return math.exp(-away) if math.isfinite(away) else -math.inf
