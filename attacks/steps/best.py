"""Keep the best input and model of each target."""

import torch
from torch import Tensor

from evil_twins.attacks.efficacy import margins
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.norms import per_item
from evil_twins.attacks.steps.input import InputWalk
from evil_twins.attacks.steps.pace import cosine


class BestPairs:
    """The input and the model of each target with the largest merit so far."""

    def __init__(self, x: Tensor, models: PairedModels) -> None:
        self.x, self.models = x.clone(), models
        self.merit = x.new_full((len(x),), -torch.inf)

    @torch.no_grad()
    def update(self, merit: Tensor, x: Tensor, models: PairedModels) -> None:
        """Keep the inputs (N, C, H, W) and the N models whose merit (N,) is larger."""
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

    def update_margin(self, x: Tensor, models: PairedModels, goal: Tensor) -> None:
        """Keep the pairs of larger margin."""
        with torch.no_grad():
            self.update(margins(models, x, goal), x, models)

    def ascend(self, walk: InputWalk, models: PairedModels, rounds: int, steps: int) -> Tensor:
        """Take input steps up the margin with the models fixed; return the passes (N,)."""
        for k in range(rounds):
            for _ in range(steps):
                before = walk.x.clone()
                self.update(walk.climb(models, cosine(k, rounds)), before, models)
        self.update_margin(walk.x, models, walk.targets.goal)
        return walk.passes + 1
