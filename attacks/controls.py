"""Controls: no change, random noise, and honest training."""

import copy
from dataclasses import dataclass
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from evil_twins.attacks.base import Attacked, AttackerView, Kappa, Nature
from evil_twins.attacks.efficacy import measured, validate
from evil_twins.attacks.models import HEAD, PairedModels
from evil_twins.attacks.norms import direction, per_item, project
from evil_twins.attacks.pgd import PGD
from evil_twins.attacks.steps.input import InputStep
from evil_twins.attacks.steps.nature import nature


@dataclass(frozen=True)
class Untouched:
    """x° under θ°: each flag of a detector is a false alarm."""

    kappa: ClassVar[None] = None

    @property
    def nature(self) -> Nature:
        """The properties of the control with these parameters."""
        return Nature("nothing", role="control")

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every target."""
        return measured(view, view.targets.x, view.unchanged_models(), 0)


@dataclass(frozen=True)
class Noise:
    """Random noise of the same norm as each target's PGD perturbation at κ, under θ°.

    The direction is the steepest one of Gaussian noise: signs for linf, a uniform direction for
    l2. Pixels are clipped to [0, 1].
    """

    input: InputStep
    kappa: Kappa

    def __post_init__(self) -> None:
        validate(self.kappa)
        self.input.forbid_quantize()

    @property
    def nature(self) -> Nature:
        """The properties of the control with these parameters."""
        return nature("inputs", self.input, None, role="control", radii=PGD(self.input, self.kappa))

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every target."""
        x, norm, radii = view.targets.x, self.input.norm, view.required_radii().to(view.targets.x)
        generators = view.generators(range(len(x)), "noise", 0)
        draws = torch.stack([torch.randn(x.shape[1:], generator=g) for g in generators]).to(x)
        moved = project(x + direction(draws, norm) * per_item(radii, x), x, radii, norm)
        return measured(view, moved, view.unchanged_models(), 0)


@dataclass(frozen=True)
class FineTuning:
    """Honest fine-tuning: SGD on the reference with its true labels; one model per target, x°.

    Attributes:
        layers: The parameters that may move.
        lr: Learning rate.
        batch: Reference images in one step.
        steps: The number of steps.
    """

    layers: Literal["all", "head"] = "all"
    lr: float = 0.01
    batch: int = 64
    steps: int = 60
    kappa: ClassVar[None] = None

    @property
    def nature(self) -> Nature:
        """The properties of the control with these parameters."""
        return Nature("model", role="control", layers=self.layers)

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every target."""
        tuned = [self._tune(view, i) for i in range(len(view.targets))]
        edited = {name: torch.stack([model[name] for model in tuned]) for name in tuned[0]}
        models = PairedModels(view.victim, len(tuned), edited)
        passes = 2 * self.batch * self.steps if self.layers == "all" else 0
        return measured(view, view.targets.x, models, passes)

    def _tune(self, view: AttackerView, i: int) -> dict[str, Tensor]:
        model = copy.deepcopy(cast(nn.Module, view.victim))
        names = [n for n, _ in model.named_parameters() if self.layers == "all" or n in HEAD]
        moved = {name: model.get_parameter(name).requires_grad_() for name in names}
        module, inputs = model, view.reference.x
        if self.layers == "head":
            module, inputs = model.get_submodule("head"), view.reference.features
        optimizer = torch.optim.SGD(moved.values(), lr=self.lr)
        for k in range(self.steps):
            draw = view.generator(i, "minibatch", k)
            chosen = torch.randint(len(view.reference), (self.batch,), generator=draw)
            logits = module(inputs[chosen])
            optimizer.zero_grad()
            nn.functional.cross_entropy(logits, view.reference.label[chosen]).backward()
            optimizer.step()
        return {name: value.detach() for name, value in moved.items()}
