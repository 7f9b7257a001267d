"""Disagreement of independently trained models (Monteiro et al., Bi-model mismatch, SMC 2019)."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from evil_twins.detectors.base import DefenderView, Scorer, logits


@dataclass(frozen=True)
class Disagreement:
    """Score KL(trusted ‖ faced) of the softmax outputs at x, in nats, at least 0.

    The paper trains a classifier of both outputs on attacked inputs, which no detector sees here.
    An attacker keeps the model intact by the same measure. With the victim the score is the part of
    x in the specificity loss. Unlike the Jensen-Shannon divergence it has no upper bound, and it is
    exactly 0 where the outputs are the same.

    Attributes:
        trusted: "independent" for a model of the victim's architecture and training from another
            seed; "victim" for the victim itself. An attack only on the input has the score 0
            there.
    """

    trusted: Literal["independent", "victim"] = "independent"
    preparation: ClassVar[None] = None

    @property
    def knowledge(self) -> str:
        """K2, or K3 with the victim."""
        return "K3" if self.trusted == "victim" else "K2"

    def fit(self, view: DefenderView) -> Scorer:
        """Return a scorer that compares both models.

        Raises:
            ValueError: The view holds no trusted model.
        """
        faced, trusted = view.model, view.trusted
        if trusted is None:
            raise ValueError("disagreement needs a trusted model: DefenderView.trusted is None")

        def score(x: Tensor) -> Tensor:
            p, q = (logits(model, x).log_softmax(1) for model in (trusted, faced))
            return (p.exp() * (p - q)).sum(1).clamp_min(0)

        return score
