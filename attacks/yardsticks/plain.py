"""Algorithm 1 of the Evil Twins paper (CCS 2020) with plain gradient steps of both sides."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import softplus

from evil_twins.attacks.base import Attacked, AttackerView, Kappa, Nature
from evil_twins.attacks.efficacy import Level, equalise, margin, measured, validate
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.steps.input import InputStep, InputWalk
from evil_twins.attacks.steps.nature import nature
from evil_twins.attacks.steps.serving import gradient


@dataclass(frozen=True)
class PlainSteps:
    """x ← Π(x - α sgn ∇_x ℓ), then θ ← θ - η ∇_θ (ℓ(x; θ) + ν KL), until f_t(x; θ) >= κ.

    θ is the last layer, and ℓ = -log f_t. A round is one step of each; a target stops at the first
    iterate at κ and then moves back along its line to κ, as with the exit `first` of IMC. IMC takes
    its model steps in the metric of the Fisher information instead, along g = const.

    Attributes:
        input: The input step; its radius is ε.
        kappa: The required efficacy.
        rounds: The largest number of rounds.
        lr: η. The default is that of the training in the authors' code.
        batch: Reference images in the minibatch of a model step.
        nu: ν, the weight of the specificity loss KL(f(·; θ°) ‖ f(·; θ)).
    """

    input: InputStep
    kappa: Kappa
    rounds: int = 20
    lr: float = 0.1
    batch: int = 128
    nu: float = 1.0

    def __post_init__(self) -> None:
        validate(self.kappa, self.rounds)
        self.input.forbid_quantize()
        if not (self.lr > 0 and self.batch >= 1 and self.nu >= 0):
            raise ValueError("plain steps need lr > 0, batch >= 1 and nu >= 0")

    @property
    def nature(self) -> Nature:
        """The properties of the attack with these parameters."""
        return replace(nature("both", self.input, None, role="yardstick"), layers="head")

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every target."""
        targets, goal, level = view.targets, view.targets.goal, Level.of(view, self.kappa)
        aim, enough = level.least.to(targets.x), level.enough.to(targets.x)
        inputs = InputWalk(self.input, view, self.input.eps)
        models = PairedModels.copies(view.victim, len(targets), "head")
        active = torch.arange(len(targets), device=targets.x.device)
        reached = torch.full_like(active, -1)

        def keep_active(margins: Tensor, turn: int) -> Tensor:
            reached[active[margins >= enough[active]]] = turn
            return active[margins < enough[active]]

        for k in range(self.rounds):
            if len(active):
                g = inputs.advance(models, active, aim[active], enough[active], 1.0)
                active = keep_active(g, k)
            if len(active):
                features = inputs.forward(models, active)[1].detach()
                with torch.no_grad():
                    g = margin(models.rows(active).logits(features).squeeze(1), goal[active])
                below = g < enough[active]
                active = keep_active(g, k + 1)
                models = self._descend(view, models, features[below], active, k)
        x, models = equalise(level, targets, inputs.x.detach(), models)
        ended = measured(view, x, models, inputs.passes, self.rounds, level)
        return replace(ended, rounds=torch.where(reached < 0, ended.rounds, reached))

    def _descend(
        self, view: AttackerView, models: PairedModels, features: Tensor, active: Tensor, turn: int
    ) -> PairedModels:
        """Move the active models one step, their inputs at these features (n, 1, D)."""
        if not len(active):
            return models
        live = models.rows(active).leaves()
        g = margin(live.logits(features).squeeze(1), view.targets.goal[active])
        draws = view.generators(active.tolist(), "minibatch", turn)
        index = torch.stack(
            [torch.randint(len(view.reference), (self.batch,), generator=draw) for draw in draws]
        )
        batch = view.reference.features[index.to(features.device)]
        with torch.no_grad():
            benign = view.victim.head(batch).softmax(2)
        surprise = -(benign * live.logits(batch).log_softmax(2)).sum(2).mean(1)
        slope = gradient(softplus(-g) + self.nu * surprise, live.parameters)
        moved = {
            name: value.index_copy(
                0, active, live.parameters[name].detach() - self.lr * slope[name]
            )
            for name, value in models.parameters.items()
        }
        return PairedModels(models.victim, len(models), moved)
