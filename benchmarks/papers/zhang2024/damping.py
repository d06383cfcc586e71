"""The published bound beside the real error, over the damping."""

from dataclasses import replace
from typing import Any

import jax

import certunl as cu
from benchmarks.papers.table import Column, Job, Row, Statement, Table, select
from benchmarks.papers.zhang2024.grounds import GROUNDS, Ground, as_published, described, retrained, trained
from certunl.bounds.constants import NewtonConstants
from certunl.bounds.newton import newton_bound

__all__ = ["DAMPING", "grounds", "printed"]

DAMPINGS, FEW = (1.0, 10.0, 100.0, 200.0, 1000.0, 2000.0), (1.0, 200.0, 2000.0)
CONSTANTS = NewtonConstants(
    smoothness=1, hessian_lipschitz=1, smallest_eigenvalue=0, gradient_residual=0, failure_probability=0.1
)
"""The constants of the paper. They are assumed; a network of ReLUs has no Lipschitz Hessian."""
SOLVERS = {
    "LiSSA, retained": lambda ground: as_published(ground),
    "CG, retained": lambda ground: cu.Newton(gradient="retained", solver=cu.CG(tol=1e-3, max_steps=200)),
    "CG, difference": lambda ground: cu.Newton(solver=cu.CG(tol=1e-3, max_steps=200)),
}


def grounds(scale: str) -> dict[str, Ground]:
    """The networks of the study: the one of MNIST, and at the paper's scale AllCNN, whose study the paper shows."""
    names = ("MNIST, MLP", "CIFAR-10, AllCNN")
    return {name: GROUNDS[scale][name] for name in names}


def printed(ground: Ground, damping: float, dimension: int) -> float:
    """The bound of the paper with its constants (Theorem 3.6)."""
    return newton_bound(CONSTANTS, radius=ground.radius, damping=damping, dimension=dimension)[0]


def damping_jobs(scale: str) -> list[Job]:
    return [
        Job(
            f"{name}, damping {damping:g}",
            described(ground, 42) | {"damping": damping, "lissa": repr(ground.solver()), "solvers": list(solvers)},
            lambda name=name, ground=ground, damping=damping, solvers=solvers: _damped(name, ground, damping, solvers),
        )
        for name, ground in grounds(scale).items()
        for solvers in (list(SOLVERS) if scale == "paper" or ground.data == "mnist" else list(SOLVERS)[:1],)
        for damping in (DAMPINGS if len(solvers) > 1 else FEW)
    ]


def _damped(name: str, ground: Ground, damping: float, solvers: list[str]) -> list[Row]:
    at = trained(ground, 42)
    truth = retrained(ground, 42)
    size = sum(leaf.size for leaf in jax.tree.leaves(at.run.params))
    bounds = {"bound": printed(ground, damping, size), "trivial": 2 * ground.radius}
    bounds["exact_bound"] = newton_bound(
        CONSTANTS, radius=ground.radius, damping=damping, dimension=size, solver=(0.0, ())
    )[0]
    updates: dict[str, Any] = {}
    rows = []
    for solver in solvers:
        row: Row = {"data": name, "solver": solver, "damping": damping} | bounds
        try:
            method = replace(SOLVERS[solver](ground), damping=damping)
            updates[solver] = method.forget(at.run, None, at.request, at.forget_key)
        except cu.Diverged as error:
            rows.append(row | {"diverged": str(error)})
            continue
        found = cu.evaluate(at.run, at.request, {"x": updates[solver]}, test=at.test, reference=truth).rows
        rows.append(
            row
            | {
                "distance": found["x"]["distance"],
                "nothing": found["original"]["distance"],
                "relative_distance": found["x"]["relative_distance"],
                "residual": updates[solver].cost.get("solver_residual"),
                "test_accuracy": found["x"]["test_accuracy"],
            }
        )
    return rows


def damping_statements(rows: list[Row]) -> list[Statement]:
    result = []
    for name in dict.fromkeys(row["data"] for row in rows):
        here = select(rows, data=name)
        for solver in ("LiSSA, retained", "CG, retained"):
            errors = [(row["damping"], row["distance"][0]) for row in select(here, solver=solver) if "distance" in row]
            if len(errors) < 2:
                continue
            small, large = errors[0], errors[-1]
            result.append(
                Statement(
                    f"{name}: the real error falls as the damping grows ({solver})",
                    "falls (AllCNN)",
                    f"{small[1]:.4g} at {small[0]:g}, {large[1]:.4g} at {large[0]:g}",
                    large[1] < small[1] * (1 - 1e-6),
                    "a large damping is a step of length 0, whose error is that of doing nothing",
                )
            )
        row = select(here, damping=200.0)[0]
        result.append(
            Statement(
                f"{name}: the bound says more than that both models lie in the ball",
                "-",
                f"bound {row['bound'][0]:.4g} at damping 200, the ball gives {row['trivial'][0]:.4g}",
                row["bound"][0] < row["trivial"][0],
                "with lambda_min <= M C no damping brings the bound below 2C (Theorem 3.4 needs lambda_min > M C)",
            )
        )
    return result


def draw_damping(rows: list[Row], figure: Any) -> None:
    names = list(dict.fromkeys(row["data"] for row in rows))
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        here = select(rows, data=name)
        for solver in SOLVERS:
            points = [(r["damping"], r["distance"][0]) for r in select(here, solver=solver) if "distance" in r]
            axes.plot(*zip(*points, strict=True), "o-", label=f"error, {solver}") if points else None
        one = [r for r in here if r["solver"] == "LiSSA, retained"]
        axes.plot([r["damping"] for r in one], [r["bound"][0] for r in one], "k--", label="printed bound")
        axes.axhline(one[0]["trivial"][0], color="grey", lw=1, label="2C")
        axes.set(xscale="log", yscale="log", xlabel="damping", title=name)
    figure.axes[0].set_ylabel("distance to retraining")
    figure.axes[0].legend(fontsize=6)


DAMPING = Table(
    name="damping",
    title="The bound beside the real error, over the damping",
    stands_for=(
        "The paper's study of the local convex approximation on AllCNN. The printed bound has its constants M = L = 1, "
        "lambda_min = 0, G = 0, rho = 0.1. «exact» leaves out the error of the recursion (Theorem 3.4). A missing row "
        "is a damped Hessian that is not positive definite. The real error is the distance to replayed retraining. At "
        "the small scale AllCNN has three dampings and LiSSA alone."
    ),
    jobs=damping_jobs,
    by=("data", "solver", "damping"),
    columns=(
        Column("bound", "printed bound", tolerance=1e-3),
        Column("exact_bound", "bound, exact inverse", tolerance=1e-3),
        Column("trivial", "2C", tolerance=1e-6),
        Column("distance", "real error", tolerance=0.2),
        Column("nothing", "doing nothing", tolerance=0.2),
        Column("relative_distance", "error / doing nothing", tolerance=0.2),
        Column("test_accuracy", "test", floor=0.03),
    ),
    statements=damping_statements,
    draw=draw_damping,
)
