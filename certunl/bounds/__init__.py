"""How far from retraining an update can be: one theorem per file.

A bound is a function of named constants, none defaulted, that returns `(bound, assumptions)`; its docstring holds the
statement, its conditions and its proof or source. It never hides that it is no better than the trivial bound: the
certificate compares the two. `newton` holds the step, `inverse` the error of its solver, `linear` constants in
closed form; `residual` what the gradient at a point proves of it. The Hessian-free method's bounds give `(bound, what
doing nothing is proved to cost)`: `hessian_free` for one request, `uniform` for every request of a size, `published`
the paper's; `contraction` measures what a network's steps do. `theorems` applies them to one run each.
"""

from certunl.bounds import theorems as theorems
from certunl.bounds.clipped_chain import clipped_chain
from certunl.bounds.constants import HessianFreeConstants, NewtonConstants
from certunl.bounds.contraction import measured_contractions
from certunl.bounds.descent import descent_bound
from certunl.bounds.hessian_free import recursive_bound
from certunl.bounds.inverse import dimension_free_error, lemma_depth, printed_error, residual_error
from certunl.bounds.linear import hessian_free_constants, linear_constants
from certunl.bounds.newton import newton_bound
from certunl.bounds.noisy_chain import noisy_chain
from certunl.bounds.published import published_bound
from certunl.bounds.residual import residual_after_step, residual_before_step, residual_bound
from certunl.bounds.rewind import rewind_bound
from certunl.bounds.uniform import deletion_capacity, uniform_bound

__all__ = [
    "HessianFreeConstants",
    "NewtonConstants",
    "clipped_chain",
    "deletion_capacity",
    "descent_bound",
    "dimension_free_error",
    "hessian_free_constants",
    "lemma_depth",
    "linear_constants",
    "measured_contractions",
    "newton_bound",
    "noisy_chain",
    "printed_error",
    "published_bound",
    "recursive_bound",
    "residual_after_step",
    "residual_before_step",
    "residual_bound",
    "residual_error",
    "rewind_bound",
    "theorems",
    "uniform_bound",
]
