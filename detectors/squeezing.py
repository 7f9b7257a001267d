"""Feature squeezing (Xu, Evans & Qi, NDSS 2018): does the answer outlive a coarser input?"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from scipy.ndimage import median_filter
from torch import Tensor

from evil_twins.detectors.base import DefenderView, Scorer, logits


@dataclass(frozen=True)
class Squeezing:
    """The largest L1 distance, in [0, 2], between the softmax at x and at a squeezed x.

    Two squeezers: fewer bits of colour, and the median of a square of neighbouring pixels. The
    paper's third, non-local means, is in none of the libraries that this package uses.

    Attributes:
        bits: Bits of a squeezed pixel, at least 1; the paper takes 5 for colour images.
        window: Side of the square in pixels, at least 2, as the paper has it.
    """

    bits: int = 5
    window: int = 2
    knowledge: ClassVar[str] = "K0"
    preparation: ClassVar[None] = None

    def __post_init__(self) -> None:
        if self.bits < 1 or self.window < 2:
            raise ValueError("squeezing needs bits >= 1 and window >= 2")

    def fit(self, view: DefenderView) -> Scorer:
        """Return a scorer with three passes of the faced model."""

        def score(x: Tensor) -> Tensor:
            output = logits(view.model, x).softmax(1)
            squeezed = (coarser(x, self.bits), smoother(x, self.window))
            changes = [(output - logits(view.model, y).softmax(1)).abs().sum(1) for y in squeezed]
            return torch.stack(changes).amax(0)

        return score


def coarser(x: Tensor, bits: int) -> Tensor:
    """Round images (N, C, H, W) to the nearest of 2^bits equidistant levels in [0, 1]."""
    steps = float(2**bits - 1)
    return (x * steps).round() / steps


def smoother(x: Tensor, window: int) -> Tensor:
    """Replace pixels of images (N, C, H, W) by the median of a square, mirrored at the edges.

    If the side is even, the pixel is the lower right one of the four in the middle, and the median
    is the larger of the two middle values.
    """
    pixels = x.detach().cpu().numpy()
    medians = median_filter(pixels, size=(1, 1, window, window), mode="reflect")
    return torch.from_numpy(medians).to(x)
