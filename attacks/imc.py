"""IMC, input-model co-optimisation: input and model bent together (Evil Twins, CCS 2020, § 3.2)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from evil_twins.attacks.algorithm1 import Exit, alternate, paces_of
from evil_twins.attacks.base import Attacked, AttackerView, Kappa, Nature
from evil_twins.attacks.efficacy import validate
from evil_twins.attacks.pgd import PGD
from evil_twins.attacks.poisoning import Poisoning
from evil_twins.attacks.steps.input import MOMENTUM, InputStep, InputWalk
from evil_twins.attacks.steps.model import ModelStep, ModelWalk
from evil_twins.attacks.steps.nature import nature
from evil_twins.attacks.steps.radius import Balanced, fixed


@dataclass(frozen=True)
class IMC:
    """Input and model: min λ ‖x - x°‖ + ν KL subject to f_t(x; θ) >= κ, in F_ε(x°) and F_δ(θ°).

    One of two parameters weighs the two losses:

    * `phi`: the radius of the input is the share φ of the target's own smallest PGD radius at κ;
      φ = 0 is Poisoning and φ = 1 is PGD.
    * `lam`: the radius is a variable that costs λ a unit; a large λ is Poisoning.

    With the exit `first` both may be missing, as in the paper's Algorithm 1: x moves within all of
    F_ε, and both steps stop at κ.

    Without an input step, or with its ε = 0, IMC is Poisoning; without a model step, or with its
    δ = 0, it is PGD: the very same computation.

    Raises:
        ValueError: If both steps are missing. With both steps and the exit `polish`, if `phi` and
            `lam` are both given or both missing.
    """

    input: InputStep | None
    model: ModelStep | None
    kappa: Kappa
    rounds: int = 100
    exit: Exit = "polish"
    phi: float | None = None
    lam: float | None = None

    def __post_init__(self) -> None:
        validate(self.kappa, self.rounds, self.phi)
        if self.input is None and self.model is None:
            raise ValueError("IMC needs an input step, a model step or both")
        within_eps = self.exit == "first" and self.phi is None
        if self._joint and not within_eps and (self.phi is None) == (self.lam is None):
            raise ValueError("IMC needs either phi or lam, and not both")

    @property
    def _joint(self) -> bool:
        return bool(self.input and self.input.eps and self.model and self.model.delta)

    @property
    def _pure(self) -> PGD | Poisoning | None:
        """The attack that this one equals if one of its steps cannot move anything."""
        if self.model is None or self.model.delta == 0 or (self._joint and self.phi == 1):
            assert self.input is not None
            return PGD(self.input, self.kappa, self.rounds, self.exit)
        if self.input is None or self.input.eps == 0 or self.phi == 0:
            return Poisoning(self.model, self.kappa, self.rounds, self.exit)
        return None

    @property
    def nature(self) -> Nature:
        """The properties of the attack with these parameters; for `phi` it needs PGD's radii."""
        pure, radii = self._pure, None
        if self.input is not None and self.phi is not None and pure is None:
            radii = PGD(self.input, self.kappa)
        joint = nature("both", self.input, self.model, self.phi, self.lam, radii=radii)
        return joint if pure is None else replace(joint, moves=pure.nature.moves)

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every target."""
        if (pure := self._pure) is not None:
            return pure(view)
        assert self.input is not None
        assert self.model is not None
        radius: Tensor | float = self.input.eps
        if self.lam is not None:
            radius = 0.0
        elif self.phi is not None:
            radius = self.phi * view.required_radii()
        rule = fixed if self.lam is None else Balanced(self.lam, self.model.nu)
        momentum = 0.0 if self.exit == "first" else MOMENTUM
        inputs = InputWalk(self.input, view, radius, rule, momentum)
        weights = ModelWalk(self.model, view)
        paces = paces_of(self.rounds, self.exit)
        return alternate(view, self.kappa, paces, self.exit, inputs, weights)
