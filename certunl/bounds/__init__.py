"""Bounds on the distance between an update and retraining, one theorem per file.

A bound is a function of named constants. Its docstring has the statement, its conditions and its proof or source. A
bound may exceed the trivial bound; the certificate compares the two.

`newton` bounds the damped Newton step and `inverse` the error of its solver; both return `(bound, assumptions)`.
`linear` has constants in closed form. `residual` uses the gradient at the released point. The bounds of the
Hessian-free method return `(bound, proved distance of doing nothing)`: `hessian_free` for one request, `uniform` for
every request of a size, and `published` as in the paper. `contraction` measures how much the steps of a network
contract. `theorems` applies each bound to a run.
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
from certunl.bounds.slots import slot_ratio
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
    "slot_ratio",
    "theorems",
    "uniform_bound",
]
