"""IMC that knows the detectors: input and model bent together, past κ and below their thresholds.

Constrained as Bryniarski et al. (ICLR 2022) ask for, where a weighted sum of losses would let one
detector pay for another: every limit has a multiplier of its own, for each target, at each step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from evil_twins.attacks import norms
from evil_twins.attacks.base import Attacked, AttackerView, Nature, evenly
from evil_twins.attacks.efficacy import refuse
from evil_twins.attacks.imc import IMC
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.norms import per_item
from evil_twins.attacks.pgd import PGD
from evil_twins.attacks.steps.best import Best
from evil_twins.attacks.steps.input import InputStep
from evil_twins.attacks.steps.limits import AMONG, Limits
from evil_twins.attacks.steps.model import ModelStep, ModelWalk
from evil_twins.attacks.steps.multipliers import joint
from evil_twins.attacks.steps.serving import Parameters, inner

INSIDE = 0.02
"""Steps aim so far within each limit, in its unit: rounding and curvature cannot end beyond it."""

WORSE = 1e3
"""By so much a pair that breaks a limit is worse than the largest KL; one below κ twice so."""


LATE = 0.5
"""The pace from which on pairs are judged: before, they are still on their way."""


@dataclass(frozen=True)
class Aware:
    """Input and model: min KL subject to g >= logit κ and s_j(x; θ) <= τ_j(θ) for each penalty j.

    The input stays in F_r(x°), the model in F_δ(θ°), as with IMC; κ is a floor. Each round takes
    one joint step (dx, dθ): the shortest that keeps all limits to first order while KL falls, dθ in
    the metric of the Fisher information, dx at most α r long. So a multiplier is what a limit costs
    in KL, and the input moves where that falls. It starts at oblivious IMC, and the best pair is
    kept for each target: the least KL within all limits or, if none is, the least excess at κ.

    Attributes:
        input: The input step, and in the PGD at κ that sets the unit of φ.
        model: The model step.
        kappa: The least efficacy.
        phi: r as a share of the target's smallest PGD radius at κ; None: r = ε.
        rounds: Rounds of one course.
        courses: How often its paces are gone through.
        restart: Where courses but the first begin: at the "best" pair so far, or with its model at
            a "random" input within the radius.
        level: τ_j is this quantile of benign penalties; what is left to 1 - false-positive rate
            is slack for all that the attacker cannot know.
        every: Rounds after which τ_j is taken anew.
        facing: Under which model τ_j is taken: the "current" one, as the defender would, or the
            "victim", once.
        variant: "lagrangian" keeps all limits at each step. The others mend the one that is broken
            most, as their namesakes in Bryniarski et al. (ICLR 2022) do: "selective" looks at no
            other, "orthogonal" lowers none of the others, to first order.
    """

    input: InputStep
    model: ModelStep
    kappa: float
    phi: float | None = None
    rounds: int = 100
    courses: int = 1
    restart: Literal["best", "random"] = "best"
    level: float = 0.75
    every: int = 10
    facing: Literal["current", "victim"] = "current"
    variant: Literal["lagrangian", "selective", "orthogonal"] = "lagrangian"

    def __post_init__(self) -> None:
        refuse(self.kappa, self.rounds)
        self.model.refuse_serving()
        self.input.refuse_lattice()
        if self.phi is not None and not 0 <= self.phi <= 1:
            raise ValueError(f"phi is {self.phi}; a share between 0 and 1 was expected")
        if not (self.courses >= 1 and self.every >= 1 and 0 < self.level < 1):
            raise ValueError("it needs courses >= 1, every >= 1 and a level between 0 and 1")

    @property
    def nature(self) -> Nature:
        """What it moves and how far, and what it needs."""
        return Nature(
            "both",
            phi=self.phi,
            norm=self.input.norm,
            eps=self.input.eps,
            layers=self.model.layers,
            delta=self.model.delta,
            radii=PGD(self.input, self.kappa) if self.phi else None,
            evades=True,
        )

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every target; without penalties in the view this is IMC with κ as a floor.

        Raises:
            ValueError: If `phi` is given and the view holds no radii.
        """
        if self.phi and view.radii is None:
            raise ValueError("phi needs the targets' smallest PGD radii in view.radii")
        leave: Literal["first", "polish"] = "first" if self.phi is None else "polish"
        first = IMC(self.input, self.model, self.kappa, self.rounds, leave, self.phi)(view)
        course = _Course(self, view, first)
        for turn in range(self.courses):
            course.restart(turn)
            for k in range(self.rounds):
                course.step((1 + math.cos(math.pi * k / self.rounds)) / 2)
        course.offer()
        x, models = course.best.x, course.best.models
        with torch.no_grad():
            confidence = models.confidence(x, view.targets.goal)
        late = torch.where(confidence >= self.kappa, self.rounds, -1)
        rounds = torch.where(first.rounds > 0, first.rounds, late)
        passes = first.passes + course.limits.passes + course.weights.passes
        return Attacked(x, models, confidence, rounds, passes)


class _Course:
    """The N pairs on their way, and the best of each so far."""

    def __init__(self, attack: Aware, view: AttackerView, first: Attacked) -> None:
        self.attack, self.view = attack, view
        self.limits = Limits(view, attack.kappa, attack.level)
        self.weights = ModelWalk(attack.model, view)
        self.every = torch.arange(len(view.targets), device=view.targets.x.device)
        self.some = evenly(len(view.reference), max(attack.model.batch, AMONG)).to(self.every)
        self.radius = view.targets.x.new_full((len(view.targets),), attack.input.eps)
        if attack.phi is not None:
            unit = 0 * self.radius if view.radii is None else view.radii.to(self.radius)
            self.radius = torch.minimum(self.radius, attack.phi * unit)
        models = self.weights.models if first.models.layers == "none" else first.models
        self.best = Best(first.x, models)
        self.turn, self.beta = 0, torch.ones_like(self.radius)

    def restart(self, turn: int) -> None:
        """Go on from the best pairs, or from other inputs under their models, without momentum."""
        self.x, origin = self.best.x.clone(), self.view.targets.x
        if turn and self.attack.restart == "random":
            draws = [
                torch.rand(origin.shape[1:], generator=self.view.generator(i, "restart", turn))
                for i in range(len(origin))
            ]
            norm, where = self.attack.input.norm, torch.stack(draws).to(origin)
            self.x = norms.scatter(origin, self.radius, norm, where)
        self.weights.models, self.weights.count = self.best.models, 0
        self.weights.slopes = {
            name: torch.zeros_like(value) for name, value in self.best.models.parameters.items()
        }

    @torch.no_grad()
    def offer(self) -> None:
        """Keep the pairs that are better than the best."""
        models = self.weights.models
        left = self.limits.judged(models, self.x)
        excess = (-left).clamp_min(0).sum(0).clamp(max=WORSE / 2)
        broken = WORSE * ((excess > 0).to(excess) + (left[0] < 0).to(excess))
        merit = -(broken + torch.where(excess > 0, excess, self.harm(models)))
        self.best.offer(merit, self.x, models)

    def harm(self, models: PairedModels) -> Tensor:
        """Mean KL(f(·; θ°) ‖ f(·; θ)) on some reference images, the same for all, (N,)."""
        walk = self.weights
        some, share = walk.inputs[self.some], walk.kept[self.some]
        faced = models.logits(some.unsqueeze(0)).log_softmax(-1)
        if models.layers == "all":
            self.limits.passes += len(some)
        kl: Tensor = (share * (share.clamp_min(1e-30).log() - faced)).sum(-1).mean(1)
        return kl

    def step(self, pace: float) -> None:
        """One joint step of all pairs, of size `pace` in (0, 1]."""
        walk, attack, every = self.weights, self.attack, self.every
        if attack.facing == "current" and self.turn % attack.every == 0:
            self.limits.take(walk.models, self.turn)
        if pace == 1 or pace <= LATE:
            self.offer()
        leaf = self.x.clone().requires_grad_()
        theta = {n: v.detach().clone().requires_grad_() for n, v in walk.models.parameters.items()}
        models = PairedModels(self.view.victim, len(every), theta)
        room = self.limits.room(models, leaf, self.turn)
        self.turn += 1
        ups, pixels = _slopes(room, leaf, theta)
        walk.weigh(theta, ups[0], -room[0].detach(), every)
        slope = walk.mixed(walk.rise(models, theta, every), every)
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
        need = (INSIDE - room).clamp(max=step.reach)
        lost = room[:, :1] < -step.reach  # elsewhere a penalty may pull towards another class
        need[:, 1:] = torch.where(lost, -torch.inf, need[:, 1:])
        if self.attack.variant != "lagrangian":
            worst = torch.zeros_like(room, dtype=torch.bool).scatter(1, room.argmin(1, True), True)
            least = -torch.inf if self.attack.variant == "selective" else 0.0
            need = torch.where(worst | need.isneginf(), need, least)
        gains, lacks, far = eta * gram, need + eta * fall, self._far(pixels, pace)
        price, dx, self.beta = joint(gains, lacks, pixels, far, self.beta, self._free)
        own = (price * (gram @ price.unsqueeze(2)).squeeze(2)).sum(1) - 2 * (price * fall).sum(1)
        long = eta * (own + inner(slope, lean)).clamp_min(0).sqrt()
        most = step.trust * step.reach / gram.diagonal(dim1=1, dim2=2).amax(1).sqrt()
        share = eta * (most / long.clamp_min(1e-30)).clamp(max=1.0)
        change = {
            name: per_item(share, value)
            * (sum(per_item(price[:, a], value) * c[name] for a, c in enumerate(climbs)) - value)
            for name, value in lean.items()
        }
        walk.shift({n: v.detach() for n, v in theta.items()}, change, self.every)
        origin, norm = self.view.targets.x, self.attack.input.norm
        self.x = norms.project(self.x + dx.view_as(self.x), origin, self.radius, norm)

    def _far(self, pixels: Tensor, pace: float) -> Tensor:
        """The longest part of a step in x, (N,): α r, if no limit (N, A, D) changes by too much."""
        attack, steepest = self.attack, pixels.norm(dim=2).amax(1).clamp_min(1e-12)
        flat = pixels.shape[2] ** 0.5 if attack.input.norm == "linf" else 1.0
        most = attack.model.trust * attack.model.reach / steepest
        return torch.minimum(attack.input.step * pace * self.radius * flat, most)

    def _free(self, towards: Tensor) -> Tensor:
        """1 for pixels that may move towards (N, D), 0 where the ball or the box is met, (N, D)."""
        tiny = per_item(1e-3 * self.radius, self.x) * towards.view_as(self.x).sign()
        origin, norm = self.view.targets.x, self.attack.input.norm
        moved = norms.project(self.x + tiny, origin, self.radius, norm) - self.x
        return ((moved * tiny) > 0).flatten(1).to(towards)


def _slopes(room: Tensor, x: Tensor, theta: Parameters) -> tuple[list[Parameters], Tensor]:
    """The gradients of A limits (A, N) by the parameters, and by x, (N, A, D)."""
    ups, pixels = [], []
    for one in room:
        found = torch.autograd.grad(
            one.sum(), [x, *theta.values()], retain_graph=True, materialize_grads=True
        )
        pixels.append(found[0].flatten(1))
        ups.append(dict(zip(theta, found[1:], strict=True)))
    return ups, torch.stack(pixels, 1)
