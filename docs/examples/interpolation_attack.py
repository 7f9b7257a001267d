"""An attack without gradients: towards the nearest benign image of the goal class.

It is the start of the boundary attack (Brendel, Rauber & Bethge, ICLR 2018).
Use: evil-twins compare "docs/examples/interpolation_attack.py:Interpolation(kappa=0.75)"
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from evil_twins.attacks.base import Attacked, AttackerView, Nature
from evil_twins.attacks.efficacy import equalise, measured, validate


@dataclass(frozen=True)
class Interpolation:
    """Mix each input with an image of its goal class, just as far as κ needs.

    Attributes:
        kappa: The required confidence in the goal class.
    """

    kappa: float

    def __post_init__(self) -> None:
        validate(self.kappa)

    @property
    def nature(self) -> Nature:
        """It moves inputs, by any distance in l2."""
        return Nature("inputs", norm="l2")

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every target of the view."""
        ends = torch.stack([self.end(view, i) for i in range(len(view.targets))])
        victims = view.unchanged_models()
        x, models = equalise(self.kappa, view.targets, ends, victims)  # all at equal confidence
        return measured(view, x, models, passes=0, rounds=1, kappa=self.kappa)

    def end(self, view: AttackerView, i: int) -> Tensor:
        """Return the nearest image of the reference to which the victim gives the goal at κ."""
        reference, x, goal = view.reference, view.targets.x[i], view.targets.goal[i]
        with torch.no_grad():
            f = view.victim.head(reference.features).softmax(1)[:, goal]
        distance = (reference.x - x).flatten(1).norm(dim=1)
        distance[f < min(self.kappa, float(f.max()))] = torch.inf
        return reference.x[distance.argmin()]
