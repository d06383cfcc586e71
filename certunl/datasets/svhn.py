"""32 x 32 house numbers."""

from certunl.datasets._splits import Splits, from_tfds

__all__ = ["svhn"]


def svhn(train: int | None = None, test: int | None = None, data_dir: str | None = None) -> Splits:
    """73,257 training and 26,032 test images f32[n, 32, 32, 3], 10 classes; (x/255 - mean)/deviation."""
    return from_tfds("svhn_cropped", train, test, data_dir, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
