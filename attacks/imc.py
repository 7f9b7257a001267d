"""IMC, input-model co-optimisation: input and model bent together (Evil Twins, CCS 2020, § 3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from evil_twins.attacks.base import Attacked, AttackerView, Nature
from evil_twins.attacks.efficacy import refuse
from evil_twins.attacks.loop import Exit, alternate
from evil_twins.attacks.pgd import PGD
from evil_twins.attacks.poisoning import Poisoning
from evil_twins.attacks.steps.input import InputStep, InputWalk
from evil_twins.attacks.steps.model import ModelStep, ModelWalk
from evil_twins.attacks.steps.radius import Fixed, Priced


@dataclass(frozen=True)
class IMC:
    """Input and model: min λ ‖x - x°‖ + ν KL subject to f_t(x; θ) >= κ, in F_ε(x°) and F_δ(θ°).

    How the two losses are weighed is said in one of two ways:

    * `phi`: the radius of the input is the share φ of the target's own smallest PGD radius at κ;
      φ = 0 is Poisoning and φ = 1 is PGD.
    * `lam`: the radius is a variable with the price λ a unit; a large λ is Poisoning.

    With the exit `first` it may be left open, as in the paper's Algorithm 1: x moves within all of
    F_ε, and both stop at κ.

    Without an input step, or with its ε = 0, IMC is Poisoning; without a model step, or with its
    δ = 0, it is PGD: the very same computation.

    Raises:
        ValueError: If both steps are missing, or not just one of `phi` and `lam` is given where
            both steps are there and all rounds are used.
    """

    input: InputStep | None
    model: ModelStep | None
    kappa: float
    rounds: int = 100
    exit: Exit = "polish"
    phi: float | None = None
    lam: float | None = None

    def __post_init__(self) -> None:
        refuse(self.kappa, self.rounds)
        if self.input is None and self.model is None:
            raise ValueError("IMC needs an input step, a model step or both")
        open_ = self.exit == "first" and self.phi is None
        if self._joint and not open_ and (self.phi is None) == (self.lam is None):
            raise ValueError("IMC needs either phi or lam, and not both")
        if self.phi is not None and not 0 <= self.phi <= 1:
            raise ValueError(f"phi is {self.phi}; a share between 0 and 1 was expected")

    @property
    def _joint(self) -> bool:
        return bool(self.input and self.input.eps and self.model and self.model.delta)

    @property
    def _pure(self) -> PGD | Poisoning | None:
        """What is left when one of the two steps may not move anything."""
        if self.model is None or self.model.delta == 0 or (self._joint and self.phi == 1):
            assert self.input is not None
            return PGD(self.input, self.kappa, self.rounds, self.exit)
        if self.input is None or self.input.eps == 0 or self.phi == 0:
            return Poisoning(self.model, self.kappa, self.rounds, self.exit)
        return None

    @property
    def nature(self) -> Nature:
        """What it moves and how far, and what it needs: for `phi` the radii of PGD."""
        needs = self.input is not None and self.phi is not None and self._pure is None
        step, model = self.input, self.model
        return Nature(
            "both" if self._pure is None else self._pure.nature.moves,
            phi=self.phi,
            lam=self.lam,
            norm=step.norm if step else None,
            eps=step.eps if step else inf,
            layers=model.layers if model else "all",
            delta=model.delta if model else inf,
            serves=model.serves if model else 1,
            radii=PGD(step, self.kappa) if step and needs else None,
        )

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every target.

        Raises:
            ValueError: If `phi` is given and the view holds no radii.
        """
        if (pure := self._pure) is not None:
            return pure(view)
        assert self.input is not None
        assert self.model is not None
        if self.lam is not None:
            inputs = InputWalk(self.input, Priced(self.lam, self.model.nu), view)
        elif self.phi is None:
            whole = view.targets.x.new_full((len(view.targets),), self.input.eps)
            inputs = InputWalk(self.input, Fixed(), view, whole)
        elif view.radii is not None:
            inputs = InputWalk(self.input, Fixed(), view, self.phi * view.radii)
        else:
            raise ValueError("IMC with phi needs the targets' smallest PGD radii in view.radii")
        weights = ModelWalk(self.model, view)
        return alternate(view, self.kappa, self.rounds, self.exit, inputs, weights)
