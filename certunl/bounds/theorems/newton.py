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
    "L, M and lambda_min: Lipschitz constants of gradient and Hessian of the losses, the Hessian's smallest eigenvalue "
    "(assumed=NewtonConstants(...); in closed form for softmax and least-squares regression only)"
)


class Chains(NamedTuple):
    """How LiSSA solved: `repeats` chains of `depth` steps at a `scale` that was `given`, or measured."""

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

    A theorem holds for the Hessian itself (not Gauss-Newton's), a start in the ball where there is one, damping +
    lambda_min > 0, and for LiSSA a scale of at least L + weight decay + damping and of every eigenvalue met (for the
    printed form also at least 1, and the lemma's depth). The guarantee says what is missing otherwise.

    Args:
        run: the run before the request.
        facts: what the last step measured: "damping"; the norms "norm" of the parameters, "gradient" of the right side,
            "error" that the solver left of it, "slope" of the retained gradient, "shift" between the two, "step"; the
            numbers of examples "left" and "visited".
        top: the highest eigenvalue that the solver met.
        chains: how LiSSA solved; None for another solver, whose error is then bounded by facts["error"].
        assumed: constants of the losses, or "linear" for those in closed form. None: no theorem.
        operator: the curvature of the step, a theorem only for "hessian".
        gradient: the form of the right side, which decides the reference where no theorem holds.
        damping: the damping that was fixed beforehand, None where it was measured.
        inverse: the statement of LiSSA's error, "dimension_free" or the paper's "printed".
    """
    replayed = REPLAY if gradient == "difference" else minimiser(run.recipe.radius)

    def lacking(what: str) -> Guarantee:
        return Guarantee(says=None, reference=replayed, missing=(what,), unchecked=run.problem.unchecked)

    radius = run.recipe.radius
    if assumed is None:
        return lacking(CONSTANTS)
    if operator != "hessian":
        return lacking(f'the Hessian itself (operator="hessian"): no theorem is of {operator}')
    if radius is not None and facts["norm"] > radius * (1 + 1e-5):  # left unprojected by another method's request
        return lacking(f"a start in the ball of radius {radius:g}: the parameters have norm {facts['norm']:.4g}")
    if isinstance(assumed, NewtonConstants):
        constants = replace(assumed)  # proved is only what the code derives here, for this run
    else:
        retained = facts["left"] / max(facts["visited"], 1) if run.recipe.denominator == "batch" else 1.0
        constants = linear_constants(run, retained)
    if radius is None and not constants.strong_convexity:
        return lacking("a ball that holds both models (Recipe(radius=...)), or strong convexity")
    fixed = damping is not None and chains is not None and chains.given
    damping, gap = facts["damping"], facts["damping"] + constants.smallest_eigenvalue
    printed = chains is not None and inverse == "printed"
    solver = None
    if gap > 0 and chains is None:  # newton_bound refuses any other gap
        solver = residual_error(residual=facts["error"], gap=gap)
    elif gap > 0 and chains is not None:
        least = max(constants.smoothness + run.recipe.weight_decay + damping, top)
        if chains.scale < least:
            return lacking(f"a scale of LiSSA of at least {least:.4g}, it is {chains.scale:.4g}")
        if printed and not (chains.scale >= 1 and chains.depth >= lemma_depth(gap, chains.scale)):
            depth = lemma_depth(gap, max(chains.scale, 1.0))
            return lacking(f"the printed lemma's scale of at least 1 and depth of at least {depth:.0f}")
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
    assumptions += (Assumption("rounding", rounding, "estimated", "of floating point, in w, x and the residual"),)
    if printed and chains is not None:
        assumptions += (Assumption("S", chains.scale, "given", "at least every mini-batch's norm"),)
    residual = constants.gradient_residual
    at = f"a point of the ball where the retained risk has gradient norm <= G = {residual:g}"
    return Guarantee(
        says=Distance(
            bound,
            doing_nothing=facts["slope"] / constants.strong_convexity if constants.strong_convexity else None,
        ),
        reference=minimiser(radius) if constants.strong_convexity and not residual else at,
        sense="minimiser",
        every_request=solver is None and fixed and facts["shift"] == 0 and constants.strong_convexity == 0,
        failure_probability=0.0 if chains is None else constants.failure_probability,
        assumptions=assumptions,
        unchecked=run.problem.unchecked,
    )


def _rounding(run: Run, facts: dict[str, float], top: float, gap: float) -> float:
    """eps (‖w‖ + ‖x‖)(1 + 10 top/gap): w − x is rounded to the parameters' type, and v and A x, sums of terms as large
    as top ‖w‖ and top ‖x‖, are off by a few eps of that before they are divided by gap."""
    return coarsest(run.params) * (facts["norm"] + facts["step"]) * (1 + 10 * top / gap)
