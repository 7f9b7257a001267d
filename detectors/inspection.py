"""MM-BD (Wang et al., S&P 2024, arXiv 2205.06900): does one class of a model stand out?

A backdoor lets its goal class win by an unusually large margin somewhere. The score belongs to a
model and not to an input. What it is worth shows beside those of models known to be free of poison,
at least 40 honest fine-tunes of the same victim (in a suite the rows of `fine-tuning`). They tell a
model that was tampered with from one that was tuned, not from one that was trained elsewhere.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.stats import gamma
from torch import Tensor, nn

from evil_twins.detectors.base import DefenderView, batches

LEAST = 4
"""Classes of a model that can be inspected: the others must show how they are spread."""


@dataclass(frozen=True)
class Inspection:
    """How far the largest of the classes' maximum margins stands out, for one model.

    Attributes:
        starts: Random images from which each class climbs, the same for all classes.
        steps: Of gradient ascent; where the paper stops at the first step of little gain, all are
            taken.
        rate: Length of a step per unit of the gradient.
    """

    starts: int = 30
    steps: int = 300
    rate: float = 0.01
    knowledge: ClassVar[str] = "K0"
    preparation: ClassVar[None] = None

    def __post_init__(self) -> None:
        if not (self.starts >= 1 and self.steps >= 1 and self.rate > 0):
            raise ValueError("inspection needs starts >= 1, steps >= 1 and rate > 0")

    def inspect(self, view: DefenderView) -> float:
        """The score of the faced model, higher = more suspicious, at least 0.

        Of the clean images only the size is looked at.

        Raises:
            ValueError: The model has too few classes, or equal margins for all but one.
        """
        found = self.margins(view.model, view.benign[0], view.generator)
        return anomaly(found.cpu().numpy())

    def margins(self, model: nn.Module, like: Tensor, generator: torch.Generator) -> Tensor:
        """The largest margin of each class over the others that was found, (K,) float64."""
        shape = (self.starts, *like.shape)
        draws = torch.rand(shape, generator=generator, device=generator.device, dtype=like.dtype)
        start = draws.to(like.device)
        with torch.no_grad():
            classes = model(start[:1]).shape[1]
        every = start.repeat(classes, *[1] * like.dim())
        label = torch.arange(classes, device=like.device).repeat_interleave(self.starts)
        lots = [lot.contiguous() for lot in batches(every)]
        owners = label.split([len(lot) for lot in lots])
        found = [self._climb(model, *pair) for pair in zip(lots, owners, strict=True)]
        return torch.cat(found).view(classes, self.starts).amax(1)

    def _climb(self, model: nn.Module, x: Tensor, label: Tensor) -> Tensor:
        """The largest margins of classes (N,) on the way from images (N, C, H, W), (N,) float64."""
        best = x.new_full((len(x),), -torch.inf, dtype=torch.float64)
        for _ in range(self.steps):
            leaf = x.detach().requires_grad_()
            lead = leads(model(leaf), label)
            best = torch.maximum(best, lead.detach().double())
            (uphill,) = torch.autograd.grad(lead.sum(), leaf)
            x = (x + self.rate * uphill).clamp(0, 1)
        with torch.no_grad():
            return torch.maximum(best, leads(model(x), label).double())


def leads(z: Tensor, label: Tensor) -> Tensor:
    """How far the logits (N, K) of classes (N,) lie above the largest of the others, (N,)."""
    own = label.unsqueeze(1)
    return z.gather(1, own).squeeze(1) - z.scatter(1, own, -torch.inf).amax(1)


def anomaly(margins: ArrayLike) -> float:
    """-log of the chance that the largest of K values is so large if it is one of the others' kind.

    The others are fitted by a gamma distribution with a free origin, as in the authors' code. They
    are few and leave out the largest, so that the chance is too small under no attack as well: the
    score ranks models, and is no evidence by itself.

    Args:
        margins: (K,) one value a class.

    Raises:
        ValueError: K is below 4, or all values but the largest are the same.
    """
    values = np.sort(np.asarray(margins, dtype=np.float64))
    others: NDArray[np.float64] = values[:-1]
    if len(values) < LEAST:
        raise ValueError(f"inspection needs {LEAST} classes at least; the model has {len(values)}")
    if not np.ptp(others) > 1e-12 * np.abs(others).max():
        raise ValueError("all classes but one have the same maximum margin: nothing can stand out")
    with np.errstate(all="ignore"):
        above = gamma.sf(values[-1], *gamma.fit(others))
    chance = -np.expm1(len(values) * np.log1p(-above))
    return float(-np.log(max(chance, np.finfo(np.float64).tiny)))
