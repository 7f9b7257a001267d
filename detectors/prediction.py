"""The class of a smoothed classifier, and whether it holds within a radius, by as few votes.

PREDICT and CERTIFY of Cohen, Rosenfeld & Kolter (ICML 2019) draw a fixed number of votes. Here the
evidence is a test martingale, which may be looked at after every draw (Ville, 1939; Ramdas et al.,
2023), and drawing ends with the answer.
"""

from collections.abc import Callable, Iterator
from math import log, log1p
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc, betaln
from scipy.stats import norm
from torch import Tensor, nn

from evil_twins.detectors.smoothing import ABSTAIN, gaussian, votes

LOT = 8
"""Votes at a time at first; a tenth of those drawn before where that is more."""


class Prediction(NamedTuple):
    """Classes (N,) int64, -1 where it abstains, and how many votes each took (N,) int64."""

    label: Tensor
    draws: Tensor


def evidence(first: ArrayLike, second: ArrayLike, than: float = 0.5) -> NDArray[np.float64]:
    """Log of the evidence that the first of two outcomes is more probable than `than`.

    The mean, over a uniform chance θ in (than, 1], of the likelihood ratio of θ against `than`. If
    the first outcome is not more probable this is a supermartingale that starts at 1: it ever
    reaches 1/α with probability α at most, however often one looks.

    Args:
        first: Votes for it.
        second: Votes for the other.
        than: In (0, 1).
    """
    first, second = np.asarray(first), np.asarray(second)
    # P(θ > p) = I_{1-p}(b + 1, a + 1) under Beta(a + 1, b + 1); 0 where it is below all floats.
    with np.errstate(divide="ignore"):
        above = np.log(betainc(second + 1.0, first + 1.0, 1 - than))
    against = first * log(than) + (second + 1.0) * log1p(-than)
    found: NDArray[np.float64] = betaln(first + 1.0, second + 1.0) + above - against
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

    def decide(counts: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        return counts.argmax(1), torch.from_numpy(settled(counts.numpy(), alpha))

    return _drawn(model, x, sigma, n, generator, decide)


def certify_within(
    model: nn.Module,
    x: Tensor,
    sigma: float,
    radius: float,
    n0: int,
    n: int,
    alpha: float,
    generator: torch.Generator,
) -> Prediction:
    """The class of the smoothed classifier at each image, where it holds within an l2 radius.

    The guarantee is that of CERTIFY at this radius: n0 votes choose a class, and fresh ones show
    that its probability is above Φ(radius / sigma), so that no input nearer than `radius` is
    classified otherwise; for each image this is wrong with probability alpha at most. It abstains
    as soon as the opposite is shown, and where n votes show neither.

    Args:
        model: (N, C, H, W) -> logits (N, K), K at least 2.
        x: Images (N, C, H, W); all see the same noise.
        sigma: Standard deviation of the noise, in pixels of [0, 1].
        radius: In pixels, at least 0.
        n0: Votes that choose the class.
        n: Votes that count it, at most.
        alpha: Probability of error.
        generator: Source of the noise.

    Raises:
        ValueError: The radius is negative, or sigma not positive.
    """
    if not (radius >= 0 and sigma > 0):
        raise ValueError(f"expected radius >= 0 and sigma > 0, got {radius} and {sigma}")
    chosen = votes(model, x, gaussian(x[0], sigma, n0, generator)).argmax(1).cpu()
    # Short of 1, where the evidence is not defined; no number of votes could tell them apart.
    than = min(float(norm.cdf(radius / sigma)), 1 - 1e-15)

    def decide(counts: Tensor, open_: Tensor) -> tuple[Tensor, Tensor]:
        label = chosen[open_]
        own = counts.gather(1, label.unsqueeze(1)).squeeze(1).numpy()
        others = counts.sum(1).numpy() - own
        holds = evidence(own, others, than) >= -log(alpha)
        fails = evidence(others, own, 1 - than) >= -log(alpha)
        label = torch.where(torch.from_numpy(holds), label, ABSTAIN)
        return label, torch.from_numpy(holds | fails)

    found = _drawn(model, x, sigma, n, generator, decide)
    return Prediction(found.label, n0 + found.draws)


def _drawn(
    model: nn.Module,
    x: Tensor,
    sigma: float,
    n: int,
    generator: torch.Generator,
    decide: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
) -> Prediction:
    """Votes until `decide`, from counts (n, K) of the images (n,), has a label for each, or n."""
    label = torch.full((len(x),), ABSTAIN)
    draws, open_ = torch.zeros(len(x), dtype=torch.int64), torch.arange(len(x))
    counts: Tensor | None = None
    for lot, drawn in _lots(n):
        noise = gaussian(x[0], sigma, lot, generator)
        new = votes(model, x[open_.to(x.device)], noise).cpu()
        counts = new if counts is None else counts + new
        draws[open_] = drawn
        found, sure = decide(counts, open_)
        label[open_[sure]] = found[sure]
        open_, counts = open_[~sure], counts[~sure]
        if not len(open_):
            break
    return Prediction(label, draws)


def _lots(n: int) -> Iterator[tuple[int, int]]:
    """Sizes of lots, and how many votes there are with each, up to n."""
    drawn = 0
    while drawn < n:
        lot = min(max(LOT, drawn // 10), n - drawn)
        drawn += lot
        yield lot, drawn
