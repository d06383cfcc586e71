"""28 x 28 articles of clothing."""

from certunl.datasets._files import Original
from certunl.datasets._idx import FILES, read_splits
from certunl.datasets._images import ImageSet
from certunl.datasets._splits import Splits

__all__ = ["fashion_mnist"]

_SET = ImageSet(
    Original(
        "fashion_mnist",
        "H. Xiao, K. Rasul and R. Vollgraf, Zalando Research (Fashion-MNIST)",
        (FILES,),
        ("FashionMNIST/raw", "FashionMNIST", "fashion-mnist"),
    ),
    prepared="fashion_mnist",
    read=read_splits,
    mean=(0.5,),
    std=(0.5,),
)


def fashion_mnist(train: int | None = None, test: int | None = None, data_dir: str | None = None) -> Splits:
    """60,000 training and 10,000 test images f32[n, 28, 28, 1], 10 classes; (x/255 - 0.5)/0.5."""
    return _SET.load(train, test, data_dir)
