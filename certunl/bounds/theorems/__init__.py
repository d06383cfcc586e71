"""One theorem applied to one run, per file: each gives a `Guarantee`.

A theorem takes a run, who is gone, and where the parameters are or how they came there. It checks its conditions, finds
its constants and asks the arithmetic of bounds/ for the number. Where a condition fails, the guarantee says what is
missing. A theorem knows no method, so any update may be held against it:

    guarantee = cu.bounds.theorems.residual(run, request, params)
    update = cu.Update(params=params, method="mine", guarantee=guarantee)

    hessian_free   training's parameters plus the vector of everyone gone
    newton         damped Newton steps on the retained risk
    residual       the gradient of the retained risk at any point
    descent        gradient descent on the retained risk
    rewind         training's last steps, taken again without the request
    noisy_sgd      projected noisy steps on convex losses
    clipped_steps  noisy steps that clip gradients or models, for any loss
    assumed        the constants of one run, given or in closed form, and what is lacking where there are none
"""

from certunl.bounds.theorems.clipped_steps import clipped_gradients, clipped_models
from certunl.bounds.theorems.descent import descent
from certunl.bounds.theorems.hessian_free import hessian_free
from certunl.bounds.theorems.newton import newton
from certunl.bounds.theorems.noisy_sgd import noisy_sgd
from certunl.bounds.theorems.residual import perturbed_objective, residual, tested_residual
from certunl.bounds.theorems.rewind import rewind

__all__ = [
    "clipped_gradients",
    "clipped_models",
    "descent",
    "hessian_free",
    "newton",
    "noisy_sgd",
    "perturbed_objective",
    "residual",
    "rewind",
    "tested_residual",
]
