"""Keep the best input and model of each target."""

from __future__ import annotations

import torch
from torch import Tensor

from evil_twins.attacks.efficacy import margin
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.norms import per_item

Parameters = dict[str, Tensor]


class Best:
    """The input and the model of each target that have shown the largest merit."""

    def __init__(self, x: Tensor, models: PairedModels) -> None:
        self.x, self.models = x.clone(), models
        self.merit = x.new_full((len(x),), -torch.inf)

    @torch.no_grad()
    def offer(self, merit: Tensor, x: Tensor, models: PairedModels) -> None:
        """Take the inputs (N, C, H, W) and the N models whose merit (N,) is larger."""
        better = merit > self.merit
        self.merit = torch.where(better, merit, self.merit)
        self.x = torch.where(per_item(better, x), x, self.x)
        if models is not self.models:
            kept = self.models.parameters
            parameters = {
                name: torch.where(per_item(better, value), value, kept[name])
                for name, value in models.parameters.items()
            }
            self.models = PairedModels(models.victim, len(models), parameters)


def margins(models: PairedModels, x: Tensor, goal: Tensor) -> Tensor:
    """g(x_i; θ_i): inputs (N, C, H, W), goals (N,) -> (N,)."""
    return margin(models.logits(models.features(x.unsqueeze(1))).squeeze(1), goal)


def size_of(change: Parameters) -> Tensor:
    """‖·‖₂ of N changes, over all of their parameters, (N,) float64."""
    squares = [part.double().flatten(1).square().sum(1) for part in change.values()]
    return torch.stack(squares).sum(0).sqrt()
