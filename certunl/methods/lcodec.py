"""A Newton step on the parameters that the forgotten losses depend on (L-CODEC; Mehta et al. 2022)."""

import inspect
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from optax.projections import projection_l2_ball

from certunl.base import Key, Params
from certunl.certificates.update import Unlearner, Update
from certunl.errors import BadInput, one_of, plain_numbers, positive, whole
from certunl.methods._updated import updated
from certunl.solvers import CG, Solution
from certunl.timing import Stopwatch
from certunl.training.curvature import CURVATURES
from certunl.training.risk import Risk
from certunl.training.run import Run

__all__ = ["LCODEC"]

_EXAMPLES = 64
"""Number of forgotten examples whose losses are measured, the first of the request. Fewer are repeated, so that all
requests share one compiled program."""


@dataclass(frozen=True, kw_only=True)
class LCODEC(Unlearner):
    """project(w − P (P'AP + damping)⁻¹ P'v), v the difference of gradients as in `Newton`, A the retained curvature.

    P selects the parameters of a few units. A unit is one output feature of a layer. The units are chosen by forward
    selection with the coefficient of conditional dependence of Azadkia and Chatterjee (2021). The inputs of up to 64
    forgotten examples are perturbed several times by N(0, `noise`²). Each layer's features and the loss are averaged
    over these examples. Each round adds the unit that raises the dependence of the loss on the chosen units most. It
    ends when no unit raises the dependence, or when `units` are chosen. The updates are NOT CERTIFIED.

    Args:
        units: largest number of units. More units move more parameters.
        draws: number of perturbations, at least 3. The selection takes time and memory of the order of draws².
        noise: standard deviation of the perturbations, in units of the inputs.
        damping: added to P'AP. A larger one gives a shorter step.
        operator: the curvature A, "hessian", "ggn" or "fisher".

    Source: Mehta et al. 2022, algorithms 1 and 2.  Differs: one step for all forgotten examples, selection by at
    most 64 of them, exact nearest neighbours instead of random ones, Gauss-Newton by default, conjugate gradients for
    the inverse.
    """

    units: int = 16
    draws: int = 64
    noise: float = 0.1
    damping: float = 0.1
    operator: str = "ggn"

    def __post_init__(self) -> None:
        plain_numbers(self)
        whole(units=self.units)
        whole(draws=self.draws, least=3)
        positive(noise=self.noise, damping=self.damping)
        one_of(CURVATURES, operator=self.operator)

    def forget(self, run: Run, prepared: Any, request: Any, key: Key) -> Update:
        """The update after the step, with perturbations drawn from `key`.

        Raises: BadInput for a model that is no plain linen module; Diverged if the damped curvature is indefinite.
        """
        request = run.check(request, key)
        model = getattr(run.problem.losses, "model", None)
        if "capture_intermediates" not in inspect.signature(getattr(model, "apply", lambda: None)).parameters:
            raise BadInput("lcodec needs the layers' features of a linen module; this problem has no such model")
        if not jnp.issubdtype(getattr(run.problem.data.x, "dtype", np.int32), jnp.floating):
            raise BadInput("lcodec adds noise to the inputs, which must be one array of floats")
        with Stopwatch() as watch:
            examples = jnp.asarray(np.resize(request, _EXAMPLES))
            features, losses = _perturbed(run, examples, key, self.noise, self.draws)
            paths = sorted(features)
            matrix = np.concatenate([np.asarray(features[path], np.float64) for path in paths], axis=1)
            chosen = _select(matrix, np.asarray(losses, np.float64), self.units)
            widths = np.cumsum([0] + [features[path].shape[1] for path in paths])
            masks = {
                path: np.isin(np.arange(low, high), chosen)
                for path, low, high in zip(paths, widths[:-1], widths[1:], strict=True)
            }
            mask = jax.tree_util.tree_map_with_path(lambda path, leaf: _mask(masks, path, leaf), run.params)
            params, solution = jax.block_until_ready(
                _step(run, run.retained(request), mask, self.damping, self.operator)
            )
        CG().verify(solution)
        return updated(run, params, watch, "lcodec", cost={"units": float(len(chosen))})


@partial(jax.jit, static_argnames="draws")
def _perturbed(
    run: Run, examples: jax.Array, key: Key, noise: float, draws: int
) -> tuple[dict[str, jax.Array], jax.Array]:
    """(features f[draws, c] of each layer, losses f[draws]), means over `examples` with perturbed inputs."""
    batch, losses, whole = run.problem.data[examples], run.problem.losses, run.problem.whole(run.params)

    def one(k: Key) -> tuple[dict[str, jax.Array], jax.Array]:
        x = batch.x + noise * jax.random.normal(k, batch.x.shape, batch.x.dtype)
        state = losses.model.apply({"params": whole}, x, capture_intermediates=True, mutable=["intermediates"])[1]
        outputs = {
            _name(path[:-2]): leaf.mean(tuple(range(leaf.ndim - 1)))
            for path, leaf in jax.tree_util.tree_flatten_with_path(state["intermediates"])[0]
        }
        owners = {_name(path[:-1]) for path, _ in jax.tree_util.tree_flatten_with_path(run.params)[0]}
        loss = losses(whole, replace(batch, x=x)).mean()
        return {name: outputs[name] for name in owners if name in outputs}, loss

    return jax.lax.map(one, jax.random.split(key, draws))


def _name(path: Any) -> str:
    return "/".join(str(getattr(part, "key", part)) for part in path)


def _mask(masks: dict[str, np.ndarray], path: Any, leaf: jax.Array) -> jax.Array:
    """1 for the entries of `leaf` whose last axis is a chosen unit of the leaf's layer, 0 for the others."""
    unit = masks.get(_name(path[:-1]), np.zeros(leaf.shape[-1:], bool))
    return jnp.broadcast_to(jnp.asarray(unit, leaf.dtype), leaf.shape)


def _select(features: np.ndarray, losses: np.ndarray, most: int) -> list[int]:
    """The columns of `features f[m, p]` on which `losses f[m]` depend, by forward selection on sum_i min(R_i, R_N(i)).

    R are the ranks of the losses, and N(i) is the nearest neighbour of row i in the chosen columns.
    """
    ranks = np.argsort(np.argsort(losses))
    spread = features.std(axis=0)
    columns = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)
    squares = (columns[:, None, :] - columns[None, :, :]) ** 2  # [m, m, p]
    squares[np.arange(len(ranks)), np.arange(len(ranks))] = np.inf  # no row is its own neighbour
    chosen: list[int] = []
    distance, best = np.zeros(squares.shape[:2]), -np.inf
    while len(chosen) < min(most, features.shape[1]):
        neighbours = np.argmin(distance[:, :, None] + squares, axis=1)
        values = np.minimum(ranks[:, None], ranks[neighbours]).sum(axis=0).astype(float)
        values[chosen] = -np.inf
        if (top := int(np.argmax(values))) not in chosen and values[top] > best:
            best, distance = values[top], distance + squares[:, :, top]
            chosen.append(top)
        else:
            break
    return chosen


@partial(jax.jit, static_argnames="operator")
def _step(run: Run, retained: jax.Array, mask: Params, damping: float, operator: str) -> tuple[Params, Solution]:
    risk = Risk(run)

    def only(v: Params) -> Params:
        return jax.tree.map(jnp.multiply, mask, v)

    def product(v: Params, key: Key) -> Params:
        return optax.tree.add_scale(only(risk.product(run.params, only(v), retained, operator)), damping, v)

    v = only(risk.sum_gradient(run.params, risk.shares(retained) - risk.shares(run.present)))
    solution = CG()(product, v, jax.random.key(0))
    moved = optax.tree.sub(run.params, solution.x)
    return moved if run.recipe.radius is None else projection_l2_ball(moved, run.recipe.radius), solution
