"""One theorem applied to one run, per file.

A theorem takes a run, who is gone or retained and where the parameters are, checks its conditions on them, finds its
constants and asks the arithmetic of bounds/ for the number. It gives the fields of an `Update` that the bound fills, or
only `missing`, in words, where a condition of it is seen to fail. It knows no method: any update to `params` may be
held against it.

    hessian_free   the update is training's parameters plus the vector of everyone gone, and nothing else
    newton         damped Newton steps on the retained risk
    residual       the gradient of the retained risk where the update ended, for any method
    assumed        the constants of one run, given or in closed form, and what is lacking where there are none
"""

from certunl.bounds.theorems.residual import residual

__all__ = ["residual"]
