"""The input and model of largest margin within fixed limits of both."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax
from torch import Tensor

from evil_twins.attacks.base import Attacked, AttackerView, Kappa, Nature
from evil_twins.attacks.efficacy import Level, margin, validate
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.norms import per_item
from evil_twins.attacks.pgd import PGD
from evil_twins.attacks.poisoning import Poisoning
from evil_twins.attacks.steps.best import BestPairs
from evil_twins.attacks.steps.input import MOMENTUM, InputStep, InputWalk
from evil_twins.attacks.steps.metric import start
from evil_twins.attacks.steps.model import ModelStep
from evil_twins.attacks.steps.nature import nature
from evil_twins.attacks.steps.pace import cosine
from evil_twins.attacks.steps.serving import gradient, norm_of

Array = NDArray[np.float64]

STEP = 0.5
"""The first model step as a share of δ; it falls to 0 along a cosine."""


@dataclass(frozen=True)
class Within:
    """Input and model: max g(x; θ) over x in F_ε(x°) and θ in F_δ(θ°), without a loss.

    Input and model steps along their normalised gradients take turns; the best pair is kept.

    Attributes:
        input: The input step here, and in the PGD at κ that sets the unit of ε.
        model: The model step of the Poisoning at κ that sets the unit of δ; its `layers` may move.
        kappa: The efficacy of those two; here none is required.
        phi: ε as a share of the target's smallest PGD radius; at 0 x stays x°.
        distance: δ as a share of its unit; at 0 θ stays θ°.
        unit: ‖θ - θ°‖₂ / ‖θ°‖₂ of that Poisoning, which may go far where KL stays small; or of the
            shortest change of the head that reaches κ at x°.
        rounds: Rounds of an input step and a model step.
    """

    input: InputStep
    model: ModelStep
    kappa: Kappa
    phi: float
    distance: float
    unit: Literal["poisoning", "shortest"] = "poisoning"
    rounds: int = 100

    def __post_init__(self) -> None:
        validate(self.kappa, self.rounds)
        self.model.forbid_serves()
        self.input.forbid_quantize()
        if not (self.phi >= 0 and self.distance >= 0):
            raise ValueError("limits need phi >= 0 and distance >= 0")
        if self.unit == "shortest" and self.model.layers != "head":
            raise ValueError("the shortest change is known only for the last layer")

    @property
    def nature(self) -> Nature:
        """The properties of the attack with these parameters."""
        radii = PGD(self.input, self.kappa)
        return nature("both", self.input, self.model, self.phi, role="yardstick", radii=radii)

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every target."""
        goal = view.targets.goal
        walk = InputWalk(self.input, view, self.phi * view.required_radii(), momentum=MOMENTUM)
        models, length, passes = self._start(view)
        best, level = BestPairs(walk.x, models), Level.of(view, self.kappa)
        enough = level.enough.to(walk.x)
        reached, indices = torch.full_like(goal, -1), torch.arange(len(goal), device=goal.device)
        for k in range(self.rounds):
            pace = cosine(k, self.rounds)
            if self.phi:
                before = walk.x.clone()
                best.update(walk.climb(models, pace), before, models)
            if self.distance:
                features = walk.forward(models, indices)[1].detach()
                g, moved = _climb(models, features, goal, STEP * pace * length, length)
                best.update(g, walk.x, models)
                models, passes = moved, passes + 2 * (models.layers == "all")
            reached[(best.merit >= enough) & (reached < 0)] = k
        best.update_margin(walk.x, models, goal)
        with torch.no_grad():
            confidence = best.models.confidence(best.x, goal)
        late = (reached < 0) & level.reached(view.targets, best.x, best.models)
        reached = torch.where(late, self.rounds, reached)
        return Attacked(best.x, best.models, confidence, reached, passes + walk.passes + 1)

    def _start(self, view: AttackerView) -> tuple[PairedModels, Tensor, Tensor]:
        """Compute the first models, δ ‖θ°‖₂ (N,) float64, and the passes for them (N,)."""
        zero = torch.zeros_like(view.targets.goal)
        if self.distance == 0:
            return view.unchanged_models(), zero.double(), zero
        models, _ = start(view, self.model.layers, self.model.others)
        if self.unit == "shortest":
            return models, self.distance * shortest(view, self.kappa), zero + 1
        poisoned = Poisoning(self.model, self.kappa)(view)
        return models, self.distance * poisoned.models.moved(), poisoned.passes


@torch.no_grad()
def shortest(view: AttackerView, kappa: Kappa) -> Tensor:
    """Compute the smallest ‖θ - θ°‖₂ of a head at κ at x°, (N,) float64.

    With h = [φ(x°); 1] such a head moves each row along h: the logits by u, θ by ‖u‖ / ‖h‖. The
    margin is concave in u, so that the smallest u is a convex problem of K numbers.

    Args:
        view: The attacker's view.
        kappa: The required efficacy.
    """
    features = view.victim.features(view.targets.x)
    size = (features.double().square().sum(1) + 1).sqrt()
    logits = view.victim.head(features).double().numpy(force=True)
    goals, aims = view.targets.goal.tolist(), Level.of(view, kappa).least.tolist()
    moved = [_least_change(*facts) for facts in zip(logits, goals, aims, strict=True)]
    return torch.tensor(moved, dtype=torch.float64, device=size.device) / size


def _least_change(z: Array, goal: int, aim: float) -> float:
    """Compute the smallest ‖u‖ with the margin `aim` at the logits z + u (K,).

    The other logits move freely; the goal's logit supplies the missing margin.
    """
    rivals = np.delete(z, goal)

    def half_square(u: Array) -> tuple[float, Array]:
        missing = aim + logsumexp(rivals + u) - z[goal]
        return float(u @ u + missing**2) / 2, u + missing * softmax(rivals + u)

    if aim + logsumexp(rivals) <= z[goal]:
        return 0.0
    solution = minimize(
        half_square,
        np.zeros_like(rivals),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 1000, "maxfun": 2000, "gtol": 1e-9, "ftol": 1e-14},
    )
    return float(np.sqrt(2 * solution.fun))


def _climb(
    models: PairedModels, features: Tensor, goal: Tensor, length: Tensor, most: Tensor
) -> tuple[Tensor, PairedModels]:
    """Move the models by `length` (N,) up the margin, within `most` (N,) of θ°.

    Returns the margins (N,) before the step, and the moved models.
    """
    live = models.leaves()
    g = margin(live.logits(features).squeeze(1), goal)
    slope = gradient(g, live.parameters)
    share = length / norm_of(slope).clamp_min(torch.finfo(torch.float64).tiny)
    moved = {n: v + per_item(share, v).to(v) * slope[n] for n, v in models.parameters.items()}
    after = PairedModels(models.victim, len(models), moved)
    distance = after.moved()
    return g.detach(), after.scaled(torch.where(distance > most, most / distance, 1.0))
