"""Minibatches by importance (Zhao & Zhang, ICML 2015; Katharopoulos & Fleuret, 2018).

A model that is poisoned for one input differs from the victim on few images of the reference. Drawn
with equal chances, a minibatch holds hardly any of them, and the noise hides their gradient.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from evil_twins.attacks.models import PairedModels

EVEN = 0.5
"""The share of each minibatch that is drawn with equal chances. It bounds the weight of an image by
1 / EVEN, and lets new images of large gradient be drawn."""


class Minibatches:
    """Draws of reference images for N models, with unequal chances and weights that correct them.

    Attributes:
        sums: Cumulative sums of the chances of the images, (N, M) float64; the chances are equal
            until `weigh` is called.
    """

    def __init__(self, n: int, m: int, device: torch.device) -> None:
        even = torch.arange(1, m + 1, dtype=torch.float64, device=device) / m
        self.sums = even.repeat(n, 1)

    def draw(
        self, active: Tensor, batch: int, generators: Sequence[torch.Generator]
    ) -> tuple[Tensor, Tensor]:
        """Draw `batch` images, with replacement, for each of the models at rising positions (n,).

        Returns:
            Positions in the reference (n, batch), and weights (n, batch) float64 with which the
            mean over the minibatch has the mean over the reference as its expectation.
        """
        m = self.sums.shape[1]
        # No copy if all models are active: the sums may be megabytes, and each round reads them.
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
        benign: Tensor,
        outputs: Callable[[Tensor, int], Tensor],
    ) -> None:
        """Set the chances in proportion to the size of each image's gradient of the loss.

        Args:
            models: The active models, which differ from the victim in the last layer.
            active: Their positions (n,).
            features: φ of the reference, (M, D).
            benign: The victim's outputs that the loss keeps, (M, K): f(·; θ°) for KL.
            outputs: Logits and their dimension -> the outputs that the loss keeps.
        """
        size = (features.square().sum(1) + 1).sqrt()
        for row, i in enumerate(active.tolist()):
            model = models.rows(active.new_tensor([row]))
            faced = outputs(model.logits(features.unsqueeze(0)).squeeze(0), 1)
            gradient = ((faced - benign).norm(dim=1) * size).double()
            total = gradient.sum()
            if total > 0:
                chance = EVEN / len(gradient) + (1 - EVEN) * gradient / total
                self.sums[i] = chance.cumsum(0)
