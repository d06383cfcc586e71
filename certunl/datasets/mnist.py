"""28 x 28 handwritten digits."""

from certunl.datasets._files import Original
from certunl.datasets._idx import FILES, read_splits
from certunl.datasets._images import ImageSet
from certunl.datasets._splits import Splits

__all__ = ["mnist"]

_SET = ImageSet(
    Original(
        "mnist",
        "Y. LeCun, C. Cortes and C. Burges (The MNIST database of handwritten digits)",
        (FILES,),
        ("MNIST/raw", "MNIST"),
    ),
    prepared="mnist",
    read=read_splits,
    mean=(0.0,),
    std=(1.0,),
)


def mnist(train: int | None = None, test: int | None = None, data_dir: str | None = None) -> Splits:
    """60,000 training and 10,000 test images f32[n, 28, 28, 1], 10 classes; x/255 lies in [0, 1]."""
    return _SET.load(train, test, data_dir)
