"""Wine cultivars by chemical analysis (UCI), scikit-learn's bundled copy."""

import numpy as np

from certunl.datasets._splits import Splits, from_sklearn

__all__ = ["wine"]

# Round ranges of what a dry wine may hold, from the meaning of each analysis and not from these rows.
_RANGES = {
    "alcohol": (10.0, 15.0),  # % by volume
    "malic_acid": (0.0, 5.0),  # g/l
    "ash": (1.5, 3.5),  # g/l
    "alcalinity_of_ash": (10.0, 30.0),  # mmol/l
    "magnesium": (50.0, 150.0),  # mg/l
    "total_phenols": (0.0, 5.0),  # g/l
    "flavanoids": (0.0, 5.0),  # g/l
    "nonflavanoid_phenols": (0.0, 1.0),  # g/l
    "proanthocyanins": (0.0, 5.0),  # g/l
    "color_intensity": (0.0, 10.0),  # sum of two absorbances
    "hue": (0.5, 1.5),  # ratio of two absorbances
    "od280/od315_of_diluted_wines": (1.0, 4.0),  # ratio of two absorbances
    "proline": (0.0, 2000.0),  # mg/l
}


def wine(train: int | None = None, test: int | None = None) -> Splits:
    """142 training and 36 test rows f32[n, 13], 3 classes.

    Each feature is mapped to [-1, 1] from a round range of what a dry wine may hold, such as 10 to 15% of alcohol.
    """
    from sklearn.datasets import load_wine

    return from_sklearn(load_wine, np.array(list(_RANGES.values())), train, test)
