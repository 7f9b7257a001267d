"""PGD on another model than the victim, for an attacker who does not know the victim's θ°."""

from dataclasses import dataclass, replace

from evil_twins.attacks.base import Attacked, AttackerView, Kappa, Nature
from evil_twins.attacks.efficacy import Level, equalise, measured, validate
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.steps.best import BestPairs
from evil_twins.attacks.steps.input import InputStep, InputWalk
from evil_twins.attacks.steps.nature import nature


@dataclass(frozen=True)
class TransferredPGD:
    """Input only: the surest input for a surrogate within F_ε(x°), ended at κ on the victim.

    The surrogate is the victim's recipe with another seed (Papernot et al., 2016). The attacker
    queries the victim only for confidences along the line from x° to that input, to end at κ. If no
    point of the line reaches κ, the target keeps that input.

    Attributes:
        input: The input step, with ε as the radius: a larger one transfers better and moves the
            input farther.
        kappa: The required efficacy, on the victim.
        rounds: Rounds of input steps.
    """

    input: InputStep
    kappa: Kappa
    rounds: int = 100

    def __post_init__(self) -> None:
        validate(self.kappa, self.rounds)

    @property
    def nature(self) -> Nature:
        """The properties of the attack with these parameters."""
        return replace(nature("inputs", self.input, None), surrogate=True)

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every target."""
        if view.surrogate is None:
            raise ValueError("a transferred attack needs a second model in view.surrogate")
        surrogates = PairedModels(view.surrogate, len(view.targets), {})
        walk = InputWalk(self.input, view, self.input.eps)
        best = BestPairs(view.targets.x, surrogates)
        passes = best.ascend(walk, surrogates, self.rounds, self.input.steps)
        victims, level = view.unchanged_models(), Level.of(view, self.kappa)
        line = self.input.line
        x, models = equalise(level, view.targets, best.x, victims, line=line)
        return measured(view, x, models, passes, self.rounds, level)
