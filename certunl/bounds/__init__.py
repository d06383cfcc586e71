"""How far from retraining an update can be: one theorem per file.

A bound is a function of named constants, none defaulted, that returns `(bound, assumptions)`; its docstring holds the
statement, its conditions and its proof or source. It never hides that it is no better than the trivial bound: the
certificate compares the two. `newton` holds the step, `_inverse` the error of its solver, `linear` constants in
closed form.
"""

from certunl.bounds._inverse import dimension_free_error, printed_error, residual_error
from certunl.bounds.linear import linear_constants
from certunl.bounds.newton import newton_bound

__all__ = ["dimension_free_error", "linear_constants", "newton_bound", "printed_error", "residual_error"]
