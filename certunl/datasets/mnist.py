"""28 x 28 handwritten digits."""

from certunl.datasets._splits import Splits, from_tfds

__all__ = ["mnist"]


def mnist(train: int | None = None, test: int | None = None, data_dir: str | None = None) -> Splits:
    """60,000 training and 10,000 test images f32[n, 28, 28, 1], 10 classes; (x/255 - mean)/deviation."""
    return from_tfds("mnist", train, test, data_dir, (0.1307,), (0.3081,))
