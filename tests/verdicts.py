"""Problems, recipes, methods and budgets of which it is written down by hand what may be PROVED."""

from dataclasses import replace

import flax.linen as nn
import jax.numpy as jnp

import certunl as cu
from certunl.models import Frozen, Linear
from tests.cases import KEY, classes, ridge

RADIUS = 40.0
NEWTON = cu.NewtonConstants(
    smoothness=1.0,
    hessian_lipschitz=0.1,
    smallest_eigenvalue=0.3,
    gradient_residual=0.0,
    failure_probability=1e-6,
    strong_convexity=0.3,
)
STEPS = cu.HessianFreeConstants(gradient_bound=2.0, smoothness=1.0, hessian_lipschitz=0.1, convexity=0.0)


class Other(Linear):
    """It may compute anything."""


class Normalised(nn.Module):
    """A softmax head behind BatchNorm."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(nn.BatchNorm(use_running_average=True)(x))


STATISTICS = Normalised().init(KEY, jnp.zeros((1, 3)))["batch_stats"]


def data(n=24, **fields):
    return replace(classes(n, d=3), **fields)


PROBLEMS = {
    "bounded softmax": lambda: cu.classification(Linear(classes=3, bound=1.0, dtype=jnp.float64), data()),
    "bounded softmax, l2": lambda: cu.classification(Linear(classes=3, bound=1.0, dtype=jnp.float64), data(), l2=0.1),
    "softmax": lambda: cu.classification(Linear(classes=3, dtype=jnp.float64), data()),
    "least squares": lambda: cu.regression(Linear(classes=1, dtype=jnp.float64), replace(data(), y=data().x[:, 0])),
    "given features": lambda: cu.classification(
        Linear(classes=3, bound=1.0, dtype=jnp.float64), data(unchecked=("public",))
    ),
    "batch statistics": lambda: cu.classification(Frozen(Normalised(), STATISTICS), data()),
    "a subclass": lambda: cu.classification(Other(classes=3, bound=1.0, dtype=jnp.float64), data()),
    "a network": lambda: cu.classification(cu.models.MLP(hidden=(2,), classes=3, dtype=jnp.float64), data()),
    "the user's losses": lambda: ridge(d=3),
}
CLOSED = ("bounded softmax", "bounded softmax, l2", "softmax", "least squares")
"""Losses whose constants the code knows."""
RECIPES = {
    "plain": {},
    "ball": {"radius": RADIUS},
    "clipped": {"clip_norm": 0.5},
    "momentum": {"optimizer": "momentum"},
    "adam": {"optimizer": "adam"},
    "no weight decay": {"weight_decay": 0.0},
    "retained": {"denominator": "retained", "radius": RADIUS},
}
METHODS = {
    "retrain": cu.Retrain(),
    "finetune": cu.FineTune(),
    "hessian_free": cu.HessianFree(),
    "hessian_free, linear": cu.HessianFree(assumed="linear"),
    "hessian_free, linear, retained": cu.HessianFree(assumed="linear", form="retained"),
    "hessian_free, linear, capacity": cu.HessianFree(assumed="linear", capacity=3),
    "hessian_free, given": cu.HessianFree(assumed=STEPS),
    "hessian_free, given, capacity": cu.HessianFree(assumed=STEPS, capacity=3),
    "newton": cu.Newton(damping=0.1),
    "newton, linear": cu.Newton(damping=0.0, assumed="linear"),
    "newton, given": cu.Newton(damping=0.0, assumed=NEWTON),
    "newton, ggn": cu.Newton(damping=0.0, operator="ggn", assumed="linear"),
    "newton, residual": cu.Newton(damping=0.0, assumed="residual"),
    "jackknife": cu.Jackknife(),
    "newton_step": cu.NewtonStep(),
    "certified_removal": cu.CertifiedRemoval(),
    "perturbed_removal": cu.PerturbedRemoval(objective_noise=30.0),
    "descent_to_delete": cu.DescentToDelete(),
    "descent_to_delete, ball": cu.DescentToDelete(assumed="linear", start="ball"),
    "descent_to_delete, gradient": cu.DescentToDelete(assumed="linear", start="gradient"),
    "descent_to_delete, given": cu.DescentToDelete(assumed=NEWTON),
    "rewind_to_delete": cu.RewindToDelete(),
    "rewind_to_delete, linear": cu.RewindToDelete(assumed="linear"),
    "rewind_to_delete, given": cu.RewindToDelete(assumed=STEPS),
    "noisy_finetuning": cu.NoisyFineTuning(noise=20.0),
    "model_clipping": cu.ModelClipping(noise=20.0),
    "noisy_sgd": cu.NoisySGD(noise=9.0),
    "noisy_sgd, linear": cu.NoisySGD(noise=900.0, assumed="linear", learning_rate=0.1),
    "noisy_sgd, trained": cu.NoisySGD(noise=9.0, assumed="linear", start="trained", learning_rate=0.1),
    "noisy_sgd, given": cu.NoisySGD(noise=900.0, assumed=STEPS, learning_rate=0.1),
}
BARE = ("finetune", "hessian_free", "newton", "jackknife", "newton_step", "descent_to_delete", "rewind_to_delete")
TRIED_ONCE = (*BARE, "noisy_sgd", "newton, ggn", "hessian_free, linear, retained")
THEOREMS = {name: method for name, method in METHODS.items() if name not in TRIED_ONCE and "given" not in name}
"""Those whose constants the code may know: the others are tried on one problem."""
LOW, FIXED, WIDE = cu.Budget(epsilon=1.0, delta=1e-5), {"distance": 5.0}, {"sigma": 3.0}
BUDGETS = {
    "epsilon": (LOW, cu.Budget(epsilon=200.0, delta=1e-5)),
    "distance": (cu.Budget(epsilon=1.0, delta=1e-5, **FIXED),),
    "sigma": (cu.Budget(delta=1e-5, **WIDE),),
}


def verdict(update, budgets):
    for budget in budgets:
        try:
            certificate = cu.certify(update, budget, cu.secret_key()).certificate
        except cu.BadInput as refusal:
            found = refusal
            continue
        assert ("certified" in str(certificate).replace("NOT CERTIFIED", "").replace("certified_", "").lower()) is False
        return certificate.verdict
    return found


def of_every_method(run):
    """{(method, budget): verdict or refusal} of `run`, for each method that takes it; each names what is unchecked."""
    verdicts = {}
    for name, method in METHODS.items():
        key = cu.secret_key() if method.own_noise else KEY
        try:
            update = method.forget(run, method.prepare(run) if method.serves_once else None, [1, 4], key)
        except (cu.BadInput, cu.Diverged):
            continue
        assert update.unchecked
        verdicts |= {(name, budget): verdict(update, tried) for budget, tried in BUDGETS.items()}
    return verdicts
