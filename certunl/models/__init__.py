"""Flax linen modules without mutable state, one per file.

`NNX` adapts an NNX module, `Equinox` an Equinox module, and `Frozen` a module with BatchNorm. Each model has a `dtype`,
which is float32 by default because Flax ignores x64, and names for its `activation` and `pooling` if it has them. The
default activations and poolings are smooth, because kinks, not depth, spoil the linearisation behind Hessian-free
statistics. `_layers.Conv` decides how a convolution is computed.
"""

from certunl.models._headless import Headless
from certunl.models.allcnn import AllCNN
from certunl.models.cnn import CNN
from certunl.models.equinox import Equinox
from certunl.models.frozen import Frozen
from certunl.models.lenet5 import LeNet5
from certunl.models.linear import Linear
from certunl.models.mlp import MLP
from certunl.models.nnx import NNX
from certunl.models.resnet18 import ResNet18

__all__ = ["CNN", "MLP", "NNX", "AllCNN", "Equinox", "Frozen", "Headless", "LeNet5", "Linear", "ResNet18"]
