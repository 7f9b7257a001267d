"""PGD on another model than the victim: what an attacker reaches who cannot see the victim's θ°."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from evil_twins.attacks.base import Attacked, AttackerView, Nature
from evil_twins.attacks.efficacy import equalise, refuse
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.steps.best import Best, margins
from evil_twins.attacks.steps.input import InputStep, InputWalk
from evil_twins.attacks.steps.radius import Fixed


@dataclass(frozen=True)
class TransferredPGD:
    """Input only: the surest input for a surrogate within F_ε(x°), ended at κ on the victim.

    The surrogate is the victim's recipe with another seed (Papernot et al., 2016). The victim is
    asked for nothing but confidences along the line from x° to that input, to end where it reaches
    κ; a target for which the whole of the line does not suffice keeps that input.

    Attributes:
        input: The input step, with ε as the radius: the larger, the surer the transfer and the
            farther the input.
        kappa: The required efficacy, on the victim.
        rounds: Rounds of input steps.
    """

    input: InputStep
    kappa: float
    rounds: int = 100

    def __post_init__(self) -> None:
        refuse(self.kappa, self.rounds)

    @property
    def nature(self) -> Nature:
        """What it moves and how far, and what it needs."""
        return Nature("inputs", norm=self.input.norm, eps=self.input.eps, surrogate=True)

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every target; the faced models are the victim itself.

        Raises:
            ValueError: If the view holds no surrogate.
        """
        if view.surrogate is None:
            raise ValueError("a transferred attack needs a second model in view.surrogate")
        targets, n = view.targets, len(view.targets)
        own = PairedModels(view.surrogate, n, {})
        radius = targets.x.new_full((n,), self.input.eps)
        walk, best = InputWalk(self.input, Fixed(), view, radius), Best(targets.x, own)
        every, free = torch.arange(n, device=radius.device), torch.zeros_like(radius)
        for k in range(self.rounds):
            pace = (1 + math.cos(math.pi * k / self.rounds)) / 2
            for _ in range(self.input.steps):
                before = walk.x.clone()
                g = walk.advance(own, every, math.inf, math.inf, pace, free)
                best.offer(g, before, own)
        with torch.no_grad():
            best.offer(margins(own, walk.x, targets.goal), walk.x, own)
        faced, line = PairedModels(view.victim, n, {}), self.input.line
        x, models = equalise(self.kappa, targets, best.x, faced, line=line)
        with torch.no_grad():
            confidence = models.confidence(x, targets.goal)
        rounds = torch.where(confidence >= self.kappa, self.rounds, -1)
        return Attacked(x, models, confidence, rounds, walk.passes + 1)
