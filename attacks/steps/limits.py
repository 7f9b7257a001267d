"""Limits of a target that evades detectors: κ, and penalties below those of benign images."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from evil_twins.attacks.base import AttackerView, Kappa, Logits, evenly
from evil_twins.attacks.efficacy import Level, margin
from evil_twins.attacks.models import PairedModels

BENIGN_IMAGES = 256
"""Reference images whose penalties set the thresholds."""

JUDGES = 4
"""Draws of noise over which the room of a pair is averaged."""

BATCH = 32
"""Benign images in one pass. A penalty may make many noisy copies of each."""


@dataclass(frozen=True)
class FacedLogits:
    """The logits of N faced models, as a penalty calls them.

    A penalty that is made of a score reads the models, because a scorer needs a module.

    Attributes:
        models: The N faced models.
        passes: Passes of one image through the whole network, (N,), which a call counts; None: not
            counted.
    """

    models: PairedModels
    passes: Tensor | None

    def __call__(self, images: Tensor) -> Tensor:
        """Return logits (N, B, K) of images (N, B, C, H, W) or (1, B, C, H, W)."""
        if self.passes is not None:
            self.passes.add_((1 + torch.is_grad_enabled()) * images.shape[1])
        return self.models.logits(self.models.features(images))


class Limits:
    """The distance to κ and to the threshold of each of J penalties.

    The thresholds are the attacker's estimates of the defender's: quantiles of the penalties of the
    attacker's reference images under the models passed to `calibrate`. A defender also calibrates
    under the model that it faces.

    Attributes:
        thresholds: Quantiles (J, N).
        benign: The reference images whose penalties give the thresholds, (M, C, H, W).
        units: Standard deviations of the benign penalties under the victim, (J,).
        passes: Passes of one image through the whole network so far, (N,).
    """

    def __init__(self, view: AttackerView, kappa: Kappa, level: float) -> None:
        self.view, self.level = view, level
        self.enough = Level.of(view, kappa).enough.to(view.targets.x)
        self.passes = torch.zeros_like(view.targets.goal)
        self.benign = view.reference.x[evenly(len(view.reference), BENIGN_IMAGES)]
        values = self._benign_values(PairedModels(view.victim, 1, {}), 0)
        spread = (values - values.mean(2, keepdim=True)).square().mean((1, 2)).sqrt()
        self.units = spread.clamp_min(torch.finfo(values.dtype).eps)
        self.thresholds = quantile(values, level).expand(-1, len(view.targets))

    def calibrate(self, models: PairedModels, turn: int) -> None:
        """Compute the thresholds under the N models; `turn` numbers the noise."""
        self.thresholds = quantile(self._benign_values(models, turn), self.level)

    @torch.no_grad()
    def mean_room(self, models: PairedModels, x: Tensor) -> Tensor:
        """Average `room` over separate noise, the same for all pairs.

        With the noise of the step of each pair, the luckiest of many pairs would win.
        """
        rooms = [self.room(models, x, turn, "judging") for turn in range(JUDGES)]
        return torch.stack(rooms).mean(0)

    def room(self, models: PairedModels, x: Tensor, turn: int, purpose: str = "penalty") -> Tensor:
        """Compute the distances to the limits, at least 0 where a limit is kept, with the graph.

        Args:
            models: The N models.
            x: The N inputs (N, C, H, W).
            turn: The number of the noise.
            purpose: The name of the noise.

        Returns:
            (1 + J, N): the margin beyond κ in logits, then the distance of each penalty to its
            threshold in its unit.
        """
        logits, images = self._logits(models, True), x.unsqueeze(1)
        g = margin(logits(images).squeeze(1), self.view.targets.goal) - self.enough
        draws = self.view.generators(range(len(x)), purpose, turn)
        values = self._values(logits, images, draws)
        room = (self.thresholds - values.squeeze(2)) / self.units.unsqueeze(1)
        return torch.cat([g.unsqueeze(0), room.to(g)])

    @torch.no_grad()
    def _benign_values(self, models: PairedModels, turn: int) -> Tensor:
        """Compute penalties (J, N, M) of reference images under each model, with equal noise."""
        # The noise belongs to no target: a target does not depend on the others of its cell.
        draws = [torch.Generator().manual_seed(turn)]
        logits = self._logits(models, models.layers == "all")
        batches = self.benign.unsqueeze(0).split(BATCH, 1)
        return torch.cat([self._values(logits, batch, draws) for batch in batches], 2)

    def _values(self, logits: Logits, images: Tensor, draws: Sequence[torch.Generator]) -> Tensor:
        values = [penalty(logits, images, draws).double() for penalty in self.view.evade]
        if not values:
            return images.new_zeros(0, *images.shape[:2], dtype=torch.float64)
        return torch.stack(torch.broadcast_tensors(*values))

    def _logits(self, models: PairedModels, count: bool) -> FacedLogits:
        """Return the models as penalties use them; `count` their passes for each target."""
        return FacedLogits(models, self.passes if count else None)


def quantile(values: Tensor, level: float) -> Tensor:
    """Compute the quantile of each row, (J, N, M) -> (J, N), J = 0 included."""
    return values.quantile(level, 2) if len(values) else values[..., 0]
