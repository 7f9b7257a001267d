"""Minibatches drawn where they tell most (Zhao & Zhang, ICML 2015; Katharopoulos & Fleuret, 2018).

A model that is poisoned for one input differs from the victim on few images of the reference. Drawn
with equal chances, a minibatch holds hardly one of them, and a walk ends in the noise of that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from evil_twins.attacks.models import PairedModels

EVEN = 0.5
"""The share of each minibatch that is drawn with equal chances: so no image weighs more than 1 /
EVEN times its due, and one that begins to matter is seen."""


class Minibatches:
    """Reference images for N models: draws with chances of their own, and weights that undo them.

    Attributes:
        sums: The chances of the images, added up from the first on, (N, M) float64; all alike until
            `weigh` is called.
    """

    def __init__(self, n: int, m: int, device: torch.device) -> None:
        every = torch.arange(1, m + 1, dtype=torch.float64, device=device) / m
        self.sums = every.repeat(n, 1)

    def draw(
        self, active: Tensor, batch: int, generators: Sequence[torch.Generator]
    ) -> tuple[Tensor, Tensor]:
        """Draw `batch` images, with replacement, for each of the models at rising positions (n,).

        Returns:
            Positions in the reference (n, batch), and weights (n, batch) float64 with which the
            mean over the minibatch has the mean over the reference as its expectation.
        """
        m = self.sums.shape[1]
        # Of all models nothing is copied: every round asks, and their sums may be megabytes.
        sums = self.sums if len(active) == len(self.sums) else self.sums[active]
        u = torch.stack([torch.rand(batch, dtype=torch.float64, generator=g) for g in generators])
        index = torch.searchsorted(sums, u.to(sums.device), right=True).clamp_max(m - 1)
        before = sums.gather(1, (index - 1).clamp_min(0)).where(index > 0, 0.0)
        return index, 1 / (m * (sums.gather(1, index) - before))

    @torch.no_grad()
    def weigh(
        self,
        models: PairedModels,
        active: Tensor,
        features: Tensor,
        kept: Tensor,
        outputs: Callable[[Tensor, int], Tensor],
    ) -> None:
        """Take the chances anew: in proportion to each image's part in the gradient of the loss.

        Args:
            models: The active models, which differ from the victim in the last layer.
            active: Their positions (n,).
            features: φ of the reference, (M, D).
            kept: What the loss keeps of it, (M, K): f(·; θ°) for KL.
            outputs: Logits and their dimension -> the same of other models.
        """
        size = (features.square().sum(1) + 1).sqrt()
        for row, i in enumerate(active.tolist()):
            one = models.rows(active.new_tensor([row]))
            faced = outputs(one.logits(features.unsqueeze(0)).squeeze(0), 1)
            part = ((faced - kept).norm(dim=1) * size).double()
            whole = part.sum()
            if whole > 0:
                chance = EVEN / len(part) + (1 - EVEN) * part / whole
                self.sums[i] = chance.cumsum(0)
