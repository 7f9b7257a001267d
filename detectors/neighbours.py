"""Nearest benign neighbours in feature space (Papernot & McDaniel 2018; Sun et al., ICML 2022)."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor, cdist, nn
from torch.nn.functional import normalize

from evil_twins.detectors.base import DefenderView, features_and_logits

EXACT = "donot_use_mm_for_euclid_dist"
"""Distances from differences: from products, the small ones would be lost to rounding."""


@dataclass(frozen=True)
class Neighbours:
    """What the nearest benign images say, in the features that the faced model's last layer gets.

    Features are scaled to length 1, so that near means at a small angle. The two statistics miss
    different attacks: an input that has left the benign images lies far from all of them; a model
    that was changed in its last layer alone leaves every distance as it was, and gives the target a
    class that its neighbours do not have.

    Attributes:
        statistic: "share" scores the share of the k neighbours to which the faced model gives
            another class than to the input, in [0, 1] by steps of 1/k: the non-conformity of deep
            k-nearest neighbours, on the last of its layers. Its neighbours bear true labels; a
            defender's images have none here. "distance" scores the distance to the k-th neighbour,
            in [0, 2]: the out-of-distribution score of Sun et al.
        k: How many neighbours.
        benign: Images of the clean data among which they are sought, the first ones; all, if there
            are fewer.
    """

    statistic: Literal["share", "distance"] = "share"
    k: int = 5
    benign: int = 1000
    knowledge: ClassVar[str] = "K1"
    preparation: ClassVar[None] = None

    def __post_init__(self) -> None:
        if not 1 <= self.k <= self.benign:
            raise ValueError("neighbours need 1 <= k <= benign")

    def fit(self, view: DefenderView) -> "NeighboursScorer":
        """A scorer among the benign images as the faced model sees them.

        Raises:
            TypeError: The faced model does not show its features.
            ValueError: There are fewer benign images than neighbours.
        """
        benign = view.benign[: self.benign]
        if len(benign) < self.k:
            raise ValueError(f"k = {self.k} neighbours were asked for, of {len(benign)} images")
        features, logits = features_and_logits(view.model, benign)
        return NeighboursScorer(self, view.model, normalize(features), logits.argmax(1))


@dataclass(frozen=True)
class NeighboursScorer:
    """Scores by neighbours.

    Attributes:
        parameters: Of the detector.
        model: The faced model.
        features: Of the benign images, (M, D) of length 1.
        label: The classes that the faced model gives them, (M,).
    """

    parameters: Neighbours
    model: nn.Module
    features: Tensor
    label: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) -> scores (N,) float64."""
        features, logits = features_and_logits(self.model, x)
        away = cdist(normalize(features), self.features, compute_mode=EXACT)
        nearest, index = away.topk(self.parameters.k, largest=False)
        if self.parameters.statistic == "distance":
            return nearest[:, -1]
        others = self.label[index] != logits.argmax(1, keepdim=True)
        return others.double().mean(1)
