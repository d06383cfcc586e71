"""Wisconsin diagnostic breast cancer (UCI), scikit-learn's bundled copy."""

import numpy as np

from certunl.datasets._splits import Splits, from_sklearn

__all__ = ["breast_cancer"]

# Round ranges from the definition of each feature and not from these rows. A nucleus of 30 pixels in radius has a
# perimeter of about 200 and an area of about 2,500. The other features have no unit, and most are near 0 for a circle.
_MEAN = {
    "radius": (0.0, 30.0),  # pixels
    "texture": (0.0, 40.0),  # deviation of grey values
    "perimeter": (0.0, 200.0),  # pixels
    "area": (0.0, 2500.0),  # pixels
    "smoothness": (0.0, 0.2),  # local variation of radii
    "compactness": (0.0, 0.4),  # perimeter² / area, from its value for a circle
    "concavity": (0.0, 0.4),  # severity of concave parts
    "concave points": (0.0, 0.2),  # share of the contour
    "symmetry": (0.0, 0.4),
    "fractal dimension": (0.0, 0.1),  # minus 1
}
_ERROR, _WORST = 0.2, 1.5
"""The ranges of the standard error and of the largest values, as multiples of that of the mean."""


def breast_cancer(train: int | None = None, test: int | None = None) -> Splits:
    """455 training and 114 test rows f32[n, 30], 2 classes.

    Each feature is mapped to [-1, 1] from a round range of its definition, such as 0 to 30 pixels for the mean radius
    of the nuclei. The range of a standard error is a fifth of it, and that of a largest value is 1.5 times as long.
    """
    from sklearn.datasets import load_breast_cancer

    mean = np.array(list(_MEAN.values()))
    return from_sklearn(load_breast_cancer, np.concatenate([mean, _ERROR * mean, _WORST * mean]), train, test)
