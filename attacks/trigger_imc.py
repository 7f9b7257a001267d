"""IMC with a trigger: one change of all inputs, and the model, bent together (CCS 2020, § 5)."""

from dataclasses import dataclass, replace
from typing import ClassVar

from evil_twins.attacks.backdoor import Backdoor
from evil_twins.attacks.base import Attacked, AttackerView, Nature
from evil_twins.attacks.norms import per_item
from evil_twins.attacks.stamps import FixedTrigger, Stamp
from evil_twins.attacks.steps.model import ModelStep, ModelWalk
from evil_twins.attacks.steps.pace import falling
from evil_twins.attacks.steps.trigger import TriggerStep, TriggerWalk
from evil_twins.attacks.success import success_margin
from evil_twins.attacks.trigger_loop import carry, goals_of, nature, validate
from evil_twins.attacks.universal import Universal

START = FixedTrigger("noise")
"""The trigger before the first step: that of a backdoor of the same size."""


@dataclass(frozen=True)
class TriggerIMC:
    """Trigger and model: min KL at a success rate of .95, ‖p‖∞ a share φ of that of `universal`.

    At φ = 1, or with δ = 0, it is `universal`. Without steps of the trigger it is `backdoor` with
    the kind "noise": the very same computation.

    Attributes:
        trigger: The step of the trigger.
        model: The step of the model.
        phi: φ, the size of the trigger as a share of the radius of `universal`.
        rounds: Rounds of the loop.
        serves: Targets that carry one trigger; they follow each other and have one goal.
    """

    trigger: TriggerStep
    model: ModelStep
    phi: float
    rounds: int = 100
    serves: int = 1
    kappa: ClassVar[None] = None

    def __post_init__(self) -> None:
        validate(self.rounds, self.serves, self.model, self.phi)
        if self.trigger.steps == 0 and self.phi == 1:
            raise ValueError("at phi = 1 only the trigger moves: it needs steps >= 1")

    @property
    def _universal(self) -> Universal:
        return Universal(self.trigger, self.rounds, self.serves)

    @property
    def _pure(self) -> Universal | Backdoor | None:
        """The attack that this one equals if one of its steps cannot move anything."""
        if self.phi == 1 or self.model.delta == 0:
            return self._universal
        if self.trigger.steps == 0:
            batch = self.trigger.batch
            return Backdoor(START, self.model, self.rounds, self.serves, batch, self.phi)
        return None

    @property
    def nature(self) -> Nature:
        """The properties of the attack; below φ = 1 it needs the radii of `universal`."""
        if isinstance(self._pure, Universal):
            return self._pure.nature
        search = replace(self.trigger, steps=max(1, self.trigger.steps))
        radii = Universal(search, serves=self.serves)
        return nature(self.model, self.serves, self.phi, self.trigger.eps, radii)

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every group of targets."""
        if (pure := self._pure) is not None:
            return pure(view)
        goals = goals_of(view, self.serves)
        radius = self.phi * goals.required_radii()
        signs = START(goals.uniform(range(len(goals.targets)), "stamp", 0)).pattern
        stamp = Stamp.additive(per_item(radius.to(signs), signs) * signs)
        walk = TriggerWalk(self.trigger, goals, stamp, radius)
        weights = ModelWalk(self.model, goals, efficacy=success_margin)
        return carry(view, self.serves, falling(self.rounds), walk, weights)
