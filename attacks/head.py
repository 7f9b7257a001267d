"""Poisoning of the last layer only: a closed form, and the convex optimum as the yardstick.

The head is linear in θ, so that KL(f(·; θ°) ‖ f(·; θ)) on a fixed set of images is convex in θ and
the margin g at a fixed input is concave: the closest poisoned head is a convex problem.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp, softmax
from torch import Tensor

from evil_twins.attacks.base import Attacked, AttackerView, Kappa, Nature
from evil_twins.attacks.efficacy import Level, margin, measured, settled, validate
from evil_twins.attacks.models import PairedModels, movable_head, parameter_norm
from evil_twins.attacks.steps.fisher import FLOOR, head_blocks, with_constant

Array = NDArray[np.float64]

OUTER = 40
"""The largest number of updates of the multiplier."""

TOLERANCE = 1e-6
"""The margin that may be missing at the end, in logits."""


@dataclass(frozen=True)
class RankOneHead:
    """w_t moves along the target's features and the other rows against them, as far as κ needs.

    With h = [φ(x°); 1] every logit moves by a constant share of α‖h‖²; all others move equally, so
    g rises by α‖h‖² K/(K - 1), and α has a closed form. The reference is not used.
    """

    kappa: Kappa

    def __post_init__(self) -> None:
        validate(self.kappa)

    @property
    def nature(self) -> Nature:
        """The properties of the attack with these parameters."""
        return Nature("model", phi=0.0, layers="head")

    @torch.no_grad()
    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every target."""
        x, goal, head = view.targets.x, view.targets.goal, movable_head(view.victim)
        features = view.victim.features(x)
        logits = head(features)
        classes = logits.shape[1]
        level = Level.of(view, self.kappa)
        missing = level.least.to(logits) - margin(logits, goal)
        size = features.square().sum(1) + 1
        alpha = missing / size * (classes - 1) / classes
        towards = torch.full_like(logits, -1 / (classes - 1)).scatter(1, goal.unsqueeze(1), 1.0)
        bias = alpha.unsqueeze(1) * towards
        weight = bias.unsqueeze(2) * features.unsqueeze(1)
        edited = {"head.weight": head.weight + weight, "head.bias": head.bias + bias}
        models = settled(level, view.targets, x, PairedModels(view.victim, len(x), edited))
        return measured(view, x, models, 1, 1, level)


@dataclass(frozen=True)
class ConvexHead:
    """The last layer with the smallest KL on the reference that says t at x° with κ.

    Attributes:
        kappa: The required efficacy.
        delta: δ; the lower bound holds within F_δ(θ°).
    """

    kappa: Kappa
    delta: float = 4.0

    def __post_init__(self) -> None:
        validate(self.kappa)

    @property
    def nature(self) -> Nature:
        """The properties of the attack with these parameters."""
        return Nature("model", phi=0.0, layers="head")

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every target."""
        problem, level = HeadProblem.of(view, self.delta), Level.of(view, self.kappa)
        goals, aims = view.targets.goal.tolist(), level.least.tolist()
        facts = zip(target_rows(view), goals, aims, strict=True)
        optima = [problem.solve(row, goal, aim) for row, goal, aim in facts]
        x = view.targets.x
        rows = torch.stack([optimum.head for optimum in optima]).to(x)
        edited = {"head.weight": rows[..., :-1], "head.bias": rows[..., -1]}
        models = settled(level, view.targets, x, PairedModels(view.victim, len(x), edited))
        bound = torch.tensor([optimum.bound for optimum in optima], dtype=torch.float64)
        return replace(measured(view, x, models, 1, 1, level), bound=bound)


@dataclass(frozen=True, eq=False)
class Optimum:
    """The convex optimum of one target.

    Attributes:
        head: Rows [weight | bias], (K, D + 1), float64.
        kl: Mean KL on the reference, in nats.
        bound: A lower bound on the KL of any head within F_δ(θ°) that reaches κ.
    """

    head: Tensor
    kl: float
    bound: float


@torch.no_grad()
def target_rows(view: AttackerView) -> Array:
    """Compute [φ(x°); 1], which the rows [weight | bias] are multiplied by, (N, D + 1)."""
    rows: Array = with_constant(view.victim.features(view.targets.x)).double().numpy(force=True)
    return rows


@dataclass(frozen=True, eq=False)
class HeadProblem:
    """The convex head problem for any target, solved by the method of multipliers.

    In the coordinates v, θ_c = θ°_c + L_c v_c with L Lᵀ the inverse Fisher block of class c, KL is
    nearly ½‖v‖² and L-BFGS needs few steps. A parameter whose row of L is 0 stays as it is.

    Attributes:
        start: Rows [weight | bias] of the victim, (K, D + 1).
        inputs: [φ; 1] of the reference, (M, D + 1).
        benign: Log-probabilities of the victim on the reference, (M, K).
        probabilities: Their exponentials.
        scale: L, (K, D + 1, D + 1).
        radius: δ ‖θ°‖₂; the bounds hold within this distance of θ°.
    """

    start: Array
    inputs: Array
    benign: Array
    probabilities: Array
    scale: Array
    radius: float

    @classmethod
    @torch.no_grad()
    def of(cls, view: AttackerView, delta: float) -> HeadProblem:
        """Build the problem of the view's victim and reference; bounds hold within F_δ(θ°)."""
        head, features = movable_head(view.victim), view.reference.features
        rows = torch.cat([head.weight, head.bias.unsqueeze(1)], 1).double()
        inputs, benign = with_constant(features).double(), head(features).double().log_softmax(1)
        blocks = head_blocks(features.double(), benign.exp(), FLOOR["head"])
        return cls(
            rows.numpy(force=True),
            inputs.numpy(force=True),
            benign.numpy(force=True),
            benign.exp().numpy(force=True),
            torch.linalg.cholesky(blocks).numpy(force=True),
            delta * float(parameter_norm(view.victim)),
        )

    def solve(self, target: Array, goal: int, aim: float) -> Optimum:
        """Solve it for one target with [φ; 1] = `target` (D + 1,) and the required margin `aim`."""
        v, mu = np.zeros(self.start.size), 0.0
        _, missing, _, climb = self._parts(v, target, goal, aim)
        weight = 30 / float(climb @ climb)
        for _ in range(OUTER):
            v = minimize(
                self._lagrangian,
                v,
                args=(target, goal, aim, mu, weight),
                jac=True,
                method="L-BFGS-B",
                options={
                    "maxiter": 5000,
                    "maxfun": 10000,
                    "maxcor": 30,
                    "gtol": 1e-9,
                    "ftol": 1e-14,
                },
            ).x
            before, (_, missing, _, _) = missing, self._parts(v, target, goal, aim)
            mu = max(0.0, mu + weight * missing)
            if abs(missing) < TOLERANCE:
                break
            weight *= 10 if abs(missing) > 0.25 * abs(before) else 1
        return self._optimum(v, target, goal, aim, mu)

    def _lagrangian(
        self, v: Array, target: Array, goal: int, aim: float, mu: float, weight: float
    ) -> tuple[float, Array]:
        kl, missing, down, climb = self._parts(v, target, goal, aim)
        force = max(0.0, mu + weight * missing)
        return kl + (force**2 - mu**2) / (2 * weight), down - force * climb

    def _parts(
        self, v: Array, target: Array, goal: int, aim: float
    ) -> tuple[float, float, Array, Array]:
        """Compute KL, the missing margin, and the gradients of KL and of g by v."""
        kl, g, down, climb = self._values(self._rows(v), target, goal)
        back = np.einsum("kde,skd->ske", self.scale, np.stack([down, climb]))
        return kl, aim - g, back[0].ravel(), back[1].ravel()

    def _rows(self, v: Array) -> Array:
        step = np.einsum("kde,ke->kd", self.scale, v.reshape(self.start.shape))
        return np.asarray(self.start + step)

    def _values(self, rows: Array, target: Array, goal: int) -> tuple[float, float, Array, Array]:
        """Compute KL, the margin g, and their gradients (K, D + 1) at these rows."""
        log_faced = log_softmax(self.inputs @ rows.T, axis=1)
        change = self.benign - log_faced
        kl = float(np.vdot(self.probabilities, change)) / len(self.inputs)
        down = (np.exp(log_faced) - self.probabilities).T @ self.inputs / len(self.inputs)
        logits = rows @ target
        rivals = np.where(np.arange(len(logits)) == goal, -np.inf, logits)
        pull = -softmax(rivals)
        pull[goal] = 1.0
        return kl, logits[goal] - logsumexp(rivals), down, np.outer(pull, target)

    def _optimum(self, v: Array, target: Array, goal: int, aim: float, mu: float) -> Optimum:
        """Return the solution, with a lower bound from the remaining gradient.

        The Lagrangian KL - μ (g - aim) is convex: at any θ' it is at least its value here minus
        the norm of its gradient here times the distance.
        """
        rows = self._rows(v)
        kl, g, down, climb = self._values(rows, target, goal)
        slope = float(np.linalg.norm(down - mu * climb))
        distance = self.radius + float(np.linalg.norm(rows - self.start))
        bound = kl - mu * (g - aim) - slope * distance
        return Optimum(torch.from_numpy(rows), kl, bound)
