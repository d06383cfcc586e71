"""A damped Newton step on the retained risk ends near its minimiser."""

from dataclasses import replace
from typing import NamedTuple

from certunl.base import width
from certunl.bounds.constants import NewtonConstants
from certunl.bounds.inverse import dimension_free_error, lemma_depth, residual_error
from certunl.bounds.linear import linear_constants
from certunl.bounds.newton import newton_bound
from certunl.bounds.rounding import coarsest
from certunl.certificates.guarantee import REPLAY, Assumption, Guarantee, minimiser
from certunl.certificates.statement import Distance
from certunl.training.run import Run

__all__ = ["CONSTANTS", "Chains", "newton"]


CONSTANTS = (
    "the constants L, M and lambda_min, which are the Lipschitz constants of the losses' gradient and Hessian and the "
    "Hessian's smallest eigenvalue (assumed=NewtonConstants(...); a closed form exists only for softmax and "
    "least-squares regression)"
)


class Chains(NamedTuple):
    """The settings with which LiSSA solved the system.

    Args:
        depth: steps of each chain.
        repeats: number of chains.
        scale: the scale of the recursion.
        given: whether the user set the scale. Otherwise it was measured.
    """

    depth: int
    repeats: int
    scale: float
    given: bool


def newton(
    run: Run,
    facts: dict[str, float],
    top: float,
    chains: Chains | None,
    *,
    assumed: NewtonConstants | str | None,
    operator: str = "hessian",
    gradient: str = "difference",
    damping: float | None = None,
    inverse: str = "dimension_free",
) -> Guarantee:
    """‖w~ − w*‖ <= Delta of `bounds.newton_bound` for a damped Newton step w~ on the retained risk.

    The theorem requires damping + lambda_min > 0. It also requires the Hessian itself (not Gauss-Newton's) and a
    start in the ball if there is one. For LiSSA it requires a scale of at least L + weight decay + damping and of at
    least every measured eigenvalue. The printed form also requires a scale of at least 1 and the lemma's depth. If
    one of these later conditions fails, the guarantee says what is missing.

    Args:
        run: the run before the request.
        facts: measurements of the last step: "damping"; the norms "norm" of the parameters, "gradient" of the
            right-hand side, "error" of the solver's residual, "slope" of the retained gradient, "shift" of the
            difference between the right-hand side and the retained gradient, "step" of the step; the numbers of
            examples "left" and "visited".
        top: the largest eigenvalue that the solver measured.
        chains: LiSSA's settings. None for another solver, whose error is then bounded by facts["error"].
        assumed: constants of the losses, or "linear" for those in closed form. None: no theorem.
        operator: the curvature of the step. Only "hessian" has a theorem.
        gradient: the form of the right-hand side. It decides the reference if no theorem holds.
        damping: the damping if it was fixed beforehand, None if it was measured.
        inverse: the statement about LiSSA's error, "dimension_free" or the paper's "printed".

    Raises: BadInput if damping + lambda_min is not positive, for constants that contradict each other, and for
    "linear" if there is no closed form.
    """
    replayed = REPLAY if gradient == "difference" else minimiser(run.recipe.radius)

    def lacking(condition: str) -> Guarantee:
        return Guarantee(says=None, reference=replayed, missing=(condition,), unchecked=run.unchecked)

    radius = run.recipe.radius
    if assumed is None:
        return lacking(CONSTANTS)
    if operator != "hessian":
        return lacking(f'the Hessian itself, operator="hessian" (there is no theorem for {operator})')
    if radius is not None and facts["norm"] > radius * (1 + 1e-5):  # an earlier method may not have projected
        return lacking(f"a start in the ball of radius {radius:g} (the parameters have norm {facts['norm']:.4g})")
    if isinstance(assumed, NewtonConstants):
        constants = replace(assumed)  # the copy has no `proved`, which holds only for constants derived for this run
    else:
        retained = facts["left"] / max(facts["visited"], 1) if run.recipe.denominator == "batch" else 1.0
        constants = linear_constants(run, retained)
    if radius is None and not constants.strong_convexity:
        return lacking("a ball that contains both models (Recipe(radius=...)), or strong convexity")
    fixed = damping is not None and chains is not None and chains.given
    damping, gap = facts["damping"], facts["damping"] + constants.smallest_eigenvalue
    printed = chains is not None and inverse == "printed"
    solver = None
    if gap > 0 and chains is None:  # newton_bound refuses any other gap
        solver = residual_error(residual=facts["error"], gap=gap)
    elif gap > 0 and chains is not None:
        least = max(constants.smoothness + run.recipe.weight_decay + damping, top)
        if chains.scale < least:
            return lacking(f"a LiSSA scale of at least {least:.4g} (it is {chains.scale:.4g})")
        if printed and not (chains.scale >= 1 and chains.depth >= lemma_depth(gap, chains.scale)):
            depth = lemma_depth(gap, max(chains.scale, 1.0))
            return lacking(f"a scale of at least 1 and a depth of at least {depth:.0f}, as the printed lemma requires")
        if not printed:
            solver = dimension_free_error(
                v=facts["gradient"],
                gap=gap,
                scale=chains.scale,
                depth=chains.depth,
                repeats=chains.repeats,
                failure_probability=constants.failure_probability,
                status="given" if chains.given else "estimated",
            )
    bound, assumptions = newton_bound(
        constants,
        radius=radius,
        damping=damping,
        dimension=width(run.params),
        weight_decay=run.recipe.weight_decay,
        shift=facts["shift"],
        gradient=facts["slope"],
        solver=solver,
    )
    rounding = _rounding(run, facts, max(top, gap), gap)
    bound += rounding
    assumptions += (Assumption("rounding", rounding, "estimated", "rounding error of w, x and the residual"),)
    if printed and chains is not None:
        meaning = "upper bound on the norm of every mini-batch operator"
        assumptions += (Assumption("S", chains.scale, "given", meaning),)
    residual = constants.gradient_residual
    exact = bool(constants.strong_convexity and not residual)
    at = f"a point of the ball where the retained risk has gradient norm <= G = {residual:g}"
    return Guarantee(
        says=Distance(
            bound,
            doing_nothing=facts["slope"] / constants.strong_convexity if constants.strong_convexity else None,
        ),
        reference=minimiser(radius) if exact else at,
        sense="minimiser" if exact else "stationary",
        every_request=solver is None and fixed and facts["shift"] == 0 and constants.strong_convexity == 0,
        failure_probability=0.0 if chains is None else constants.failure_probability,
        assumptions=assumptions,
        unchecked=run.unchecked,
    )


def _rounding(run: Run, facts: dict[str, float], top: float, gap: float) -> float:
    """eps (‖w‖ + ‖x‖)(1 + 10 top/gap).

    w − x is rounded to the parameters' type. v and A x are sums of terms as large as top ‖w‖ and top ‖x‖. They are
    off by a few eps of that, and then divided by gap.
    """
    return coarsest(run.params) * (facts["norm"] + facts["step"]) * (1 + 10 * top / gap)
