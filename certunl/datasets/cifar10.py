"""32 x 32 colour photographs."""

from certunl.datasets._splits import Splits, from_tfds

__all__ = ["cifar10"]


def cifar10(train: int | None = None, test: int | None = None, data_dir: str | None = None) -> Splits:
    """50,000 training and 10,000 test images f32[n, 32, 32, 3], 10 classes; (x/255 - mean)/deviation."""
    return from_tfds("cifar10", train, test, data_dir, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
