"""Gradient descent on a strongly convex retained risk: how far from its minimiser K steps end."""

import math

from certunl.errors import BadInput

__all__ = ["descent_bound", "descent_contraction", "start_distance", "steps_needed"]


def descent_contraction(*, learning_rate: float, strong_convexity: float, smoothness: float) -> float:
    """q = max(|1 − rate mu|, |1 − rate L|) < 1: Lipschitz constant of w -> w − rate grad f(w), mu I <= Hessian <= L I.

    For rate <= 2/(L + mu) it is 1 − rate mu. Proof: the map's derivative is I − rate H.
    Raises: BadInput where mu is not positive, or the rate is too large for q < 1.
    """
    mu, L = strong_convexity, smoothness
    if not 0 < mu <= L:
        raise BadInput(f"descent needs 0 < strong_convexity <= smoothness, got {mu:g} and {L:g}")
    q = max(abs(1 - learning_rate * mu), abs(1 - learning_rate * L))
    if not q < 1:
        raise BadInput(
            f"learning_rate {learning_rate:g} is too large to converge; 2/(L + mu) = {2 / (L + mu):.4g} is best"
        )
    return q


def start_distance(
    *, gradient_bound: float, forgotten: int, examples: int, strong_convexity: float, mean: bool
) -> float:
    """a = g/mu >= ‖w* − w~*‖, the two minimisers with and without the `forgotten`, before any request is known:

        g = 2 G n_u/n where each risk is a mean over those who are there (`mean`), G n_u/n where n stays the divisor

    with G the norm of one example's gradient, without weight decay. Proof: add the variational inequalities of the two
    minimisers to strong convexity: mu ‖w* − w~*‖ <= ‖grad f_r(w*) − grad f(w*)‖ <= g.
    """
    return (2 if mean else 1) * gradient_bound * forgotten / examples / strong_convexity


def descent_bound(*, distance: float, contraction: float, steps: int, rounding: float) -> float:
    """‖w_K − w~*‖ <= q^K D + r (1 + q + ... + q^{K−1}): w~* minimises the retained risk over the ball, D =
    `distance` >= ‖w_0 − w~*‖, and each computed step is off by at most r = `rounding`.

    Proof: with P the projection onto the ball (none: the identity), w~* is a fixed point of P(w − rate grad f_r(w)),
    which is q-Lipschitz because P is 1-Lipschitz. D is 2 C in the ball, or ‖grad f_r(w_0)‖/mu, because
    mu ‖w_0 − w~*‖² <= <grad f_r(w_0) − grad f_r(w~*), w_0 − w~*> and <grad f_r(w~*), w_0 − w~*> >= 0 for w_0 in the
    ball; or, the same with grad f(w_0) for the old minimiser, `start_distance` + ‖grad f(w_0)‖/mu.
    Source: Neel, Roth and Sharifi-Malvajerdi 2021, descent-to-delete.

    >>> a = start_distance(gradient_bound=2**0.5, forgotten=10, examples=1000, strong_convexity=0.1, mean=True)
    >>> [float(f"{descent_bound(distance=a, contraction=0.9, steps=K, rounding=0):.7g}") for K in (10, 50, 100)]
    [0.09862116, 0.001457708, 7.512698e-06]
    """
    power = contraction**steps
    return power * distance + rounding * (1 - power) / (1 - contraction)


def steps_needed(*, per_request: float, contraction: float, distance: float) -> int:
    """The fewest K that keep every later state within `distance`, each request moving the minimiser by `per_request` a.

    e_i <= q^K (e_{i−1} + a) stays at most a q^K/(1 − q^K), so K >= ln(1 + a/distance)/ln(1/q). The un-noised state runs
    on and is secret; distance = sigma/noise_ratio(epsilon, delta), and releases compose.
    """
    return math.ceil(math.log1p(per_request / distance) / -math.log(contraction))
