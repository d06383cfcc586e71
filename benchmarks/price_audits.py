"""Do audits refute the price of doing nothing after training with noise, and do they if half the noise was left out?

python benchmarks/price_audits.py [--save] [--small]

A network learns digits, and examples that have an input of their own. A certificate names the noise of its training and
the epsilon of one example. It is audited where the training had that noise, and where it had half of it. The attacker
sees the release or all states of many trainings with and without one example, or the release of one training with
canaries.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from harness import arguments, made, tell

import certunl as cu
from certunl.base import Params, vector
from certunl.certificates.gaussian import read_epsilon
from certunl.certificates.secret import spent
from certunl.training.noisy import trained_with_noise

DELTA = 1e-5
KEY = jax.random.key(0)
QUIET = 1e-3  # noise of the attacker's own models, as a multiple of that of the training
STEP: dict[str, Any] = {"learning_rate": 4.0, "clip_each": 0.5}
MANY: dict[str, Any] = {"examples": 400, "hidden": 32, "runs": 250, "steps": 9, "noise": 2.0, "value": 20.0}
ONE: dict[str, Any] = {"examples": 400, "hidden": 8, "canaries": 5000, "steps": 4, "noise": 2.8, "value": 100.0}
TINY: dict[str, Any] = {"examples": 20, "hidden": 4, "steps": 2}


@dataclass(frozen=True)
class Claiming(cu.Unlearner):
    """Doing nothing, of which is claimed that its training had `noise`."""

    noise: float

    def forget(self, run: cu.Run, prepared: Any, request: Any, key: Any) -> cu.Update:
        return cu.NoisyRetrain().forget(quieter(run, self.noise / run.recipe.noise), None, request, key)


def quieter(run: cu.Run, share: float) -> cu.Run:
    """The run with this share of the noise in its recipe."""
    return replace(run, recipe=replace(run.recipe, noise=share * run.recipe.noise))


def main(argv: Sequence[str] | None = None) -> list[dict[str, Any]]:
    given = arguments(__doc__, argv)
    many = MANY | TINY | {"runs": 50} if given.small else MANY
    one = ONE | TINY | {"canaries": 40} if given.small else ONE
    ways = {"many trainings": (many_trainings, many), "one training with canaries": (canaries, one)}
    lines: list[dict[str, Any]] = []
    for way, (audits, settings) in ways.items():
        by_noise = {}
        for name, noise in (("right", settings["noise"]), ("half", settings["noise"] / 2)):
            start = time.perf_counter()
            by_noise[name] = audits(settings, noise), time.perf_counter() - start
        for seen in by_noise["right"][0]:
            facts = {name: told(of[seen], seconds) for name, (of, seconds) in by_noise.items()}
            line = {"question": "price_audits", "way": way, "seen": seen, "settings": {**settings, **STEP}}
            lines.append(tell(line | facts | made(False), save=given.save))
    return lines


def told(audit: cu.Audit, seconds: float) -> dict[str, Any]:
    facts = {"claimed": audit.epsilon, "lower": audit.lower, "refuted": audit.refuted, "confidence": audit.confidence}
    return facts | {"how": audit.how, "seconds": seconds}


def digits(examples: int, more: int) -> cu.Dataset:
    """Digits, followed by `more` inputs that are 0."""
    data = cu.datasets.load("digits", train=examples, test=1).train
    x = np.asarray(data.x).reshape(examples, -1)
    return cu.Dataset(np.pad(x, ((0, 0), (0, more))), data.y)


def own(inputs: int, more: int, value: float, labels: Any) -> cu.Dataset:
    """As many examples, each with nothing but an input of its own."""
    return cu.Dataset(np.pad(value * np.eye(more, dtype=np.float32), ((0, 0), (inputs - more, 0))), np.asarray(labels))


def problem_of(hidden: int, data: cu.Dataset) -> cu.Problem:
    return cu.classification(cu.models.MLP(hidden=(hidden,), classes=10), data)


def budget(noise: float, steps: int) -> cu.Budget:
    """The price of an example that is in all steps, and a hundredth more for what the certificate adds for rounding."""
    return cu.Budget(epsilon=1.01 * read_epsilon(noise / steps**0.5, DELTA), delta=DELTA)


def canaries(settings: dict[str, Any], noise: float) -> dict[str, cu.Audit]:
    """Each canary alone, by one training with all data in every step."""
    more, size = settings["canaries"], settings["canaries"] + settings["examples"]
    data = digits(settings["examples"], more)
    extra = own(data.x.shape[1], more, settings["value"], np.arange(more) % 10)
    recipe = cu.Recipe(**STEP, noise=noise, batch_size=size, epochs=settings["steps"])
    problem = problem_of(settings["hidden"], data)
    once = cu.Schedule([[0]], [[1.0]], [1.0])  # the audit trains by the recipe, and takes nothing else of this run
    run = cu.fit(problem, recipe, problem.init(KEY), once, noise_key=KEY)
    allowed = budget(settings["noise"], settings["steps"])
    method = Claiming(settings["noise"])
    audit = cu.audit_canaries(run, method, allowed, extra, jax.random.key(1), mislabelled=0.0, alone=True)
    return {"the release": audit}


def many_trainings(settings: dict[str, Any], noise: float) -> dict[str, cu.Audit]:
    """One example that the start refuses, by many trainings with and without it, with all data in every step."""
    data, rows = digits(settings["examples"], 1), settings["examples"] + 1
    recipe = cu.Recipe(**STEP, noise=noise, batch_size=rows, epochs=settings["steps"])

    def trained(label: int) -> cu.Run:
        odd = own(data.x.shape[1], 1, settings["value"], [label])
        both = cu.Dataset(np.concatenate([data.x, odd.x]), np.concatenate([data.y, odd.y]))
        return cu.train(problem_of(settings["hidden"], both), recipe, KEY, noise_key=KEY)

    first = trained(0)
    run = trained(int(jnp.argmin(first.problem.outputs(first.start, first.problem.data.x[-1:]))))
    schedules = run.schedule, run.schedule.without([rows - 1])
    update = Claiming(settings["noise"]).forget(run, None, [rows - 1], KEY)
    certificate = cu.certify(update, budget(settings["noise"], settings["steps"])).certificate
    pair = [vector(trained_again(quieter(run, QUIET), schedule, KEY)[-1]) for schedule in schedules]
    along = (pair[0] - pair[1]) / np.linalg.norm(pair[0] - pair[1])
    samples: dict[tuple[int, bytes], np.ndarray] = {}

    def sample(which: int, key: jax.Array) -> np.ndarray:
        """The statistics of one training. Both audits see the same trainings."""
        name = which, np.asarray(jax.random.key_data(key)).tobytes()
        if name not in samples:
            states = trained_again(run, schedules[which], key)
            samples[name] = np.array([vector(states[-1]) @ along, evidence(run, states)])
        return samples[name]

    def audit(number: int) -> cu.Audit:
        mechanisms = partial(sample, 0), partial(sample, 1)
        runs, key = settings["runs"], jax.random.key(1)
        return cu.audit_runs(*mechanisms, certificate, runs=runs, key=key, statistic=lambda two: float(two[number]))

    return {"the release": audit(0), "all states": audit(1)}


def trained_again(run: cu.Run, schedule: cu.Schedule, key: jax.Array) -> list[Params]:
    """The states of the same training on `schedule` with other noise: those of `fit`, without its checks."""
    record = trained_with_noise(run.problem, run.recipe, run.start, schedule, spent(key), len(schedule))[2]
    return [jax.tree.unflatten(jax.tree.structure(run.start), leaves) for leaves in record.values()]


def evidence(run: cu.Run, states: list[Params]) -> float:
    """ln(likelihood of all states with the last example/without it), by gradients of each example and float64 sums."""
    assert run.recipe.clip_each is not None
    divisor = len(run.problem.data)
    sigma, total = run.recipe.noise * run.recipe.clip_each, 0.0
    for rate, before, after in zip(np.asarray(run.schedule.rates), states, states[1:], strict=False):
        others, its = (vector(part) for part in clipped(run.problem, before, run.recipe.clip_each))
        noise = (vector(before) - vector(after)) / float(rate) * divisor - others
        total += float(noise @ its - its @ its / 2) / sigma**2
    return total


@partial(jax.jit, static_argnames="limit")
def clipped(problem: cu.Problem, params: Params, limit: float) -> tuple[Params, Params]:
    """(the sum of the clipped gradients of all examples but the last, the clipped gradient of the last)."""
    rows = jnp.arange(len(problem.data))[:, None]
    each = jax.vmap(lambda row: jax.grad(problem.risk)(params, problem.data[row], jnp.ones(1)))(rows)
    norms = jax.vmap(optax.tree.norm)(each)
    each = jax.tree.map(lambda a: a * jnp.minimum(1, limit / norms).reshape(-1, *[1] * (a.ndim - 1)), each)
    return jax.tree.map(lambda a: a[:-1].sum(axis=0), each), jax.tree.map(lambda a: a[-1], each)


if __name__ == "__main__":
    main()
