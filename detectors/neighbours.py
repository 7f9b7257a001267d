"""Nearest benign neighbours in feature space (Papernot & McDaniel 2018; Sun et al., ICML 2022)."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor, cdist, nn
from torch.nn.functional import normalize

from evil_twins.detectors.base import DefenderView, features_and_logits

EXACT = "donot_use_mm_for_euclid_dist"
"""Mode of `cdist` that computes distances from differences: products would round small ones."""


@dataclass(frozen=True)
class Neighbours:
    """Compare an input with its nearest benign images, in the features of the faced model.

    Features are the input of the last layer, scaled to length 1, so that near means a small angle.
    The two statistics miss different attacks. An input outside the benign images is far from all of
    them. A change of the last layer leaves every distance as it was, and gives the target a
    class that its neighbours do not have.

    Attributes:
        statistic: "share" scores the share of the k neighbours to which the faced model gives
            another class than to the input, in [0, 1] by steps of 1/k: the non-conformity of deep
            k-nearest neighbours, on the last of its layers. The paper has true labels of the
            neighbours; a defender has none here. "distance" scores the distance to the k-th
            neighbour, in [0, 2]: the out-of-distribution score of Sun et al.
        k: Number of neighbours.
        benign: Number of images of the clean data that are searched, the first ones; all, if there
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
        """Return a scorer with the features of the benign images under the faced model.

        Raises:
            TypeError: The faced model does not show its features.
            ValueError: There are fewer benign images than neighbours.
        """
        benign = view.benign[: self.benign]
        if len(benign) < self.k:
            raise ValueError(f"k = {self.k} neighbours were requested, of {len(benign)} images")
        features, logits = features_and_logits(view.model, benign)
        return NeighboursScorer(self, view.model, normalize(features), logits.argmax(1))


@dataclass(frozen=True)
class NeighboursScorer:
    """Score by neighbours: benign images as features (M, D) of length 1.

    The labels (M,) are the classes that the faced model gives them.
    """

    parameters: Neighbours
    model: nn.Module
    features: Tensor
    label: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Return the scores (N,) float64 of images (N, C, H, W)."""
        features, logits = features_and_logits(self.model, x)
        distances = cdist(normalize(features), self.features, compute_mode=EXACT)
        nearest, index = distances.topk(self.parameters.k, largest=False)
        if self.parameters.statistic == "distance":
            return nearest[:, -1]
        differs = self.label[index] != logits.argmax(1, keepdim=True)
        return differs.double().mean(1)
