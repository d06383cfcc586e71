"""32 x 32 colour photographs."""

from certunl.datasets._cifar import FOLDERS, FORMS, read_splits
from certunl.datasets._files import Original
from certunl.datasets._images import ImageSet
from certunl.datasets._splits import Splits

__all__ = ["cifar10"]

_SET = ImageSet(
    Original(
        "cifar10",
        "A. Krizhevsky (The CIFAR-10 dataset)",
        FORMS,
        (*FOLDERS, *(f"cifar10/{folder}" for folder in FOLDERS)),
    ),
    prepared="cifar10",
    read=read_splits,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
)


def cifar10(train: int | None = None, test: int | None = None, data_dir: str | None = None) -> Splits:
    """50,000 training and 10,000 test images f32[n, 32, 32, 3], 10 classes; (x/255 - 0.5)/0.5."""
    return _SET.load(train, test, data_dir)
