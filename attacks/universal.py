"""Universal perturbation (Moosavi-Dezfooli et al., CVPR 2017): the smallest trigger that works."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from evil_twins.attacks.base import Attacked, AttackerView, Nature
from evil_twins.attacks.stamps import Stamp
from evil_twins.attacks.steps.pace import falling
from evil_twins.attacks.steps.radius import Smallest
from evil_twins.attacks.steps.trigger import TriggerStep, TriggerWalk
from evil_twins.attacks.trigger_loop import carry, goals_of, nature, validate


@dataclass(frozen=True)
class Universal:
    """Trigger only: the smallest ‖p‖∞ at which a share of .95 of the inputs get t from the victim.

    The search is that of PGD for one input, with a batch of images in each step.

    Attributes:
        trigger: The step.
        rounds: Rounds of the loop.
        serves: Targets that carry one trigger; they follow each other and have one goal.
    """

    trigger: TriggerStep
    rounds: int = 100
    serves: int = 1
    kappa: ClassVar[None] = None

    def __post_init__(self) -> None:
        validate(self.rounds, self.serves)
        if self.trigger.steps < 1:
            raise ValueError("universal needs a trigger with steps >= 1")

    @property
    def nature(self) -> Nature:
        """The properties of the attack with these parameters."""
        return nature(None, self.serves, 1.0, self.trigger.eps)

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every group of targets."""
        goals = goals_of(view, self.serves)
        stamp = Stamp.additive(torch.zeros_like(goals.targets.x))
        walk = TriggerWalk(self.trigger, goals, stamp, rule=Smallest())
        return carry(view, self.serves, falling(self.rounds), walk, None)
