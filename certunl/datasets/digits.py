"""8 x 8 handwritten digits (scikit-learn's bundled copy of the UCI set)."""

from dataclasses import replace

import numpy as np

from certunl.datasets._splits import Splits, from_sklearn

__all__ = ["digits"]

_RANGES = np.tile([-16.0, 16.0], (64, 1))
"""A pixel counts the dark ones of 4 x 4 cells, so it is a number from 0 to 16, and x/16 lies in [0, 1]."""


def digits(train: int | None = None, test: int | None = None) -> Splits:
    """1,437 training and 360 test images f32[n, 8, 8, 1], 10 classes; pixels are counts from 0 to 16, divided by 16."""
    from sklearn.datasets import load_digits

    splits = from_sklearn(load_digits, _RANGES, train, test)
    train_images, test_images = (replace(part, x=np.reshape(part.x, (-1, 8, 8, 1))) for part in splits[:2])
    return Splits(train_images, test_images, splits.classes)
