"""8 x 8 handwritten digits (scikit-learn's bundled copy of the UCI set)."""

from dataclasses import replace

import numpy as np

from certunl.datasets._splits import Splits, from_sklearn

__all__ = ["digits"]


def digits(train: int | None = None, test: int | None = None) -> Splits:
    """1,437 training and 360 test images f32[n, 8, 8, 1], 10 classes; pixels standardised by the training images."""
    from sklearn.datasets import load_digits

    splits = from_sklearn(load_digits, train, test)
    train_images, test_images = (replace(part, x=np.reshape(part.x, (-1, 8, 8, 1))) for part in splits[:2])
    return Splits(train_images, test_images, splits.classes)
