"""Statistics of the last layer (Fields et al., ICCV Workshops 2021; DFBScanner, Yu et al. 2026).

Features that a trigger raises must raise the goal of a backdoor, and no other class. So the weights
of its row in the last layer tend to be larger than those of other rows. The score belongs to a
model and not to an input; its threshold comes from models free of poison.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from evil_twins.detectors.base import DefenderView
from evil_twins.detectors.outliers import MIN_CLASSES, check_classes, robust_z


@dataclass(frozen=True)
class LastLayer:
    """Score a model by how far the row of a class in the last layer exceeds those of others.

    The mean row is subtracted from the rows [weight | bias], since a common row changes no softmax
    output. The value of a class is the cosine between its row and the row of ones, in [-1, 1]: the
    sum of the row over its length. So networks of different scale are comparable. Fields et al.
    report that the weights of the goal's row are outliers; this statistic is ours. DFBScanner
    combines several indicators of the last layer and is not reproduced.

    No image passes the model. The goal's row is an outlier in some networks and not in others.

    Attributes:
        statistic: "shift" scores the largest value minus the median, in [0, 2]. "anomaly" divides
            it by 1.4826 times the median absolute deviation of the values, which few classes
            determine only roughly.
    """

    statistic: Literal["shift", "anomaly"] = "shift"
    knowledge: ClassVar[str] = "K0"
    preparation: ClassVar[None] = None
    min_classes: ClassVar[int] = MIN_CLASSES

    def __post_init__(self) -> None:
        if self.statistic not in ("shift", "anomaly"):
            raise ValueError('last-layer needs statistic = "shift" or "anomaly"')

    def inspect(self, view: DefenderView) -> float:
        """Return the score of the faced model, higher = more suspicious, at least 0.

        Raises:
            ValueError: The model has no linear last layer with a row for each class, or too few
                classes. With "anomaly", more than half of the classes have the same value.
        """
        values = class_values(rows(view.model))
        check_classes(len(values))
        if self.statistic == "anomaly":
            return float(robust_z(values).amax())
        return float(values.amax() - values.quantile(0.5))


def rows(model: nn.Module) -> Tensor:
    """Return the rows [weight | bias] of the last layer, (K, D + 1) float64.

    Raises:
        ValueError: The model has no linear last layer, or an identity in its place.
    """
    head = getattr(model, "head", None)
    if not isinstance(head, nn.Linear):
        raise ValueError(
            "last-layer reads the rows of the last layer: expected a model whose head is "
            f"nn.Linear; the head of {type(model).__name__} is {type(head).__name__}"
        )
    weight = head.weight.detach().double()
    if not [*head.parameters()]:
        raise ValueError(
            f"last-layer reads the rows of the last layer; {type(model).__name__} has no linear "
            "last layer, and its head leaves the logits as they are"
        )
    bias = weight.new_zeros(len(weight)) if head.bias is None else head.bias.detach().double()
    return torch.cat([weight, bias.unsqueeze(1)], 1)


def class_values(rows: Tensor) -> Tensor:
    """Return the cosines (K,) between centred rows (K, D + 1) and the row of ones; 0 for no row."""
    centred = rows - rows.mean(0)
    length = centred.norm(dim=1) * rows.shape[1] ** 0.5
    values: Tensor = centred.sum(1) / length.clamp_min(torch.finfo(rows.dtype).tiny)
    return values
