"""Attacks on the models of a Report, epochs of relearning, and accuracy at each noise level."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl.base import Key, Params
from certunl.certificates.guarantee import REPLAY, Guarantee
from certunl.certificates.update import Unlearner, Update
from certunl.errors import BadInput
from certunl.evaluation.report import Report
from certunl.evaluation.tradeoff import tradeoff
from certunl.membership.attack import attack_all
from certunl.membership.power import affordable
from certunl.membership.relearning import relearn_epochs
from certunl.membership.target import Attack
from certunl.methods.retrain import Retrain
from certunl.training.chunks import Keeper
from certunl.training.problem import Dataset
from certunl.training.run import Run

__all__ = ["interrogated"]

_NO_SHADOWS = "its shadow models repeat training step by step, and "
_NO_STEPS = _NO_SHADOWS + "this run was adopted without the steps of its training"
_NOISY = _NO_SHADOWS + "each repetition of a training with noise draws other noise"


def interrogated(
    report: Report,
    run: Run,
    request: np.ndarray,
    models: dict[str, Params],
    test: Dataset,
    key: Key,
    attacks: dict[str, Attack],
    shadows: int | None,
    methods: Mapping[str, Unlearner] | None,
    checkpoints: Keeper | None,
) -> Report:
    """`report` with attacks, controls, epochs of relearning and the accuracy at each noise level."""
    attack_key, relearn_key, noise_key = jax.random.split(key, 3)
    test = jax.tree.map(jnp.asarray, test)
    absent = dict(report.left_out)
    if not run.replayable:
        why = _NOISY if run.history else _NO_STEPS
        absent |= {f"attack {name}": why for name, attack in attacks.items() if attack.needs != "model"}
        attacks = {name: attack for name, attack in attacks.items() if attack.needs == "model"}
    if shadows is None:
        forgetting = any(attack.needs == "unlearned" for attack in attacks.values())
        shadows = affordable(run, (1 + len(methods or {})) * forgetting) if run.replayable else 0
    by_row = {"original": _Nothing(), "retrain": Retrain(), **(methods or {})}
    by_row |= {f"{name} + noise": method for name, method in by_row.items()}
    noise = {name: row["sigma"] for name, row in report.rows.items() if "sigma" in row}
    try:
        attacked, controls, missing = attack_all(
            run,
            request,
            models,
            test,
            attack_key,
            attacks,
            shadows=shadows,
            methods=by_row,
            noise=noise,
            checkpoints=checkpoints and checkpoints.within("shadows"),
        )
    except BadInput as error:  # too few examples for any attack; the rest of the report is still of use
        attacked, controls, missing = {}, {}, {"attacks": str(error)}
    for name, params in models.items():
        report.rows[name]["relearn_epochs"] = relearn_epochs(run, params, request, relearn_key)
    tradeoffs = {}
    if run.problem.scores(run.params, test).correct is not None:
        for name, params in models.items():
            sigma = report.rows.get(f"{name} + noise", {}).get("sigma")
            if name == "retrain" or sigma:
                tradeoffs[name] = tradeoff(run.problem, params, test, noise_key, sigma)
    count = shadows if any(attack.needs != "model" for attack in attacks.values()) else 0
    settings = {"shadow models": str(count)} | {f"attack {name}": repr(attack) for name, attack in attacks.items()}
    return replace(
        report,
        attacks=attacked,
        controls=controls,
        tradeoffs=tradeoffs,
        left_out=absent | missing,
        settings=settings,
        shadows=count,
    )


class _Nothing(Unlearner):
    """The method that forgets nothing. U-LiRA on it is LiRA."""

    def forget(self, run: Run, prepared: Any, request: Any, key: Key) -> Update:
        nothing_proved = Guarantee(says=None, reference=REPLAY)
        return Update(params=run.params, method="original", guarantee=nothing_proved, radius=run.recipe.radius)
