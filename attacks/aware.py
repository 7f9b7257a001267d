"""IMC that knows the detectors: input and model move together, past κ and below the thresholds.

The limits are constraints (Bryniarski et al., ICLR 2022): with a weighted sum of losses, one
detector could pay for another. Each limit has its own multiplier, for each target, in each step.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from evil_twins.attacks import norms
from evil_twins.attacks.base import Attacked, AttackerView, Kappa, Nature, evenly
from evil_twins.attacks.efficacy import Level, validate
from evil_twins.attacks.imc import IMC
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.norms import per_item
from evil_twins.attacks.pgd import PGD
from evil_twins.attacks.steps.best import BestPairs
from evil_twins.attacks.steps.input import InputStep
from evil_twins.attacks.steps.limits import BENIGN_IMAGES, Limits
from evil_twins.attacks.steps.model import ModelStep, ModelWalk
from evil_twins.attacks.steps.multipliers import joint
from evil_twins.attacks.steps.nature import nature
from evil_twins.attacks.steps.pace import cosine
from evil_twins.attacks.steps.serving import Parameters, inner

INSIDE = 0.02
"""Distance to each limit that steps aim at, in its unit, against rounding and curvature."""

WORSE = 1e3
"""Penalty of a pair that breaks a limit, above the largest KL. Below κ it counts twice."""

LEVEL = 0.75
"""Level of the quantile of benign penalties that is τ_j. The difference to 1 - false-positive rate
is slack, because the attacker does not know the detector's random numbers and data."""

LATE_PACE = 0.5
"""The pace from which on pairs are candidates for the best. Earlier ones still move far."""


@dataclass(frozen=True)
class Aware:
    """Input and model: min KL subject to g >= logit κ and s_j(x; θ) <= τ_j(θ) for each penalty j.

    As with IMC, the input stays in F_r(x°) and the model in F_δ(θ°); κ is a floor. Each round takes
    one joint step (dx, dθ): the shortest that keeps all limits to first order while KL falls, dθ in
    the metric of the Fisher information, dx at most α r long. A multiplier is the KL that a limit
    costs; the input moves to lower it. The first pair is that of IMC without detectors. The best
    pair of each target is kept: the least KL within all limits, else the least excess at κ.

    Attributes:
        input: The input step, and in the PGD at κ that sets the unit of φ.
        model: The model step.
        kappa: The least efficacy.
        phi: r as a share of the target's smallest PGD radius at κ; None: r = ε.
        rounds: Rounds of joint steps.
        every: Rounds after which τ_j is computed again, under the models of that round.
    """

    input: InputStep
    model: ModelStep
    kappa: Kappa
    phi: float | None = None
    rounds: int = 100
    every: int = 10

    def __post_init__(self) -> None:
        validate(self.kappa, self.rounds, self.phi)
        self.model.forbid_serves()
        self.input.forbid_quantize()
        if self.every < 1:
            raise ValueError(f"every is {self.every}; at least 1 was expected")

    @property
    def nature(self) -> Nature:
        """The properties of the attack with these parameters."""
        radii = PGD(self.input, self.kappa) if self.phi else None
        return nature("both", self.input, self.model, self.phi, radii=radii, evades=True)

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every target."""
        exit: Literal["first", "polish"] = "first" if self.phi is None else "polish"
        first = IMC(self.input, self.model, self.kappa, self.rounds, exit, self.phi)(view)
        pairs = _Pairs(self, view, first)
        for k in range(self.rounds):
            pairs.step(k)
        pairs.update_best()
        x, models = pairs.best.x, pairs.best.models
        with torch.no_grad():
            confidence = models.confidence(x, view.targets.goal)
        level = Level.of(view, self.kappa)
        late = torch.where(level.reached(view.targets, x, models), self.rounds, -1)
        rounds = torch.where(first.rounds > 0, first.rounds, late)
        passes = first.passes + pairs.limits.passes + pairs.weights.passes
        return Attacked(x, models, confidence, rounds, passes)


class _Pairs:
    """The N current pairs, and the best of each target so far."""

    def __init__(self, attack: Aware, view: AttackerView, first: Attacked) -> None:
        self.attack, self.view = attack, view
        self.limits = Limits(view, attack.kappa, LEVEL)
        self.weights = ModelWalk(attack.model, view)
        self.indices = torch.arange(len(view.targets), device=view.targets.x.device)
        judging = evenly(len(view.reference), max(attack.model.batch, BENIGN_IMAGES))
        self.kl_images = judging.to(self.indices)
        self.radius = view.targets.x.new_full((len(view.targets),), attack.input.eps)
        if attack.phi is not None:
            unit = view.required_radii().to(self.radius) if attack.phi else 0 * self.radius
            self.radius = torch.minimum(self.radius, attack.phi * unit)
        if first.models.layers != "none":
            self.weights.models = first.models
        self.x, self.best = first.x.clone(), BestPairs(first.x, self.weights.models)
        self.beta = torch.ones_like(self.radius)

    @torch.no_grad()
    def update_best(self) -> None:
        """Keep the pairs that are better than the best."""
        models = self.weights.models
        room = self.limits.mean_room(models, self.x)
        excess = (-room).clamp_min(0).sum(0).clamp(max=WORSE / 2)
        broken = WORSE * ((excess > 0).to(excess) + (room[0] < 0).to(excess))
        merit = -(broken + torch.where(excess > 0, excess, self._kl(models)))
        self.best.update(merit, self.x, models)

    def _kl(self, models: PairedModels) -> Tensor:
        """Compute the mean KL(f(·; θ°) ‖ f(·; θ)) on reference images, the same for all, (N,)."""
        walk = self.weights
        inputs, benign = walk.inputs[self.kl_images], walk.benign[self.kl_images]
        faced = models.logits(inputs.unsqueeze(0)).log_softmax(-1)
        if models.layers == "all":
            self.limits.passes += len(inputs)
        kl: Tensor = (benign * (benign.clamp_min(1e-30).log() - faced)).sum(-1).mean(1)
        return kl

    def step(self, turn: int) -> None:
        """Take the joint step of all pairs in this round."""
        walk, pace = self.weights, cosine(turn, self.attack.rounds)
        if turn % self.attack.every == 0:
            self.limits.calibrate(walk.models, turn)
        if pace == 1 or pace <= LATE_PACE:
            self.update_best()
        leaf, models = self.x.clone().requires_grad_(), walk.models.leaves()
        theta = dict(models.parameters)
        room = self.limits.room(models, leaf, turn)
        ups, pixels = _slopes(room, leaf, theta)
        walk.weigh(theta, ups[0], -room[0].detach(), self.indices)
        slope = walk.add_momentum(walk.loss_gradient(models, self.indices), self.indices)
        with torch.no_grad():
            self._move(room.detach().T, ups, pixels, slope, theta, pace)

    def _move(
        self,
        room: Tensor,
        ups: list[Parameters],
        pixels: Tensor,
        slope: Parameters,
        theta: Parameters,
        pace: float,
    ) -> None:
        step, walk = self.attack.model, self.weights
        climbs, lean = [walk.fisher(up) for up in ups], walk.fisher(slope)
        gram = torch.stack([torch.stack([inner(u, c) for c in climbs], 1) for u in ups], 1)
        fall = torch.stack([inner(slope, c) for c in climbs], 1)
        eta = step.lr * pace if step.delta else 0.0
        need = (INSIDE - room).clamp(max=step.gain)
        # Far below κ the penalties are ignored: they may pull towards another class.
        need[:, 1:] = torch.where(room[:, :1] < -step.gain, -torch.inf, need[:, 1:])
        gains, lack, longest = eta * gram, need + eta * fall, self._longest(pixels, pace)
        mu, dx, self.beta = joint(gains, lack, pixels, longest, self.beta, self._free)
        square = (mu * (gram @ mu.unsqueeze(2)).squeeze(2)).sum(1) - 2 * (mu * fall).sum(1)
        length = eta * (square + inner(slope, lean)).clamp_min(0).sqrt()
        most = step.trust * step.gain / gram.diagonal(dim1=1, dim2=2).amax(1).sqrt()
        share = eta * (most / length.clamp_min(1e-30)).clamp(max=1.0)
        change = {
            name: per_item(share, value)
            * (sum(per_item(mu[:, a], value) * c[name] for a, c in enumerate(climbs)) - value)
            for name, value in lean.items()
        }
        walk.shift({n: v.detach() for n, v in theta.items()}, change, self.indices)
        self.x = self._project(dx.view_as(self.x))

    def _project(self, change: Tensor) -> Tensor:
        norm = self.attack.input.norm
        return norms.project(self.x + change, self.view.targets.x, self.radius, norm)

    def _longest(self, pixels: Tensor, pace: float) -> Tensor:
        """Compute the longest step in x, (N,): α r, or less if a limit would change too much.

        Args:
            pixels: Gradients of the limits by x, (N, A, D).
            pace: The relative size of the step.
        """
        attack, steepest = self.attack, pixels.norm(dim=2).amax(1).clamp_min(1e-12)
        flat = pixels.shape[2] ** 0.5 if attack.input.norm == "linf" else 1.0
        most = attack.model.trust * attack.model.gain / steepest
        return torch.minimum(attack.input.step * pace * self.radius * flat, most)

    def _free(self, towards: Tensor) -> Tensor:
        """Return 1 for pixels that may move along (N, D), 0 at the ball or the box, (N, D)."""
        tiny = per_item(1e-3 * self.radius, self.x) * towards.view_as(self.x).sign()
        moved = self._project(tiny) - self.x
        return ((moved * tiny) > 0).flatten(1).to(towards)


def _slopes(room: Tensor, x: Tensor, theta: Parameters) -> tuple[list[Parameters], Tensor]:
    """Compute the gradients of A limits (A, N) by the parameters, and by x, (N, A, D)."""
    ups, pixels = [], []
    for limit in room:
        slopes = torch.autograd.grad(
            limit.sum(), [x, *theta.values()], retain_graph=True, materialize_grads=True
        )
        pixels.append(slopes[0].flatten(1))
        ups.append(dict(zip(theta, slopes[1:], strict=True)))
    return ups, torch.stack(pixels, 1)
