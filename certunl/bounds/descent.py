"""The distance between K steps of gradient descent on a strongly convex retained risk and its minimiser."""

import math

from certunl.errors import BadInput

__all__ = ["descent_bound", "descent_contraction", "start_distance", "steps_needed"]


def descent_contraction(*, learning_rate: float, strong_convexity: float, smoothness: float) -> float:
    """q = max(|1 − rate mu|, |1 − rate L|) < 1, the Lipschitz constant of w -> w − rate grad f(w).

    It holds for mu I <= Hessian <= L I. For rate <= 2/(L + mu) it is 1 − rate mu. Proof: the map's derivative is
    I − rate H.
    Raises: BadInput if mu is not positive, or the rate is too large for q < 1.
    """
    mu, L = strong_convexity, smoothness
    if not 0 < mu <= L:
        raise BadInput(f"descent needs 0 < strong_convexity <= smoothness, got {mu:g} and {L:g}")
    q = max(abs(1 - learning_rate * mu), abs(1 - learning_rate * L))
    if not q < 1:
        raise BadInput(
            f"learning_rate {learning_rate:g} is too large to converge; the best is 2/(L + mu) = {2 / (L + mu):.4g}"
        )
    return q


def start_distance(
    *, gradient_bound: float, forgotten: int, examples: int, strong_convexity: float, mean: bool
) -> float:
    """a = g/mu >= ‖w* − w~*‖ for the minimisers with and without the forgotten examples, known in advance.

        g = 2 G n_u/n     if each risk is the mean over its own examples (`mean`)
        g = G n_u/n       if n stays the divisor

    G is the norm of one example's gradient, without weight decay. Proof: add the variational inequalities of the two
    minimisers to strong convexity: mu ‖w* − w~*‖ <= ‖grad f_r(w*) − grad f(w*)‖ <= g.
    """
    return (2 if mean else 1) * gradient_bound * forgotten / examples / strong_convexity


def descent_bound(*, distance: float, contraction: float, steps: int, rounding: float) -> float:
    """‖w_K − w~*‖ <= q^K D + r (1 + q + ... + q^{K−1}), where w~* minimises the retained risk over the ball.

    D = `distance` >= ‖w_0 − w~*‖, and each computed step is off by at most r = `rounding`.

    Proof: let P be the projection onto the ball, or the identity if there is none. w~* is a fixed point of P(w − rate
    grad f_r(w)), which is q-Lipschitz because P is 1-Lipschitz. There are three values for D. In the ball D = 2 C.
    D = ‖grad f_r(w_0)‖/mu, because mu ‖w_0 − w~*‖² <= <grad f_r(w_0) − grad f_r(w~*), w_0 − w~*> and <grad f_r(w~*),
    w_0 − w~*> >= 0 for w_0 in the ball. D = `start_distance` + ‖grad f(w_0)‖/mu, by the same argument for grad f(w_0)
    and the old minimiser.
    Source: Neel, Roth and Sharifi-Malvajerdi 2021, descent-to-delete.

    >>> a = start_distance(gradient_bound=2**0.5, forgotten=10, examples=1000, strong_convexity=0.1, mean=True)
    >>> [float(f"{descent_bound(distance=a, contraction=0.9, steps=K, rounding=0):.7g}") for K in (10, 50, 100)]
    [0.09862116, 0.001457708, 7.512698e-06]
    """
    power = contraction**steps
    return power * distance + rounding * (1 - power) / (1 - contraction)


def steps_needed(*, per_request: float, contraction: float, distance: float) -> int:
    """The fewest steps K that keep the parameters within `distance` of the minimiser after every request.

    Each request moves the minimiser by at most a = `per_request`. The distance e_i <= q^K (e_{i−1} + a) stays at most
    a q^K/(1 − q^K), so K >= ln(1 + a/distance)/ln(1/q). The next request continues from the un-noised parameters,
    which are secret. distance = sigma/noise_ratio(epsilon, delta), and releases compose.
    """
    return math.ceil(math.log1p(per_request / distance) / -math.log(contraction))
