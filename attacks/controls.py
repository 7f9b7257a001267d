"""Controls: rows that no detector should flag, or that only noise or honest training explain."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from evil_twins.attacks.base import Attacked, AttackerView, Nature
from evil_twins.attacks.efficacy import refuse
from evil_twins.attacks.models import HEAD, PairedModels
from evil_twins.attacks.norms import direction, project
from evil_twins.attacks.pgd import PGD
from evil_twins.attacks.steps.input import InputStep


@dataclass(frozen=True)
class Untouched:
    """x° under θ°: what a detector flags here is a false alarm."""

    kappa: ClassVar[None] = None

    @property
    def nature(self) -> Nature:
        """What it moves and how far, and what it needs."""
        return Nature("nothing", role="control")

    def __call__(self, view: AttackerView) -> Attacked:
        """Leave every target as it is."""
        return _attacked(view, view.targets.x, PairedModels(view.victim, len(view.targets), {}))


@dataclass(frozen=True)
class Noise:
    """Random noise of the same norm as each target's PGD perturbation at κ, under θ°.

    The direction is the steepest one of Gaussian noise: signs for linf, a uniform direction for
    l2. The box takes away what would leave [0, 1].
    """

    input: InputStep
    kappa: float

    def __post_init__(self) -> None:
        refuse(self.kappa)
        self.input.refuse_lattice()

    @property
    def nature(self) -> Nature:
        """What it moves and how far, and what it needs."""
        return Nature(
            "inputs",
            role="control",
            norm=self.input.norm,
            eps=self.input.eps,
            radii=PGD(self.input, self.kappa),
        )

    def __call__(self, view: AttackerView) -> Attacked:
        """Add noise to every target.

        Raises:
            ValueError: If the view holds no radii.
        """
        if view.radii is None:
            raise ValueError("noise of equal norm needs the targets' PGD radii in view.radii")
        x, norm = view.targets.x, self.input.norm
        draws = [
            torch.randn(x.shape[1:], generator=view.generator(i, "noise", 0)) for i in range(len(x))
        ]
        radii = view.radii.to(x)
        noise = direction(torch.stack(draws).to(x), norm) * radii.view(-1, *[1] * (x.dim() - 1))
        moved = project(x + noise, x, radii, norm)
        return _attacked(view, moved, PairedModels(view.victim, len(x), {}))


@dataclass(frozen=True)
class FineTuning:
    """Honest fine-tuning: SGD on the reference with its true labels; one model per target, x°.

    Attributes:
        layers: Which parameters may move.
        lr: Learning rate.
        batch: Reference images in one step; poisoning with the same batch draws the same ones.
        steps: How many steps.
    """

    layers: Literal["all", "head"] = "all"
    lr: float = 0.01
    batch: int = 64
    steps: int = 60
    kappa: ClassVar[None] = None

    @property
    def nature(self) -> Nature:
        """What it moves and how far, and what it needs."""
        return Nature("model", role="control", layers=self.layers)

    def __call__(self, view: AttackerView) -> Attacked:
        """Fine-tune one model for every target."""
        tuned = [self._tune(view, i) for i in range(len(view.targets))]
        edited = {name: torch.stack([one[name] for one in tuned]) for name in tuned[0]}
        models = PairedModels(view.victim, len(tuned), edited)
        passes = 2 * self.batch * self.steps if self.layers == "all" else 0
        return _attacked(view, view.targets.x, models, passes)

    def _tune(self, view: AttackerView, i: int) -> dict[str, Tensor]:
        model = copy.deepcopy(cast(nn.Module, view.victim))
        names = [n for n, _ in model.named_parameters() if self.layers == "all" or n in HEAD]
        moved = {name: model.get_parameter(name).requires_grad_() for name in names}
        part, inputs = model, view.reference.x
        if self.layers == "head":
            part, inputs = model.get_submodule("head"), view.reference.features
        optimizer = torch.optim.SGD(moved.values(), lr=self.lr)
        for k in range(self.steps):
            draw = view.generator(i, "minibatch", k)
            chosen = torch.randint(len(view.reference), (self.batch,), generator=draw)
            logits = part(inputs[chosen])
            optimizer.zero_grad()
            nn.functional.cross_entropy(logits, view.reference.label[chosen]).backward()
            optimizer.step()
        return {name: value.detach() for name, value in moved.items()}


@torch.no_grad()
def _attacked(view: AttackerView, x: Tensor, models: PairedModels, passes: int = 0) -> Attacked:
    confidence = models.confidence(x, view.targets.goal)
    never = torch.full_like(view.targets.goal, -1)
    return Attacked(x, models, confidence, never, torch.full_like(never, passes))
