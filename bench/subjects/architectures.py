"""Build residual networks (He et al., CVPR 2016) from torchvision's parts."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from evil_twins.bench.errors import unknown
from evil_twins.bench.store.schemas import NetworkFacts

# Largest side for which a stride of 4 before the first block leaves too few pixels.
SMALL = 64


class Classifier(nn.Module):
    """Images (N, C, H, W) in [0, 1] -> logits (N, K), as head(features(x)).

    Attributes:
        architecture: One of `ARCHITECTURES`, or the name of a `Network`.
        shape: (C, H, W) of the images.
        network: Its parts, if it is not of this project.
        mean: Mean of each channel, subtracted from the images, (C, 1, 1).
        std: Deviation of each channel, which then divides them, (C, 1, 1).
        trunk: Normalised images (N, C, H, W) -> features (N, D).
        head: The last layer, features (N, D) -> logits (N, K).
    """

    mean: Tensor
    std: Tensor
    network: NetworkFacts | None = None

    def __init__(
        self,
        architecture: str,
        shape: tuple[int, int, int],
        trunk: nn.Module,
        head: nn.Linear,
        mean: Tensor,
        std: Tensor,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.shape = shape
        self.trunk = trunk
        self.head = head
        self.register_buffer("mean", mean.reshape(-1, 1, 1))
        self.register_buffer("std", std.reshape(-1, 1, 1))

    @property
    def classes(self) -> int:
        """Number of classes, K."""
        return self.head.out_features

    def features(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to the inputs (N, D) of the last layer.

        Raises:
            ValueError: The images have another shape than the network was built for.
        """
        if x.dim() != 4 or tuple(x.shape[1:]) != self.shape:
            raise ValueError(f"expected images (N, {str(self.shape)[1:]}, got {tuple(x.shape)}")
        return cast(Tensor, self.trunk(self.normalised(x)))

    def normalised(self, x: Tensor) -> Tensor:
        """Scale images (N, C, H, W) in [0, 1] as the trunk takes them."""
        return (x - self.mean) / self.std

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to logits (N, K)."""
        return cast(Tensor, self.head(self.features(x)))


class _Mean(nn.Module):
    """Means (N, C) of planes (N, C, H, W), by an operation that stacked models can share."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


def _stock(name: str, shape: tuple[int, int, int]) -> tuple[nn.Module, int]:
    """Return torchvision's network without its last layer; its stem fits the images."""
    from torchvision import models  # takes seconds to load

    net: models.ResNet = getattr(models, name)(weights=None)
    channels, side = shape[0], min(shape[1:])
    if side <= SMALL:
        net.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
        net.maxpool = nn.Identity()
    elif channels != 3:
        net.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
    width = cast(int, net.fc.in_features)
    net.fc = nn.Identity()
    net.avgpool = _Mean()
    return net, width


def _composed(channels: int, width: int, stages: int, blocks: int) -> tuple[nn.Module, int]:
    """Build the same family at another width: each stage halves the side and doubles the width."""
    from torchvision.models.resnet import BasicBlock

    layers: list[nn.Module] = [
        nn.Conv2d(channels, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    ]
    planes = width
    for stage in range(stages):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            wider = planes * stride
            shortcut = nn.Sequential(
                nn.Conv2d(planes, wider, 1, stride=stride, bias=False), nn.BatchNorm2d(wider)
            )
            layers.append(BasicBlock(planes, wider, stride, shortcut if stride > 1 else None))
            planes = wider
    return nn.Sequential(*layers, _Mean()), planes


_TRUNKS: dict[str, Callable[[tuple[int, int, int]], tuple[nn.Module, int]]] = {
    "resnet18": lambda shape: _stock("resnet18", shape),
    "resnet101": lambda shape: _stock("resnet101", shape),
    "resnet18-narrow": lambda shape: _composed(shape[0], width=16, stages=4, blocks=2),
    "resnet-tiny": lambda shape: _composed(shape[0], width=8, stages=2, blocks=1),
}
ARCHITECTURES = tuple(_TRUNKS)


def build(
    architecture: str, classes: int, shape: tuple[int, int, int], mean: Tensor, std: Tensor
) -> Classifier:
    """Build an untrained network with batch-norm; its weights come from the global generator.

    Images of a side up to 64 get a 3 by 3 stem without pooling; larger ones the stock stem.

    Args:
        architecture: One of `ARCHITECTURES`.
        classes: K.
        shape: (C, H, W) of the images.
        mean: Mean of each channel, (C,), in [0, 1].
        std: Deviation of each channel, (C,), above 0.

    Raises:
        UserError: Unknown architecture.
    """
    if architecture not in _TRUNKS:
        raise unknown("victim", architecture, ARCHITECTURES)
    trunk, width = _TRUNKS[architecture](shape)
    head = nn.Linear(width, classes)
    model = Classifier(architecture, shape, trunk, head, mean, std)
    # Convolutions run in the layout of their weights; this one is faster on CPU and GPU.
    return model.to(memory_format=torch.channels_last)


def fold(model: Classifier) -> Classifier:
    """Return a frozen copy in eval mode, with batch-norm folded into the convolutions.

    Logits equal those of the model in eval mode to rounding.

    Raises:
        ValueError: A batch-norm does not follow a convolution.
    """
    folded = copy.deepcopy(model).eval()
    for parent in list(folded.modules()):
        conv: tuple[str, nn.Conv2d] | None = None
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                if conv is None:
                    raise ValueError(f"batch-norm {name!r} does not follow a convolution")
                setattr(parent, conv[0], fuse_conv_bn_eval(conv[1], child))
                setattr(parent, name, nn.Identity())
            conv = (name, child) if isinstance(child, nn.Conv2d) else None
    return folded.eval().requires_grad_(False)  # for the new identities as well
