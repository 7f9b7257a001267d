"""Randomized smoothing (Cohen, Rosenfeld & Kolter, ICML 2019), and what its votes give away."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import ClassVar, Literal

import torch
from scipy.stats import binomtest, norm
from torch import Tensor, nn

from evil_twins.detectors.base import (
    PIXELS,
    DefenderView,
    Logits,
    batches,
    drawn,
    gained,
    logits,
)

ABSTAIN = -1
"""Stands for a class where the votes decide none."""


def votes(model: nn.Module, x: Tensor, noise: Tensor) -> Tensor:
    """How often each class is the argmax of the model at x + noise, not clipped to [0, 1].

    Args:
        model: (N, C, H, W) -> logits (N, K).
        x: Images (N, C, H, W).
        noise: Images (n, C, H, W) added to each of them, in pixel units.

    Returns:
        Counts (N, K) int64, each row of sum n.
    """
    count = noise.shape[0]
    found = []
    for lot in batches(x, max(1, PIXELS // count)):
        winners = [
            logits(model, (lot.unsqueeze(1) + some).flatten(0, 1))
            for some in noise.split(max(1, PIXELS // lot[0].numel()))
        ]
        each = [z.argmax(1).view(len(lot), -1) for z in winners]
        found.append(_count(torch.cat(each, 1), winners[0].shape[1]))
    return torch.cat(found)


def _count(winners: Tensor, classes: int) -> Tensor:
    """Classes (N, n) -> how often each occurs in a row, (N, K)."""
    counts = torch.zeros(len(winners), classes, dtype=torch.int64, device=winners.device)
    return counts.scatter_add_(1, winners, torch.ones_like(winners))


def gaussian(like: Tensor, sigma: float, count: int, generator: torch.Generator) -> Tensor:
    """Gaussian noise (count, C, H, W) for an image like (C, H, W), drawn where the generator is."""
    shape = (count, *like.shape)
    draws = torch.randn(shape, generator=generator, device=generator.device, dtype=like.dtype)
    return sigma * draws.to(like.device)


def certify(
    model: nn.Module,
    x: Tensor,
    sigma: float,
    n0: int,
    n: int,
    alpha: float,
    generator: torch.Generator,
) -> tuple[int, float]:
    """The class of the smoothed classifier at x and the l2 radius on which it is sure to hold.

    CERTIFY of Cohen et al.: n0 draws choose the class, n fresh draws bound its probability from
    below (Clopper-Pearson, one-sided at level alpha); the radius is sigma times the normal quantile
    of the bound. It is too large with probability alpha at most.

    Args:
        model: (N, C, H, W) -> logits (N, K).
        x: One image (C, H, W).
        sigma: Standard deviation of the noise, in pixels of [0, 1].
        n0: Draws that choose the class.
        n: Draws that count it.
        alpha: Probability of error.
        generator: Source of the noise.

    Returns:
        Class and radius; -1 and 0 where the bound is below 1/2.
    """
    batch = x.unsqueeze(0)
    chosen = int(votes(model, batch, gaussian(x, sigma, n0, generator)).argmax())
    counted = int(votes(model, batch, gaussian(x, sigma, n, generator))[0, chosen])
    test = binomtest(counted, n, alternative="greater")
    low = float(test.proportion_ci(1 - alpha, method="exact").low)
    return (chosen, sigma * float(norm.ppf(low))) if low >= 0.5 else (ABSTAIN, 0.0)


def tune_sigma(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    candidates: Sequence[float],
    generator: torch.Generator,
    drop: float = 0.02,
    draws: int = 100,
) -> float:
    """The largest sigma that costs the smoothed classifier little on benign development data.

    More noise tells more about an input, until the classifier, which was not trained with noise,
    fails on clean inputs too.

    Args:
        model: The victim.
        images: Benign (N, C, H, W), of neither the calibration nor the targets.
        labels: True labels (N,).
        candidates: Values of sigma to choose from.
        generator: Source of the noise, the same draws for every candidate.
        drop: Accuracy, as a share, that may be lost against no noise.
        draws: Votes per image.

    Returns:
        The largest candidate within `drop`; `nan` if there is none.
    """
    unit = gaussian(images[0], 1.0, draws, generator)

    def right(noise: Tensor) -> float:
        return float((votes(model, images, noise).argmax(1) == labels).double().mean())

    plain = right(torch.zeros_like(unit[:1]))
    kept = [sigma for sigma in candidates if right(sigma * unit) >= plain - drop]
    return max(kept, default=nan)


@dataclass(frozen=True)
class Smoothing:
    """Votes under noise; one set of noise images serves all inputs of a scorer.

    Attributes:
        statistic: "gap" scores p1 - p2, the shares of the votes of the first and the second class,
            in [0, 1]: as the paper has it (CCS 2020, § 4.4), a large gap is suspicious.
            "instability" scores 1 - (p - p'), p the share of the class that the model gives
            without noise and p' the largest other share, in [0, 2]: a small gap is suspicious, and
            a vote against the model's own class more so. Where they agree it is 1 minus the gap.
        sigma: Standard deviation of the noise, in pixels of [0, 1]; see `tune_sigma`.
        draws: Votes behind a score.
        choosing: Votes that choose the class to be certified.
        counting: Votes that count it; with 0 nothing is certified.
        alpha: Probability that a certified radius is too large.
    """

    statistic: Literal["gap", "instability"] = "instability"
    sigma: float = 0.1
    draws: int = 100
    choosing: int = 100
    counting: int = 1000
    alpha: float = 0.001
    knowledge: ClassVar[str] = "K0"
    preparation: ClassVar[None] = None

    def fit(self, view: DefenderView) -> "SmoothingScorer":
        """A scorer with its own noise."""
        noise = gaussian(view.benign[0], self.sigma, self.draws, view.generator)
        where = view.generator.device
        seed = int(torch.randint(2**62, (1,), generator=view.generator, device=where))
        return SmoothingScorer(self, view.model, noise, seed)

    def penalty(self, view: DefenderView) -> "SmoothingPenalty":
        """Softened votes of noise drawn anew at every call."""
        return SmoothingPenalty(self.statistic, self.sigma)


@dataclass(frozen=True)
class SmoothingPenalty:
    """Votes as softmax outputs, which have a gradient where counts have none.

    Attributes:
        statistic: "gap": log of the first share over the second; "instability": log of the largest
            other share over that of the class without noise.
        sigma: Of the detector.
        draws: Noisy copies at one call.
        sharpness: Factor of the logits: the larger, the closer to votes, and the more seldom felt.
    """

    statistic: Literal["gap", "instability"]
    sigma: float
    draws: int = 16
    sharpness: float = 2.0

    def __call__(self, logits: Logits, x: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Values (N, B) of images (N, B, C, H, W)."""
        noisy = x.unsqueeze(2) + self.sigma * drawn(x, self.draws, generators)
        each = logits(noisy.flatten(1, 2)).unflatten(1, (-1, self.draws))
        shares = (self.sharpness * each).log_softmax(-1).logsumexp(2)
        if self.statistic == "gap":
            top = shares.topk(2, dim=-1).values
            value: Tensor = top[..., 0] - top[..., 1]
        else:
            own = logits(x).argmax(-1, keepdim=True)
            others = shares.scatter(-1, own, -torch.inf).amax(-1)
            value = others - shares.gather(-1, own).squeeze(-1)
        return value


@dataclass(frozen=True)
class SmoothingScorer:
    """Scores by votes.

    Attributes:
        parameters: Of the detector.
        model: The faced model.
        noise: (draws, C, H, W).
        seed: Of the noise with which each input is certified.
    """

    parameters: Smoothing
    model: nn.Module
    noise: Tensor
    seed: int

    def __call__(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) -> scores (N,) float64."""
        shares = votes(self.model, x, self.noise).double() / len(self.noise)
        if self.parameters.statistic == "gap":
            top = shares.topk(2, dim=1).values
            return top[:, 0] - top[:, 1]
        own = logits(self.model, x).argmax(1, keepdim=True)
        others = shares.scatter(1, own, -1).amax(1)
        return 1 - (shares.gather(1, own).squeeze(1) - others)

    def details(self, x: Tensor) -> dict[str, Tensor]:
        """What the class of x loses in confidence under noise, and what is certified, if asked for.

        That is the smoothed class (-1 where it abstains) and its l2 radius (0 there).
        """
        mine = self.parameters
        # Mean logits, which the paper's authors took, are no vote.
        blurred = torch.stack([logits(self.model, image + self.noise).mean(0) for image in x])
        change = gained(logits(self.model, x), blurred)
        if not mine.counting:
            return {"confidence_change": change}
        found = [
            certify(
                self.model,
                image,
                mine.sigma,
                mine.choosing,
                mine.counting,
                mine.alpha,
                torch.Generator().manual_seed(self.seed),
            )
            for image in x
        ]
        smoothed, radius = zip(*found, strict=True)
        return {
            "confidence_change": change,
            "smoothed": torch.tensor(smoothed, dtype=torch.float64),
            "certified_radius": torch.tensor(radius, dtype=torch.float64),
        }
