"""MM-BD (Wang et al., S&P 2024, arXiv 2205.06900): one class of a backdoored model is an outlier.

A backdoor lets its goal class win by an unusually large margin for some input. The score belongs to
a model and not to an input. Its threshold comes from models free of poison, at least 40 honest
fine-tunes of the same victim (in a suite the rows of `fine-tuning`). So it separates a tampered
model from a fine-tuned one, and not from a model with another training.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.stats import gamma
from torch import Tensor, nn

from evil_twins.detectors.base import DefenderView, batches
from evil_twins.detectors.outliers import MIN_CLASSES


@dataclass(frozen=True)
class Inspection:
    """Score a model by how far the largest of the classes' maximum margins exceeds the others.

    Attributes:
        starts: Random images at which gradient ascent starts, the same for all classes.
        steps: Steps of gradient ascent; the paper stops at the first step of little gain.
        rate: Length of a step per unit of the gradient.
    """

    starts: int = 30
    steps: int = 300
    rate: float = 0.01
    knowledge: ClassVar[str] = "K0"
    preparation: ClassVar[None] = None
    min_classes: ClassVar[int] = MIN_CLASSES

    def __post_init__(self) -> None:
        if not (self.starts >= 1 and self.steps >= 1 and self.rate > 0):
            raise ValueError("inspection needs starts >= 1, steps >= 1 and rate > 0")

    def inspect(self, view: DefenderView) -> float:
        """Return the score of the faced model, higher = more suspicious, at least 0.

        Only the size of the clean images is used.

        Raises:
            ValueError: The model has too few classes, or equal margins for all but one.
        """
        margins = self.margins(view.model, view.benign[0], view.generator)
        return anomaly(margins.cpu().numpy())

    def margins(self, model: nn.Module, like: Tensor, generator: torch.Generator) -> Tensor:
        """Search the largest margin of each class over the others, (K,) float64."""
        shape = (self.starts, *like.shape)
        draws = torch.rand(shape, generator=generator, device=generator.device, dtype=like.dtype)
        start = draws.to(like.device)
        with torch.no_grad():
            classes = model(start[:1]).shape[1]
        images = start.repeat(classes, *[1] * like.dim())
        label = torch.arange(classes, device=like.device).repeat_interleave(self.starts)
        split = [batch.contiguous() for batch in batches(images)]
        labels = label.split([len(batch) for batch in split])
        margins = [self._ascend(model, *pair) for pair in zip(split, labels, strict=True)]
        return torch.cat(margins).view(classes, self.starts).amax(1)

    def _ascend(self, model: nn.Module, x: Tensor, label: Tensor) -> Tensor:
        """Return the largest margins (N,) float64 of classes (N,) on the paths of images."""
        best = x.new_full((len(x),), -torch.inf, dtype=torch.float64)
        for _ in range(self.steps):
            leaf = x.detach().requires_grad_()
            lead = class_margins(model(leaf), label)
            best = torch.maximum(best, lead.detach().double())
            (gradient,) = torch.autograd.grad(lead.sum(), leaf)
            x = (x + self.rate * gradient).clamp(0, 1)
        with torch.no_grad():
            return torch.maximum(best, class_margins(model(x), label).double())


def class_margins(z: Tensor, label: Tensor) -> Tensor:
    """Return the logits of classes (N,) minus the largest other ones, (N,), from logits (N, K)."""
    index = label.unsqueeze(1)
    return z.gather(1, index).squeeze(1) - z.scatter(1, index, -torch.inf).amax(1)


def anomaly(margins: ArrayLike) -> float:
    """Return -log of the p-value of the largest of values (K,), one a class, among the others.

    The others are fitted by a gamma distribution with a free origin, as in the authors' code. They
    are few and exclude the largest, so that the p-value is too small without an attack as well: the
    score ranks models, and is no evidence by itself.

    Raises:
        ValueError: K is below 4, or all values but the largest are the same.
    """
    values = np.sort(np.asarray(margins, dtype=np.float64))
    others: NDArray[np.float64] = values[:-1]
    if len(values) < MIN_CLASSES:
        raise ValueError(
            f"inspection needs {MIN_CLASSES} classes at least; the model has {len(values)}"
        )
    if not np.ptp(others) > 1e-12 * np.abs(others).max():
        raise ValueError("all classes but one have the same maximum margin: none is an outlier")
    with np.errstate(all="ignore"):
        above = gamma.sf(values[-1], *gamma.fit(others))
    p_value = -np.expm1(len(values) * np.log1p(-above))
    return float(-np.log(max(p_value, np.finfo(np.float64).tiny)))
