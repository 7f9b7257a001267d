"""The class of a smoothed classifier, drawn for only as long as the answer is open.

PREDICT of Cohen, Rosenfeld & Kolter (ICML 2019) draws a fixed number of votes. Here the evidence is
a test martingale, which may be looked at after every draw (Ville, 1939; Ramdas et al., 2023).
"""

from math import log
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc, betaln
from torch import Tensor, nn

from detectors.smoothing import ABSTAIN, votes

LOT = 8
"""Votes at a time at first; a tenth of those drawn before where that is more."""


class Prediction(NamedTuple):
    """Classes (N,) int64, -1 where it abstains, and how many votes each took (N,) int64."""

    label: Tensor
    draws: Tensor


def evidence(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Log of the evidence that the first of two classes is the more probable one.

    The mean, over a uniform chance θ in (1/2, 1], of the likelihood ratio of θ against 1/2. If the
    first class is not the more probable one this is a supermartingale that starts at 1: it ever
    reaches 1/α with probability α at most, however often one looks.

    Args:
        first: Votes for it.
        second: Votes for the other.
    """
    a, b = np.asarray(first) + 1.0, np.asarray(second) + 1.0
    # P(θ > 1/2) = I_{1/2}(b, a) under Beta(a, b); the floor is below any evidence that matters.
    above = np.log(np.maximum(betainc(b, a, 0.5), 1e-300))
    found: NDArray[np.float64] = (a + b - 1) * log(2) + betaln(a, b) + above
    return found


def settled(counts: NDArray[np.int64], alpha: float) -> NDArray[np.bool_]:
    """Where the leading class is the class of the smoothed classifier, at error alpha.

    A wrong class must win against the right one, and there are K - 1 wrong ones: each has α/(K - 1)
    to spend. The runner-up is the hardest to beat.

    Args:
        counts: Votes (..., K) so far.
        alpha: Probability that a wrong class is ever settled.
    """
    top = np.sort(counts, axis=-1)[..., -2:]
    return evidence(top[..., 1], top[..., 0]) >= log((counts.shape[-1] - 1) / alpha)


def predict(
    model: nn.Module,
    x: Tensor,
    sigma: float,
    n: int,
    alpha: float,
    generator: torch.Generator,
) -> Prediction:
    """The class of the smoothed classifier at each image, with votes until it is settled.

    The guarantee is that of PREDICT: for each image the probability of a wrong class is alpha at
    most. It abstains where n votes do not settle it.

    Args:
        model: (N, C, H, W) -> logits (N, K), K at least 2.
        x: Images (N, C, H, W); all see the same noise.
        sigma: Standard deviation of the noise, in pixels of [0, 1].
        n: Votes at most.
        alpha: Probability of a wrong class.
        generator: Source of the noise.
    """
    label = torch.full((len(x),), ABSTAIN)
    draws, open_ = torch.zeros(len(x), dtype=torch.int64), torch.arange(len(x))
    counts: Tensor | None = None
    drawn = 0
    while len(open_) and drawn < n:
        lot = min(max(LOT, drawn // 10), n - drawn)
        shape = (lot, *x.shape[1:])
        noise = torch.randn(shape, generator=generator, device=generator.device, dtype=x.dtype)
        new = votes(model, x[open_.to(x.device)], sigma * noise.to(x.device)).cpu()
        counts = new if counts is None else counts + new
        drawn += lot
        draws[open_] = drawn
        sure = torch.from_numpy(settled(counts.numpy(), alpha))
        label[open_[sure]] = counts[sure].argmax(1)
        open_, counts = open_[~sure], counts[~sure]
    return Prediction(label, draws)
