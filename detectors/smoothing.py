"""Randomized smoothing (Cohen, Rosenfeld & Kolter, ICML 2019): votes under noise as a score."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import ClassVar, Literal

import torch
from scipy.stats import binomtest, norm
from torch import Tensor, nn

from evil_twins.detectors.base import (
    DefenderView,
    Logits,
    confidence_change,
    images_per_pass,
    logits,
    normal_noise,
)

ABSTAIN = -1
"""Class of an undecided vote."""


def votes(model: nn.Module, x: Tensor, noise: Tensor) -> Tensor:
    """Count how often each class is the argmax of the model at x + noise, not clipped to [0, 1].

    Images (N, C, H, W) with noise (n, C, H, W) in pixel units get counts (N, K) int64 of sum n.
    """
    size, counts = images_per_pass(noise), []
    for batch in x.split(max(1, size // len(noise))):
        outputs = [
            logits(model, (batch.unsqueeze(1) + part).flatten(0, 1)) for part in noise.split(size)
        ]
        winners = torch.cat([z.argmax(1).view(len(batch), -1) for z in outputs], 1)
        counts.append(_count(winners, outputs[0].shape[1]))
    return torch.cat(counts)


def _count(winners: Tensor, classes: int) -> Tensor:
    counts = torch.zeros(len(winners), classes, dtype=torch.int64, device=winners.device)
    return counts.scatter_add_(1, winners, torch.ones_like(winners))


def gaussian(like: Tensor, sigma: float, count: int, generator: torch.Generator) -> Tensor:
    """Draw Gaussian noise (count, C, H, W) for an image like (C, H, W)."""
    shape = (count, *like.shape)
    draws = torch.randn(shape, generator=generator, device=generator.device, dtype=like.dtype)
    return sigma * draws.to(like.device)


def tune_sigma(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    candidates: Sequence[float],
    generator: torch.Generator,
    drop: float = 0.02,
    draws: int = 100,
) -> float:
    """Return the largest candidate that costs the smoothed classifier little on benign data.

    More noise shows more about an input, until the classifier fails on clean inputs too: it was not
    trained with noise. On images (N, C, H, W) of the development data with true labels (N,) the
    loss of accuracy against no noise is at most the share `drop`; without such a sigma it is `nan`.
    Each image has as many votes as `draws`, with the same noise for every candidate.
    """
    unit = gaussian(images[0], 1.0, draws, generator)

    def accuracy(noise: Tensor) -> float:
        return float((votes(model, images, noise).argmax(1) == labels).double().mean())

    noiseless = accuracy(torch.zeros_like(unit[:1]))
    accurate = [sigma for sigma in candidates if accuracy(sigma * unit) >= noiseless - drop]
    return max(accurate, default=nan)


@dataclass(frozen=True)
class Smoothing:
    """Score votes under noise; all inputs of a scorer have the same noise images.

    Attributes:
        statistic: "gap" scores p1 - p2, the shares of the votes of the first and the second class,
            in [0, 1]: as the paper has it (CCS 2020, § 4.4), a large gap is suspicious.
            "instability" scores 1 - (p - p'), p the share of the class that the model gives
            without noise and p' the largest other share, in [0, 2]: a small gap is suspicious, and
            a vote for another class more so. If both classes are the same it is 1 minus the gap.
        sigma: Standard deviation of the noise, in pixels of [0, 1]; see `tune_sigma`.
        draws: Votes of a score.
        choosing: Votes that choose the class of the certificate.
        counting: Votes that count it; 0 for no certificate.
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
        """Return a scorer with noise from the generator of the view."""
        noise = gaussian(view.benign[0], self.sigma, self.draws, view.generator)
        device = view.generator.device
        seed = int(torch.randint(2**62, (1,), generator=view.generator, device=device))
        return SmoothingScorer(self, view.model, noise, seed)

    def penalty(self, view: DefenderView) -> "SmoothingPenalty":
        """Return soft votes of noise that is drawn anew at every call."""
        return SmoothingPenalty(self.statistic, self.sigma)

    def certify(self, model: nn.Module, x: Tensor, generator: torch.Generator) -> tuple[int, float]:
        """Return the class of the smoothed classifier at x (C, H, W) and its certified l2 radius.

        In CERTIFY of Cohen et al. some draws choose the class, and new draws bound its probability
        from below (Clopper-Pearson, one-sided at level alpha). The radius is sigma times the normal
        quantile of the bound. It is too large with probability alpha at most. Class and radius are
        -1 and 0 if the bound is below 1/2.
        """
        batch = x.unsqueeze(0)
        noise = gaussian(x, self.sigma, self.choosing, generator)
        chosen = int(votes(model, batch, noise).argmax())
        noise = gaussian(x, self.sigma, self.counting, generator)
        counted = int(votes(model, batch, noise)[0, chosen])
        test = binomtest(counted, self.counting, alternative="greater")
        low = float(test.proportion_ci(1 - self.alpha, method="exact").low)
        return (chosen, self.sigma * float(norm.ppf(low))) if low >= 0.5 else (ABSTAIN, 0.0)


@dataclass(frozen=True)
class SmoothingPenalty:
    """Compute votes as softmax outputs, which have a gradient.

    Attributes:
        statistic: "gap" for log of the first share over the second; "instability" for log of the
            largest other share over that of the class without noise.
        sigma: Standard deviation of the noise, as of the detector.
        draws: Noisy copies at one call.
        sharpness: Factor of the logits: a larger one is closer to votes and has smaller gradients.
    """

    statistic: Literal["gap", "instability"]
    sigma: float
    draws: int = 16
    sharpness: float = 2.0

    def __call__(self, logits: Logits, x: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Return values (N, B) of images (N, B, C, H, W)."""
        noisy = x.unsqueeze(2) + self.sigma * normal_noise(x, self.draws, generators)
        each = logits(noisy.flatten(1, 2)).unflatten(1, (-1, self.draws))
        shares: Tensor = (self.sharpness * each).log_softmax(-1).logsumexp(2)
        if self.statistic == "gap":
            top = shares.topk(2, dim=-1).values
            return top[..., 0] - top[..., 1]
        label = logits(x).argmax(-1, keepdim=True)
        largest = shares.scatter(-1, label, -torch.inf).amax(-1)
        return largest - shares.gather(-1, label).squeeze(-1)


@dataclass(frozen=True)
class SmoothingScorer:
    """Score by votes under noise images (draws, C, H, W); the seed is that of each certificate."""

    parameters: Smoothing
    model: nn.Module
    noise: Tensor
    seed: int

    def __call__(self, x: Tensor) -> Tensor:
        """Return the scores (N,) float64 of images (N, C, H, W)."""
        shares = votes(self.model, x, self.noise).double() / len(self.noise)
        if self.parameters.statistic == "gap":
            top = shares.topk(2, dim=1).values
            return top[:, 0] - top[:, 1]
        label = logits(self.model, x).argmax(1, keepdim=True)
        largest = shares.scatter(1, label, -1).amax(1)
        return 1 - (shares.gather(1, label).squeeze(1) - largest)

    def details(self, x: Tensor) -> dict[str, Tensor]:
        """Return the change in confidence of the class of x under noise, and the certificate.

        The certificate is the smoothed class (-1 if it abstains) and its l2 radius (0 there).
        """
        p = self.parameters
        # Mean logits, which the paper's authors took, are no vote.
        blurred = torch.stack([logits(self.model, image + self.noise).mean(0) for image in x])
        facts = {"confidence_change": confidence_change(logits(self.model, x), blurred)}
        if p.counting:
            certificates = [
                p.certify(self.model, image, torch.Generator().manual_seed(self.seed))
                for image in x
            ]
            smoothed, radius = zip(*certificates, strict=True)
            facts["smoothed"] = torch.tensor(smoothed, dtype=torch.float64)
            facts["certified_radius"] = torch.tensor(radius, dtype=torch.float64)
        return facts
