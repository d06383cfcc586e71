"""Wine cultivars by chemical analysis (UCI), scikit-learn's bundled copy."""

from certunl.datasets._splits import Splits, from_sklearn

__all__ = ["wine"]


def wine(train: int | None = None, test: int | None = None) -> Splits:
    """142 training and 36 test rows f32[n, 13], 3 classes; features standardised by the training rows."""
    from sklearn.datasets import load_wine

    return from_sklearn(load_wine, train, test)
