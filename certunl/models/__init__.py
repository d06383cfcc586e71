"""Flax linen modules without mutable state, one per file; an NNX module comes in through `NNX`, BatchNorm through
`Frozen`.

A model has `dtype` (float32 unless told: Flax ignores x64), `activation` and, where it pools, `pooling` by name.
Defaults are smooth: kinks, not depth, spoil the linearisation that Hessian-free statistics rest on. This module also
decides how a convolution is lowered (`_layers.Conv` says why).
"""

from certunl.models._headless import Headless
from certunl.models.allcnn import AllCNN
from certunl.models.cnn import CNN
from certunl.models.frozen import Frozen
from certunl.models.lenet5 import LeNet5
from certunl.models.linear import Linear
from certunl.models.mlp import MLP
from certunl.models.nnx import NNX
from certunl.models.resnet18 import ResNet18

__all__ = ["CNN", "MLP", "NNX", "AllCNN", "Frozen", "Headless", "LeNet5", "Linear", "ResNet18"]
