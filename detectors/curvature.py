"""Curvature profile: eigenvalues of the input Hessian (Moosavi-Dezfooli et al., CVPR 2019)."""

from dataclasses import dataclass

import torch
from scipy.stats import theilslopes
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from detectors.base import DefenderView, Preparation, RobustScale, Scorer, logits, margin
from detectors.hessian import locally_linear, top_eigenvalues

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

    @property
    def knowledge(self) -> str:
        """K0, or K1 with `adjust`."""
        return "K1" if self.adjust else "K0"

    @property
    def preparation(self) -> Preparation | None:
        """None: nothing is trained."""
        return None

    def fit(self, view: DefenderView) -> Scorer:
        """A scorer; with `adjust` it profiles the benign images under the faced model."""
        profile = Profile(view.model, self.k, self.tolerance)
        return Adjusted.to(profile, view.benign[: self.benign]) if self.adjust else profile


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
