"""Networks of the page `networks.md` that no package offers: functions that a suite names."""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu
from torchvision import models


def vgg11_bn(classes: int) -> nn.Module:
    """Return VGG-11 with batch-norm in the form for small images, of at least 32×32.

    The stock network has 100 million weights more, for maps of 7×7 before its linear layers.
    """
    network = models.vgg11_bn(num_classes=classes)
    network.avgpool = nn.AdaptiveAvgPool2d(1)
    network.classifier = nn.Sequential(
        nn.Linear(512, 64), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(64, classes)
    )
    return network


def sequential(classes: int, shape: tuple[int, int, int] = (3, 32, 32)) -> nn.Module:
    """Return layers in a row with dropout, and batch-norm after and before convolutions."""
    return nn.Sequential(
        nn.BatchNorm2d(shape[0]),
        nn.Conv2d(shape[0], 16, 3, 2, 1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(inplace=True),
        nn.Dropout(0.2),
        nn.Conv2d(16, 32, 3, 2, 1),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(512, classes),
    )


def convolution_as_head(classes: int, shape: tuple[int, int, int] = (3, 32, 32)) -> nn.Module:
    """Return a network whose logits are those of a convolution."""
    return nn.Sequential(
        nn.Conv2d(shape[0], 16, 3, 2, 1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(inplace=True),
        nn.Conv2d(16, 32, 3, 2, 1),
        nn.ReLU(inplace=True),
        nn.AvgPool2d(2),
        nn.Conv2d(32, classes, 4),
        nn.Flatten(),
    )


class Block(nn.Module):
    """Two convolutions and a shortcut, which subsamples and adds channels of zeros."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.stride = outputs // inputs
        self.conv1 = nn.Conv2d(inputs, outputs, 3, self.stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return the maps of images (N, C, H, W)."""
        z = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
        more = z.shape[1] - x.shape[1]
        shortcut = pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, more // 2, more // 2))
        return relu(z + shortcut)


class ResNet(nn.Module):
    """The residual network for CIFAR-10 (He et al. 2016) with n blocks in each of three stages."""

    def __init__(self, n: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(Block(16, 16) for _ in range(n)))
        self.layer2 = nn.Sequential(Block(16, 32), *(Block(32, 32) for _ in range(n - 1)))
        self.layer3 = nn.Sequential(Block(32, 64), *(Block(64, 64) for _ in range(n - 1)))
        self.linear = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (N, K) of images (N, 3, 32, 32)."""
        z = self.layer3(self.layer2(self.layer1(relu(self.bn1(self.conv1(x))))))
        logits: Tensor = self.linear(torch.mean(z, (2, 3)))
        return logits


def resnet20(classes: int) -> nn.Module:
    """Return ResNet-20 for CIFAR-10."""
    return ResNet(3, classes)


def resnet56(classes: int) -> nn.Module:
    """Return ResNet-56 for CIFAR-10."""
    return ResNet(9, classes)
