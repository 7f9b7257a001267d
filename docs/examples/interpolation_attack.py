"""An attack without gradients: towards the nearest benign image of the goal class.

It is the start of the boundary attack (Brendel, Rauber & Bethge, ICLR 2018).
Use: evil-twins compare "docs/examples/interpolation_attack.py:Interpolation(kappa=0.75)"
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from evil_twins.attacks.base import Attacked, AttackerView, Kappa, Nature
from evil_twins.attacks.efficacy import Level, equalise, margin, measured, validate


@dataclass(frozen=True)
class Interpolation:
    """Mix each input with an image of its goal class, just as far as κ needs.

    Attributes:
        kappa: The required confidence in the goal class; "benign": that of a benign image.
    """

    kappa: Kappa

    def __post_init__(self) -> None:
        validate(self.kappa)

    @property
    def nature(self) -> Nature:
        """It moves inputs, by any distance in l2."""
        return Nature("inputs", norm="l2")

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every target of the view."""
        level = Level.of(view, self.kappa)  # the log-odds that each target needs
        aims = enumerate(level.least.tolist())
        ends = torch.stack([self.end(view, i, aim) for i, aim in aims])
        x, models = equalise(level, view.targets, ends, view.unchanged_models())
        return measured(view, x, models, passes=0, rounds=1, level=level)

    def end(self, view: AttackerView, i: int, aim: float) -> Tensor:
        """Return the nearest image of the reference to which the victim gives the goal at κ."""
        reference, x, goal = view.reference, view.targets.x[i], view.targets.goal[i]
        with torch.no_grad():
            g = margin(view.victim.head(reference.features), goal.expand(len(reference)))
        distance = (reference.x - x).flatten(1).norm(dim=1)
        distance[g < min(aim, float(g.max()))] = torch.inf
        return reference.x[distance.argmin()]
