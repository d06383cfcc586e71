"""Ways to solve A x = b where A is known only by its products.

A solver is a frozen dataclass of settings, called as `solver(operator, b, key) -> Solution`; the call is pure (it may
be traced) and `verify(solution)` raises `Diverged` on the host. `batch_size`, where a solver has one, asks for an
operator that samples mini-batches afresh with every key; the others get the full, deterministic one. Template:

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
