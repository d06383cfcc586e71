"""One theorem applied to one run, per file. Each function returns a `Guarantee`.

A theorem takes a run, the forgotten examples, and either the released parameters or the steps that led to them. It
checks its conditions, finds its constants, and computes the bound with the functions of bounds/. If a condition
fails, the guarantee says what is missing. A theorem does not know the method, so it applies to any update:

    guarantee = cu.bounds.theorems.residual(run, request, params)
    update = cu.Update(params=params, method="mine", guarantee=guarantee)

    hessian_free   the trained parameters plus the vector of all forgotten examples
    newton         damped Newton steps on the retained risk
    residual       the gradient of the retained risk at any point
    descent        gradient descent on the retained risk
    rewind         the last training steps, repeated without the request
    noisy_sgd      projected noisy steps on convex losses
    noisy_training training with noise, as it is or trained again from a step on
    secret_batches training with noise on Poisson batches that the secret of the noise drew
    noisy_features a head on features of a network that was trained with noise
    clipped_steps  noisy steps that clip gradients or models, for any loss
    assumed        the constants of one run, given or in closed form, or a text about the missing ones
"""

from certunl.bounds.theorems.clipped_steps import clipped_gradients, clipped_models
from certunl.bounds.theorems.descent import descent
from certunl.bounds.theorems.hessian_free import hessian_free
from certunl.bounds.theorems.newton import newton
from certunl.bounds.theorems.noisy_features import noisy_features
from certunl.bounds.theorems.noisy_sgd import noisy_sgd
from certunl.bounds.theorems.noisy_training import noisy_training
from certunl.bounds.theorems.residual import perturbed_objective, residual, tested_residual
from certunl.bounds.theorems.rewind import rewind
from certunl.bounds.theorems.secret_batches import secret_batches

__all__ = [
    "clipped_gradients",
    "clipped_models",
    "descent",
    "hessian_free",
    "newton",
    "noisy_features",
    "noisy_sgd",
    "noisy_training",
    "perturbed_objective",
    "residual",
    "rewind",
    "secret_batches",
    "tested_residual",
]
