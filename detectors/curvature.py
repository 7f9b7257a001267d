"""Curvature profile: eigenvalues of the input Hessian (Moosavi-Dezfooli et al., CVPR 2019)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from scipy.stats import theilslopes
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from evil_twins.detectors.base import (
    DefenderView,
    Logits,
    RobustScale,
    Scorer,
    drawn,
    logits,
    margin,
)
from evil_twins.detectors.spectrum.hessian import locally_linear, top_eigenvalues

__all__ = ["Curvature", "top_eigenvalues"]


@dataclass(frozen=True)
class Curvature:
    """Mean magnitude of the k largest eigenvalues (Evil Twins, CCS 2020, § 4.4).

    H vanishes as confidence saturates, so the raw profile largely reads confidence. With `adjust`
    the score is a robust z-score of log(profile / p(1 - p)) around its line on the logit of p among
    benign inputs, p the largest softmax output. The division takes out what is known in closed form
    (H = p(1 - p)∇g∇gᵀ for two classes of margin g), the line (Theil-Sen) what is left: benign
    inputs as unsure as attacked ones are few, and a comparison with the nearest in confidence would
    be one with surer ones. A z-score has no largest value; a rank among benign inputs would.

    Attributes:
        k: How many eigenvalues; beyond K - 1 they are 0 on piecewise linear networks.
        adjust: Whether confidence is taken out, with the help of clean data.
        tolerance: Share of the profile that may be lost where there are many classes, as in
            `top_eigenvalues`; 0 for all of it.
        benign: Images of the clean data that serve for it, the first ones; all, if there are fewer.
    """

    k: int = 5
    adjust: bool = False
    tolerance: float = 1e-3
    benign: int = 1000
    preparation: ClassVar[None] = None

    @property
    def knowledge(self) -> str:
        """K0, or K1 with `adjust`."""
        return "K1" if self.adjust else "K0"

    def fit(self, view: DefenderView) -> Scorer:
        """A scorer; with `adjust` it profiles the benign images under the faced model."""
        profile = Profile(view.model, self.k, self.tolerance)
        return Adjusted.to(profile, view.benign[: self.benign]) if self.adjust else profile

    def penalty(self, view: DefenderView) -> "CurvaturePenalty":
        """The trace of H by finite differences; with `adjust` off the line under the victim."""
        found = self.fit(view)
        return CurvaturePenalty(found.slope if isinstance(found, Adjusted) else None)


@dataclass(frozen=True)
class Profile:
    """The raw profile under one model.

    Attributes:
        model: The faced model.
        k: How many eigenvalues.
        tolerance: As of `Curvature`.
    """

    model: nn.Module
    k: int
    tolerance: float = 0.0

    def __call__(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) -> mean magnitude of the k largest eigenvalues, (N,) float64."""
        return top_eigenvalues(self.model, x, self.k, self.tolerance).abs().mean(1)

    def details(self, x: Tensor) -> dict[str, Tensor]:
        """Whether the closed form was taken, as 0 or 1."""
        return {"exact": locally_linear(self.model, x).double()}

    def steepness(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Log of profile / p(1 - p), and the logit of p, the largest softmax output, both (N,)."""
        confidence = margin(logits(self.model, x))
        known = logsigmoid(confidence) + logsigmoid(-confidence)
        floor = torch.finfo(torch.float64).tiny
        return self(x).clamp_min(floor).log() - known, confidence


@dataclass(frozen=True)
class Adjusted:
    """The profile of an input against what benign inputs of its confidence would have.

    Attributes:
        profile: The raw profile.
        slope: Of the line of benign steepness on confidence.
        scale: Of the distances from a line of that slope through the origin.
    """

    profile: Profile
    slope: float
    scale: RobustScale

    @classmethod
    def to(cls, profile: Profile, benign: Tensor) -> "Adjusted":
        """The profile, adjusted to benign images (M, C, H, W)."""
        steepness, confidence = profile.steepness(benign)
        slope = float(theilslopes(steepness.cpu().numpy(), confidence.cpu().numpy()).slope)
        return cls(profile, slope, RobustScale.of(steepness - slope * confidence))

    def __call__(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) -> robust z-scores (N,) float64."""
        steepness, confidence = self.profile.steepness(x)
        return self.scale.z(steepness - self.slope * confidence)

    def details(self, x: Tensor) -> dict[str, Tensor]:
        """Whether the closed form was taken, as 0 or 1."""
        return self.profile.details(x)


@dataclass(frozen=True)
class CurvaturePenalty:
    """log tr H, H = Jᵀ(diag p - ppᵀ)J, by central differences along random directions.

    The trace is what the largest eigenvalues sum to, and a little. Between the kinks of a piecewise
    linear network J does not depend on x: its exact derivatives would let an attacker move p alone.
    Differences over a pixel's step or more see the kinks.

    Attributes:
        slope: Of the line on confidence that is taken out, or None: of the raw profile.
        step: h, in pixels of [0, 1], at least 1/255.
        draws: Directions at one call, ±1 in every pixel.
    """

    slope: float | None
    step: float = 4 / 255
    draws: int = 16

    def __call__(self, logits: Logits, x: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Values (N, B) of images (N, B, C, H, W)."""
        away = self.step * drawn(x, self.draws, generators).sign()
        middle = x.unsqueeze(2)
        both = logits(torch.cat([middle + away, middle - away], 2).flatten(1, 2))
        ahead, behind = both.unflatten(1, (-1, 2, self.draws)).unbind(2)
        change = (ahead - behind) / (2 * self.step)
        z = logits(x)
        p = z.softmax(-1).unsqueeze(2)
        mean = (p * change).sum(-1, keepdim=True)
        trace = (p * (change - mean).square()).sum(-1).mean(2)
        value: Tensor = trace.clamp_min(torch.finfo(trace.dtype).tiny).log()
        if self.slope is not None:
            confidence = margin(z)
            known = logsigmoid(confidence) + logsigmoid(-confidence)
            value = value - known - self.slope * confidence
        return value
