"""Solvers of A x = b for an operator A that is known only through its products A v.

A solver is a frozen dataclass of settings. The call `solver(operator, b, key) -> Solution` is pure and may be traced.
`verify(solution)` runs on the host and raises `Diverged`. A solver with a `batch_size` gets an operator that samples
a fresh mini-batch with every key. Other solvers get the deterministic operator on the full data. Template:

    @dataclass(frozen=True, kw_only=True)
    class X:
        tol: float = 1e-6
        def __call__(self, operator, b, key): ...; return Solution(...)
        def verify(self, solution): ...
"""

from certunl.solvers._solver import Solution, Solver
from certunl.solvers.cg import CG
from certunl.solvers.dense import Dense
from certunl.solvers.lissa import LiSSA

__all__ = ["CG", "Dense", "LiSSA", "Solution", "Solver"]
