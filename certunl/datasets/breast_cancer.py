"""Wisconsin diagnostic breast cancer (UCI), scikit-learn's bundled copy."""

from certunl.datasets._splits import Splits, from_sklearn

__all__ = ["breast_cancer"]


def breast_cancer(train: int | None = None, test: int | None = None) -> Splits:
    """455 training and 114 test rows f32[n, 30], 2 classes; features standardised by the training rows."""
    from sklearn.datasets import load_breast_cancer

    return from_sklearn(load_breast_cancer, train, test)
