"""Every attack on every model of one request, and a control of each attack on the retrained model."""

from collections.abc import Mapping
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax

from certunl.base import Key, Params
from certunl.certificates.update import Unlearner
from certunl.errors import BadInput, Diverged
from certunl.membership.roc import Attacked, judge
from certunl.membership.shadows import Suspects, Trained, suspects, train_shadows
from certunl.membership.target import Attack, Shadows, Target
from certunl.training.chunks import Keeper
from certunl.training.memory import release_programs
from certunl.training.problem import Dataset
from certunl.training.run import Run

__all__ = ["attack_all"]


def attack_all(
    run: Run,
    request: np.ndarray,
    models: Mapping[str, Params],
    test: Dataset,
    key: Key,
    attacks: Mapping[str, Attack],
    *,
    shadows: int = 16,
    methods: Mapping[str, Unlearner] | None = None,
    noise: Mapping[str, float] | None = None,
    checkpoints: Keeper | None = None,
) -> tuple[dict[str, dict[str, Attacked]], dict[str, Attacked], dict[str, str]]:
    """(attacks[model][attack], controls[attack], reasons for missing attacks).

    One set of `shadows` models serves all attacks. Attacks that need unlearned shadow models run only on models whose
    method is in `methods`. If `noise` has the name of the model, noise of that standard deviation is added to each of
    these shadow models. A control is the attack on the retrained model (or on the only model) with shuffled bits
    `member`, with a 99.9% interval. `checkpoints` keep the shadow models that are trained.
    """
    methods, noise = methods or {}, noise or {}
    suspects_key, train_key, forget_key, attack_key, shuffle_key = jax.random.split(key, 5)
    lineup = suspects(run, request, run.problem.admit(test), suspects_key)
    needs = {attack.needs for attack in attacks.values()}
    trained, before = None, None
    if needs - {"model"}:
        trained = train_shadows(run, request, lineup, train_key, shadows, checkpoints=checkpoints)
        before = trained.seen()
    results: dict[str, dict[str, Attacked]] = {}
    controls: dict[str, Attacked] = {}
    missing: dict[str, str] = {}
    last: list[tuple[Unlearner, Params]] = []  # a row with noise follows the row of the same method without
    for name, params in models.items():
        after = None
        if "unlearned" in needs and trained is not None and name in methods:
            after = _forgotten(trained, methods[name], forget_key, noise.get(name, 0.0), name, missing, last)
        target = _target(run, params, lineup, before, after)
        results[name] = {}
        for number, (title, attack) in enumerate(attacks.items()):
            if attack.needs == "unlearned" and after is None:
                if name not in methods and name not in missing:
                    missing[f"{title} on {name}"] = "the method of this model is not given (methods={name: method})"
                continue
            own_key = jax.random.fold_in(attack_key, number)
            try:
                results[name][title] = judge(attack(target, own_key), lineup.member)
                if name == "retrain" or len(models) == 1:
                    generator = np.random.default_rng(np.asarray(jax.random.key_data(shuffle_key)).tolist())
                    bits = generator.permutation(lineup.member)
                    control = attack(replace(target, member=jnp.asarray(bits)), own_key)
                    controls[title] = judge(control, bits, confidence=0.999)
            except BadInput as error:
                missing[title] = str(error)
    return results, controls, missing


def _forgotten(
    trained: Trained,
    method: Unlearner,
    key: Key,
    sigma: float,
    name: str,
    missing: dict[str, str],
    last: list[tuple[Unlearner, Params]],
) -> Shadows | None:
    """The results of the shadow models after they forgot by `method`, or None and the reason in `missing`.

    `last` holds the method of the last call and the parameters after it, which are not computed twice.
    """
    forget_key, noise_key = jax.random.split(key)
    if not (last and last[0][0] is method):
        release_programs()
        try:
            last[:] = [(method, trained.forgotten(method, forget_key))]
        except (BadInput, Diverged) as error:
            missing[name] = f"its shadow models could not forget: {error}"
            return None
    after = last[0][1]
    noise = optax.tree.random_like(noise_key, after)
    return trained.seen(jax.tree.map(lambda p, z: p + sigma * z, after, noise) if sigma else after)


def _target(run: Run, params: Params, lineup: Suspects, before: Shadows | None, after: Shadows | None) -> Target:
    problem = run.problem
    return Target(
        run=run,
        params=params,
        candidates=lineup.candidates,
        member=jnp.asarray(lineup.member),
        original=problem.scores(run.params, lineup.candidates),
        scores=problem.scores(params, lineup.candidates),
        shadows=before,
        unlearned=after,
    )
