"""Every way to build a method, and the tiny runs for it. `same_numbers` records their numbers."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import certunl as cu

__all__ = ["BUDGETS", "DELTA", "RECIPES", "VARIANTS", "Ground", "Variant", "grounds", "wine"]

DTYPE = jnp.zeros(()).dtype  # float64 if jax_enable_x64 is set
TRAIN_KEY, ASK_KEY, NETWORK_KEY = jax.random.split(jax.random.key(0), 3)
DELTA = 1e-5

HEURISTIC = "finetune|fisher|influence|lcodec|neggrad|random_labels|salun|scrub"
GGN: dict[str, Any] = {"operator": "ggn", "damping": 1.0}
NEWTON_GIVEN = cu.NewtonConstants(
    smoothness=1.0, hessian_lipschitz=0.5, smallest_eigenvalue=0.01, gradient_residual=0.1, failure_probability=1e-3
)
STEPS_GIVEN = cu.HessianFreeConstants(gradient_bound=1.5, smoothness=1.0, hessian_lipschitz=0.5, convexity=0.0)


class Variant(NamedTuple):
    """A method and its settings. `rows` names the prepared object: "" (the result of `prepare`), "none", "store" or
    "bfloat16" (rows on disk), or "fixed" (one number instead of random ones)."""

    method: str
    settings: Mapping[str, Any] = MappingProxyType({})
    rows: str = ""


VARIANTS = {
    "certified_removal": Variant("certified_removal"),
    "certified_removal dense": Variant("certified_removal", {"tolerance": 1e-3, "solver": cu.Dense()}),
    "perturbed_removal": Variant("perturbed_removal", {"objective_noise": 1.0}, "fixed"),
    "descent_to_delete linear": Variant("descent_to_delete", {"assumed": "linear"}),
    "descent_to_delete gradient": Variant("descent_to_delete", {"assumed": "linear", "start": "gradient"}),
    "hessian_free": Variant("hessian_free", rows="none"),
    "hessian_free retained": Variant("hessian_free", {"form": "retained"}, rows="none"),
    "hessian_free linear": Variant("hessian_free", {"assumed": "linear"}, "none"),
    "hessian_free capacity": Variant("hessian_free", {"assumed": "linear", "capacity": 9}, "none"),
    "hessian_free given": Variant("hessian_free", {"assumed": STEPS_GIVEN}, "none"),
    "hessian_free rows": Variant("hessian_free"),
    "hessian_free rows retained": Variant("hessian_free", {"form": "retained"}),
    "hessian_free rows chunk": Variant("hessian_free", {"gather": cu.Forward(7)}),
    "hessian_free rows backward": Variant("hessian_free", {"gather": cu.Backward()}),
    "hessian_free rows linear": Variant("hessian_free", {"assumed": "linear", "form": "retained"}),
    "hessian_free store": Variant("hessian_free", rows="store"),
    "hessian_free store bfloat16": Variant("hessian_free", {"gather": cu.Forward(16)}, "bfloat16"),
    "jackknife": Variant("jackknife", GGN),
    "jackknife solved": Variant("jackknife", GGN | {"solver": cu.CG()}, rows="none"),
    "model_clipping": Variant("model_clipping", {"radius": 5.0, "noise": 3.0, "epochs": 2}),
    "newton": Variant("newton"),
    "newton cg": Variant("newton", GGN | {"solver": cu.CG(tol=1e-3), "steps": 2, "gradient": "retained"}),
    "newton dense": Variant("newton", GGN | {"solver": cu.Dense(), "gradient": "forgotten"}),
    "newton fisher": Variant("newton", {"operator": "fisher", "damping": 0.1}),
    "newton lissa": Variant("newton", GGN | {"solver": cu.LiSSA(depth=60, repeats=2, scale=60.0)}),
    "newton lissa fallback": Variant("newton", GGN | {"solver": cu.LiSSA(depth=400, scale=0.2), "fallback": "cg"}),
    "newton given": Variant("newton", {"damping": 2.0, "assumed": NEWTON_GIVEN}),
    "newton linear": Variant("newton", {"assumed": "linear", "gradient": "retained"}),
    "newton linear lissa": Variant("newton", {"assumed": "linear", "damping": 0.1, "solver": cu.LiSSA(scale=3.0)}),
    "newton residual": Variant("newton", {"assumed": "residual", "gradient": "retained"}),
    "newton_step": Variant("newton_step", GGN),
    "newton_step solved": Variant("newton_step", GGN | {"solver": cu.CG()}),
    "noisy_finetuning": Variant("noisy_finetuning", {"radius": 4.0, "noise": 1.5, "weight_decay": 0.1, "epochs": 2}),
    "noisy_sgd": Variant("noisy_sgd", {"noise": 0.3, "epochs": 2}),
    "noisy_sgd linear": Variant("noisy_sgd", {"noise": 0.5, "epochs": 2, "assumed": "linear"}),
    "noisy_sgd trained": Variant("noisy_sgd", {"noise": 0.5, "assumed": "linear", "start": "trained"}),
    "rewind_to_delete linear": Variant("rewind_to_delete", {"assumed": "linear"}),
    "rewind_to_delete given": Variant("rewind_to_delete", {"steps": 3, "assumed": STEPS_GIVEN}, rows="none"),
}
"""Methods of the room that are not named here are tried with their defaults."""

BUDGETS: dict[str, tuple[cu.Budget, dict[str, Any]]] = {
    "epsilon": (cu.Budget(epsilon=20.0, delta=DELTA), {}),
    "sigma": (cu.Budget(sigma=0.5, delta=DELTA), {}),
    "distance": (cu.Budget(epsilon=1.0, delta=DELTA, distance=2.0), {}),
    "trivial": (cu.Budget(epsilon=1.0, delta=DELTA, calibration="classical"), {"trivial": True}),
}

RECIPES: dict[str, dict[str, Any]] = {
    "sgd": {},
    "momentum": {"optimizer": "momentum", "decay": 0.99},
    "adam": {"optimizer": "adam", "learning_rate": 0.01},
    "radius": {"radius": 2.0, "weight_decay": 0.01},
    "clip_norm": {"clip_norm": 0.1},
    "poisson": {"batches": "poisson"},
    "fixed": {"batches": "fixed"},
    "retained": {"denominator": "retained", "weight_decay": 0.01},
}
"""What trainings of one network differ in."""


class Ground(NamedTuple):
    """A trained run, a request, unseen data, and a pattern for the names of the variants to try."""

    run: cu.Run
    request: np.ndarray
    test: cu.Dataset
    tried: str = ".*"


def wine(tried: str = ".*", **settings: Any) -> Ground:
    """A network with six hidden units, trained by the recipe with these `settings`."""
    data = cu.datasets.load("wine")
    problem = cu.classification(cu.models.MLP(hidden=(6,), classes=3, dtype=DTYPE), data.train)
    return _trained(problem, data.test, tried, **settings)


def grounds() -> dict[str, Ground]:
    """Networks, and linear models that have theorems. Patterns leave out variants that only take time to compile."""
    digits, wines = cu.datasets.load("digits", train=120, test=60), cu.datasets.load("wine")
    train, test, head = digits.train, digits.test, cu.models.Linear(bound=1.0, dtype=DTYPE)
    train_wine, test_wine = (cu.Dataset(data.x[:, 1:], data.x[:, 0]) for data in (wines.train, wines.test))
    large, test_large = (cu.Dataset(_enlarged(data.x), data.y) for data in (train[:40], test))
    owned = cu.Dataset(train.x, train.y, np.arange(len(train)) // 3)
    network = cu.models.MLP(hidden=(8,), activation="tanh", dtype=DTYPE)
    extractor = cu.Features.random(network, NETWORK_KEY, (8, 8, 1))
    softmax = cu.classification(head, train)
    convex = {"learning_rate": 0.5, "weight_decay": 0.01}
    momentum = {"optimizer": "momentum", "learning_rate": 0.02, "clip_norm": 1.0, "denominator": "retained"}
    return {
        "wine mlp": wine("(?!.*(fallback|backward|step$|linear)).*", radius=20.0, weight_decay=5e-4),
        "digits mlp": _trained(
            cu.classification(network, train, l2=1e-3),
            test,
            "hessian_free( rows)?( retained)?|newton cg|jackknife solved",
            **momentum,
        ),
        "digits cnn": _trained(
            cu.classification(cu.models.CNN(channels=(2, 3), hidden=6, dtype=DTYPE), large),
            test_large,
            "hessian_free( rows)?|newton cg|finetune",
            optimizer="adam",
            learning_rate=0.003,
        ),
        "digits linear": _trained(softmax, test, f"(?!newton lissa$|{HEURISTIC}).*", **convex),
        "digits ball": _trained(softmax, test, ".*(linear|removal|gradient|residual|trained)", radius=4.0, **convex),
        "digits owners": _trained(
            cu.classification(head, owned), test, "hessian_free( rows| store)?", batches="poisson", **convex
        ),
        "wine regression": _trained(
            cu.regression(cu.models.Linear(classes=1, dtype=DTYPE), train_wine),
            test_wine,
            ".*(linear|removal|gradient|residual|given)",
            learning_rate=0.02,
            weight_decay=0.05,
        ),
        "digits features": _trained(
            cu.classification(head, extractor(train)),
            extractor(test),
            "certified_removal|hessian.*(linear|capacity)",
            **convex,
        ),
    }


def _trained(problem: cu.Problem, test: cu.Dataset, tried: str = ".*", **settings: Any) -> Ground:
    run = cu.train(problem, cu.Recipe(**({"epochs": 3, "batch_size": 30, "learning_rate": 0.05} | settings)), TRAIN_KEY)
    owned = problem.data.owners is not None
    request = cu.requests.by_owner(run, [4, 9]) if owned else cu.requests.random(ASK_KEY, run, size=5)
    return Ground(run, request, test, f"retrain|{tried}")


def _enlarged(x: np.ndarray) -> np.ndarray:
    """Images of 8 x 8 as 28 x 28. Each pixel is repeated three times in both directions, and a frame is added."""
    return np.pad(x.repeat(3, axis=1).repeat(3, axis=2), ((0, 0), (2, 2), (2, 2), (0, 0)))
