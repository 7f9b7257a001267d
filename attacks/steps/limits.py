"""What a target must keep to evade detectors: κ, and every penalty below one of benign images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from evil_twins.attacks.base import AttackerView, Logits, evenly
from evil_twins.attacks.efficacy import logit, margin
from evil_twins.attacks.models import PairedModels

AMONG = 256
"""Reference images whose penalties set the thresholds."""

JUDGES = 4
"""Draws of noise by which a pair is judged."""

LOT = 32
"""Of them at once: each may stand for many noisy copies."""


class Limits:
    """The room that is left to κ and to the threshold of each of J penalties.

    The thresholds are the attacker's guess of the defender's: quantiles of the penalties of its own
    reference images under the models that are given to `take`, as a defender calibrates under the
    model that it faces.

    Attributes:
        thresholds: Quantiles (J, N).
        among: The reference images that they are quantiles among, (M, C, H, W).
        units: Standard deviations of the benign penalties under the victim, (J,).
        passes: Passes of one image through the whole network so far, (N,).
    """

    def __init__(self, view: AttackerView, kappa: float, level: float) -> None:
        self.view, self.enough, self.level = view, logit(kappa), level
        self.passes = torch.zeros_like(view.targets.goal)
        self.among = view.reference.x[evenly(len(view.reference), AMONG)]
        benign = self._benign(PairedModels(view.victim, 1, {}), 0)
        spread = (benign - benign.mean(2, keepdim=True)).square().mean((1, 2)).sqrt()
        self.units = spread.clamp_min(torch.finfo(benign.dtype).eps)
        self.thresholds = quantile(benign, level).expand(-1, len(view.targets))

    def take(self, models: PairedModels, turn: int) -> None:
        """Take the thresholds anew, under the N models; `turn` numbers the noise."""
        self.thresholds = quantile(self._benign(models, turn), self.level)

    @torch.no_grad()
    def judged(self, models: PairedModels, x: Tensor) -> Tensor:
        """The mean `room` over noise of its own, the same for all pairs.

        Of many pairs that are judged by the noise of their own step the luckiest would win.
        """
        rooms = [self.room(models, x, turn, "judging") for turn in range(JUDGES)]
        return torch.stack(rooms).mean(0)

    def room(self, models: PairedModels, x: Tensor, turn: int, purpose: str = "penalty") -> Tensor:
        """What is left, at least 0 where a limit is kept, with its graph.

        Args:
            models: The N models.
            x: The N inputs (N, C, H, W).
            turn: Numbers the noise,
            purpose: and names it.

        Returns:
            (1 + J, N): the margin beyond κ in logits, then what each penalty may still gain, as a
            multiple of its unit.
        """
        ask, images = self._ask(models, True), x.unsqueeze(1)
        g = margin(ask(images).squeeze(1), self.view.targets.goal) - self.enough
        draws = [self.view.generator(i, purpose, turn) for i in range(len(x))]
        values = self._values(ask, images, draws)
        left = (self.thresholds - values.squeeze(2)) / self.units.unsqueeze(1)
        return torch.cat([g.unsqueeze(0), left.to(g)])

    @torch.no_grad()
    def _benign(self, models: PairedModels, turn: int) -> Tensor:
        """Penalties (J, N, M) of reference images under each model, all with the same noise."""
        # Not of a target's own: a target does not depend on those that stand beside it.
        draws, ask = (
            [torch.Generator().manual_seed(turn)],
            self._ask(models, models.layers == "all"),
        )
        lots = self.among.unsqueeze(0).split(LOT, 1)
        return torch.cat([self._values(ask, lot, draws) for lot in lots], 2)

    def _values(self, ask: Logits, images: Tensor, draws: Sequence[torch.Generator]) -> Tensor:
        found = [penalty(ask, images, draws).double() for penalty in self.view.evade]
        if not found:
            return images.new_zeros(0, *images.shape[:2], dtype=torch.float64)
        return torch.stack(torch.broadcast_tensors(*found))

    def _ask(self, models: PairedModels, own: bool) -> Logits:
        """The models as penalties see them; passes are counted that each needs of its own."""

        def logits(images: Tensor) -> Tensor:
            if own:
                self.passes += (1 + torch.is_grad_enabled()) * images.shape[1]
            return models.logits(models.features(images))

        return logits


def quantile(values: Tensor, level: float) -> Tensor:
    """The quantile of each row, (J, N, M) -> (J, N), J = 0 included."""
    return values.quantile(level, 2) if len(values) else values[..., 0]
