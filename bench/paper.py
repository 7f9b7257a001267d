"""Figures that the paper publishes, to print beside what is measured here.

Pang et al., A Tale of Evil Twins: Adversarial Inputs versus Poisoned Models, CCS 2020.
"""

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Published:
    """One data set of the paper.

    Attributes:
        architecture: The victim's.
        accuracy: Its accuracy on clean data, percent (Table 1).
        specificity: Kappa -> specificity loss, percent (Table 2).
    """

    architecture: str
    accuracy: float
    specificity: MappingProxyType[float, float]


def _published(architecture: str, accuracy: float, at_75: float, at_90: float) -> Published:
    return Published(architecture, accuracy, MappingProxyType({0.75: at_75, 0.9: at_90}))


PUBLISHED = MappingProxyType(
    {
        "cifar10": _published("resnet18", 95.23, 0.11, 0.12),
        "imagenet": _published("resnet18", 94.56, 2.44, 3.83),
        "isic": _published("resnet101", 88.18, 1.53, 1.62),
        "gtsrb": _published("resnet18", 99.12, 0.25, 0.27),
    }
)
