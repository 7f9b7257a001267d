"""A backdoor by weight edits: a fixed trigger, and the model bent to obey it (CCS 2020, § 5)."""

from dataclasses import dataclass
from typing import ClassVar

from evil_twins.attacks.base import Attacked, AttackerView, Nature
from evil_twins.attacks.norms import per_item
from evil_twins.attacks.stamps import FixedTrigger, Stamp
from evil_twins.attacks.steps.model import ModelStep, ModelWalk
from evil_twins.attacks.steps.pace import falling
from evil_twins.attacks.steps.trigger import TriggerStep, TriggerWalk
from evil_twins.attacks.success import success_margin
from evil_twins.attacks.trigger_loop import carry, goals_of, nature, validate
from evil_twins.attacks.universal import Universal


@dataclass(frozen=True)
class Backdoor:
    """Model only: the model closest to the victim that gives t to a share of .95 of stamped inputs.

    Attributes:
        trigger: The trigger, drawn for each goal.
        model: The step of the model.
        rounds: Rounds of the loop.
        serves: Targets that carry one trigger; they follow each other and have one goal.
        batch: Stamped images in one step.
        phi: φ; the strength of the trigger becomes this share of the radius of `universal`.
    """

    trigger: FixedTrigger
    model: ModelStep
    rounds: int = 100
    serves: int = 1
    batch: int = 128
    phi: float | None = None
    kappa: ClassVar[None] = None

    def __post_init__(self) -> None:
        validate(self.rounds, self.serves, self.model, self.phi)
        if self.phi is not None and self.trigger.kind != "noise":
            raise ValueError('phi is a share of a radius: it needs the trigger kind "noise"')

    @property
    def nature(self) -> Nature:
        """The properties of the attack; for `phi` it needs the radii of `universal`."""
        radii = None if self.phi is None else Universal(TriggerStep(), serves=self.serves)
        return nature(self.model, self.serves, self.phi, radii=radii)

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every group of targets."""
        goals = goals_of(view, self.serves)
        index = range(len(goals.targets))
        stamp = self.trigger(goals.uniform(index, "stamp", 0))
        if self.phi is not None:
            far = self.phi * goals.required_radii().to(stamp.pattern)
            stamp = Stamp.additive(per_item(far / self.trigger.size, stamp.pattern) * stamp.pattern)
        walk = TriggerWalk(TriggerStep(steps=0, batch=self.batch), goals, stamp)
        weights = ModelWalk(self.model, goals, efficacy=success_margin)
        return carry(view, self.serves, falling(self.rounds), walk, weights)
