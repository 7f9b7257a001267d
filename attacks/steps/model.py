"""Move models along the tangent of equal confidence, in the metric of the Fisher information."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from evil_twins.attacks.base import AttackerView
from evil_twins.attacks.efficacy import Efficacy, single
from evil_twins.attacks.models import HEAD, PairedModels, parameter_norm
from evil_twins.attacks.norms import per_item
from evil_twins.attacks.steps import metric, serving
from evil_twins.attacks.steps.fisher import DIVERGENCE, Body, Fisher, Specificity
from evil_twins.attacks.steps.minibatch import Minibatches
from evil_twins.attacks.steps.serving import Parameters, gradient
from evil_twins.attacks.steps.treatment import Others

WEIGH = 20
"""Model steps after which the chances of the reference images are computed again."""

RISE = 50
"""Newton steps that bring any margin to κ: where `gain` is too small for that, steps are longer.
Logits of a usual victim need fewer; those of a saturated one are thousands."""


@dataclass(frozen=True)
class ModelStep:
    """θ ← Π(θ - η F⁻¹[∇KL]ₜ + F⁻¹∇g (logit κ - g) / ⟨∇g, F⁻¹∇g⟩) onto F_δ(θ°).

    The specificity loss KL(f(·; θ°) ‖ f(·; θ)) falls along its part tangent to g = const, with
    momentum; a Newton step on g brings the margin to κ. F is the Fisher information at θ°. So κ is
    a constraint and needs no penalty weight, and ν matters only relative to λ.

    Attributes:
        layers: The parameters that may move.
        lr: η; 1 is a Newton step where KL is quadratic and F exact.
        batch: Reference images in one step; all of them, if there are not more. Images whose
            outputs change most, when a change of the last layer reaches κ, are drawn most often.
        nu: ν, the weight of the specificity loss.
        delta: δ, the largest ‖θ - θ°‖₂ / ‖θ°‖₂.
        steps: Model steps in one round.
        momentum: The momentum of the gradient of KL.
        gain: The largest gain of the margin in one Newton step, in logits; on a saturated victim
            the `RISE`-th part of the lack of a target, if that is more.
        trust: The longest step along the tangent, as a multiple of the shortest step that gains
            `gain`, both in the norm of F. Farther away a minibatch is not informative.
        body: The share of a Newton step that the layers before the last take. In a deep network
            KL is quadratic in them only nearby, and their gain at one input is a loss at many: a
            small share leaves the model closer to the victim.
        serves: Targets that one model must bring to κ; they follow each other.
        others: The metric of parameters that are not of convolutions or linear layers, such as
            those of norms, if all layers may move; with "frozen" they stay.
    """

    layers: Literal["all", "head"] = "head"
    lr: float = 0.5
    batch: int = 1024
    nu: float = 1.0
    delta: float = 4.0
    steps: int = 1
    momentum: float = 0.9
    gain: float = 1.0
    trust: float = 2.0
    body: float = 0.1
    serves: int = 1
    others: Others = "diagonal"

    def __post_init__(self) -> None:
        if not min(self.batch, self.steps, self.serves) >= 1:
            raise ValueError("a model step needs batch >= 1, steps >= 1 and serves >= 1")
        if not min(self.lr, self.gain, self.trust, self.body) > 0:
            raise ValueError("a model step needs lr, gain, trust, body > 0")
        if not self.delta >= 0:
            raise ValueError(f"delta is {self.delta}; at least 0 was expected")

    def forbid_serves(self) -> None:
        """Raise ValueError if `serves` is not 1, for attacks with one model for each target."""
        if self.serves != 1:
            raise ValueError("serves is only for poisoning, logit-anchoring and imc")


class ModelWalk:
    """The N models and the state of the model step between two rounds."""

    def __init__(
        self,
        step: ModelStep,
        view: AttackerView,
        loss: Specificity = DIVERGENCE,
        efficacy: Efficacy = single,
    ) -> None:
        self.step, self.view, self.outputs, self.efficacy = step, view, loss.outputs, efficacy
        n = len(view.targets)
        serving.validate(n, step.serves)
        self.models, treatment = metric.start(view, step.layers, step.others)
        self.slopes = {n: torch.zeros_like(v) for n, v in self.models.parameters.items()}
        self.count, self.victim_norm = 0, parameter_norm(view.victim)
        self.margin_cost = view.targets.x.new_zeros(n)
        self.stretch = torch.ones_like(self.margin_cost)
        self.passes = torch.zeros(n, dtype=torch.int64, device=view.targets.x.device)
        features = view.reference.features
        logits = view.victim.head(features).detach()
        self.benign = self.outputs(logits, 1)
        self.inputs = view.reference.x if self.whole else features
        self.batches = Minibatches(n, len(features), features.device)
        f = logits.softmax(1)
        self.fisher = metric.inverse(view, self.models, treatment, f, loss.floor[step.layers])
        self.fisher = replace(self.fisher, body=self.fisher.body.scaled(step.body))

    @property
    def whole(self) -> bool:
        """True if more than the last layer moves."""
        return self.models.layers == "all"

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Compute the features of N inputs (N, C, H, W) that do not move."""
        self.passes += not self.whole
        return self.models.features(x.unsqueeze(1))

    def advance(
        self,
        features: Tensor,
        active: Tensor,
        aim: Tensor | float,
        done: Tensor | float,
        pace: float,
    ) -> Tensor:
        """Move the active models one step towards the margin `aim`, as `InputWalk.advance` does.

        Their inputs have these features: (n, 1, ...), or (n, B, ...) with a trigger. Returns the
        margins (n,) before the step.
        """
        step, m, models = self.step, self.step.serves, self.models.rows(active).leaves()
        g = self.efficacy(models.logits(features), self.view.targets.goal[active])
        up = gradient(g, models.parameters)
        lead, leaves = active[::m], serving.first(models.parameters, m)
        models = PairedModels(self.view.victim, len(lead), leaves)
        self.weigh(leaves, up, aim - g.detach(), lead)
        down = self.loss_gradient(models, lead)
        with torch.no_grad():
            moves = (g < done).view(-1, m).any(1, keepdim=True)
            eta = step.lr * pace * moves.squeeze(1)
            stretch = self.stretched(aim - g, active)
            self._move(leaves, up, down, active, (aim - g).view(-1, m) * moves, eta, stretch)
        if self.whole:
            batch = min(step.batch, len(self.benign))
            self.passes[active] += 2 * features.shape[1] + -(-2 * batch // m)
        return g.detach()

    def stretched(self, missing: Tensor, active: Tensor) -> Tensor:
        """Return the longest Newton step of each active target in units of `gain`, (n,).

        It never falls, so that the steps of a target stay in proportion to its logits.
        """
        needed = missing / (RISE * self.step.gain)
        self.stretch[active] = torch.maximum(self.stretch[active], needed)
        return self.stretch[active]

    def loss_gradient(self, models: PairedModels, active: Tensor) -> Parameters:
        """Compute the gradients of the specificity loss of the active models on minibatches."""
        step, inputs, benign = self.step, self.inputs.unsqueeze(0), self.benign.unsqueeze(0)
        weight = None
        if step.batch < len(self.benign):
            draws = self.view.generators(active.tolist(), "minibatch", self.count)
            index, weight = self.batches.draw(active, step.batch, draws)
            inputs, benign = (
                values.index_select(0, index.flatten()).view(*index.shape, *values.shape[1:])
                for values in (self.inputs, self.benign)
            )
        z = models.logits(inputs)
        faced = self.outputs(z.detach().mT, 1).mT  # many times faster along the memory of `z`
        rise = faced - benign
        rise /= z.shape[1]
        if weight is not None:
            rise *= weight.unsqueeze(2).to(rise)
        return gradient(z, models.parameters, rise)

    def weigh(self, leaves: Parameters, up: Parameters, missing: Tensor, active: Tensor) -> None:
        """Compute the chances of the reference images, at every WEIGH-th step.

        For them the last layer of each model is moved until it reaches the margin. Without a last
        layer the chances stay equal.

        Args:
            leaves: The parameters of the active models.
            up: The gradients of the margins of their targets.
            missing: The missing margins, (n serves,).
            active: Positions of the active models, (n,).
        """
        if self.step.batch >= len(self.benign) or self.count % WEIGH or self.fisher.head is None:
            return
        up = {name: value for name, value in up.items() if name in HEAD}
        climb = Fisher(self.fisher.head, Body())(up)
        m = self.step.serves
        multipliers = serving.solve(serving.gram(up, climb, m), missing.view(-1, m))
        change = serving.combine(multipliers, climb)
        heads = {n: leaves[n].detach() + v for n, v in change.items()}
        ahead = PairedModels(self.view.victim, len(active), heads)
        features = self.view.reference.features
        self.batches.weigh(ahead, active, features, self.benign, self.outputs)

    def _move(
        self,
        theta: Parameters,
        up: Parameters,
        down: Parameters,
        active: Tensor,
        missing: Tensor,
        eta: Tensor,
        stretch: Tensor,
    ) -> None:
        step, m = self.step, self.step.serves
        stretch = stretch.view(-1, m)
        slope = self.add_momentum(down, active[::m])
        climb, lean = self.fisher(up), self.fisher(slope)
        gains = serving.gram(up, climb, m)
        cost, tangent = serving.tangent(slope, climb, lean, gains)
        self.margin_cost[active] = cost.flatten()
        gain = gains.diagonal(dim1=1, dim2=2).amax(1)
        trust = step.trust * step.gain * stretch.amax(1)
        eta = eta * (trust / (step.lr * (gain * tangent).sqrt())).clamp(max=1.0)
        most = step.gain * stretch
        multipliers = serving.solve(gains, missing.clamp(-most, most))
        climbed = serving.combine(multipliers + eta.unsqueeze(1) * cost, climb)
        change = {n: climbed[n] - per_item(eta, lean[n]) * lean[n] for n in theta}
        self.shift(serving.spread(theta, m), serving.spread(change, m), active)

    def add_momentum(self, down: Parameters, active: Tensor) -> Parameters:
        """Add momentum to the gradients of KL of the active models, and count the step."""
        beta, slope = self.step.momentum, {}
        self.count += 1
        for name, value in down.items():
            mixed = beta * self.slopes[name][active] + (1 - beta) * value
            self.slopes[name] = self.slopes[name].index_copy(0, active, mixed)
            slope[name] = mixed / (1 - beta**self.count)
        return slope

    def shift(self, theta: Parameters, change: Parameters, active: Tensor) -> None:
        """Set the active models to θ + change, projected to within δ of the victim."""
        step, parameters = self.step, dict(self.models.parameters)
        for name, value in theta.items():
            parameters[name] = parameters[name].index_copy(0, active, value + change[name])
        models = PairedModels(self.view.victim, len(self.models), parameters)
        distance = models.moved() / self.victim_norm
        inside = torch.where(distance > step.delta, step.delta / distance, 1.0)
        self.models = models.scaled(inside) if (inside < 1).any() else models
