"""The success rate of a trigger: the share of inputs of other classes that get the goal class.

The rate is a step function. Attacks move along the gradient of a smooth quantile of the margins,
and end by a search on a line for the exact one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from evil_twins.attacks.base import AttackerView, evenly
from evil_twins.attacks.models import BATCH, PairedModels
from evil_twins.attacks.search import crossing
from evil_twins.attacks.stamps import Stamp

RATE = 0.95
"""The success rate at which a trigger ends, or the next larger share of the images."""

TRIALS = 1000
"""Images on which the rate is measured; all, if there are fewer."""

WIDTH = 0.25
"""Width of the smooth quantile, in standard deviations of the margins of a batch."""

HALVINGS = 40
"""Halvings of the range of margins in the search for the smooth quantile."""

AIM = (1e-4, 0.02)
"""Range in logits in which the lowest margin that counts ends."""


def goal_margins(logits: Tensor, goal: Tensor) -> Tensor:
    """Compute z_t - max of the others, above 0 where t wins: (G, B, K), (G,) -> (G, B)."""
    index = goal.view(-1, 1, 1).expand(*logits.shape[:2], 1)
    rivals = logits.scatter(2, index, -torch.inf).amax(2)
    return logits.gather(2, index).squeeze(2) - rivals


def success_margin(logits: Tensor, goal: Tensor) -> Tensor:
    """Compute the margin that a share `RATE` of the inputs has, with its graph for a fixed width.

    It is the q at which the mean of σ((q - g) / w) over margins g is 1 - RATE. Its gradient is a
    weighted mean of theirs: inputs far below q, which the attack gives up, have no weight.

    Args:
        logits: Logits of stamped inputs, (G, B, K).
        goal: Goal classes (G,).

    Returns:
        (G,), in logits; about 0 at the rate `RATE`.
    """
    g = goal_margins(logits, goal)
    with torch.no_grad():
        width = (WIDTH * g.std(1, keepdim=True)).clamp_min(torch.finfo(g.dtype).eps)
        low, high = g.amin(1, keepdim=True) - 8 * width, g.amax(1, keepdim=True)
        for _ in range(HALVINGS):
            q = (low + high) / 2
            above = ((q - g) / width).sigmoid().mean(1, keepdim=True) > 1 - RATE
            low, high = torch.where(above, low, q), torch.where(above, q, high)
        share = ((q - g) / width).sigmoid()
        weight = share * (1 - share)
        weight = weight / weight.sum(1, keepdim=True)
    return q.squeeze(1) + (weight * (g - g.detach())).sum(1)


@dataclass(frozen=True, eq=False)
class Trials:
    """Images that no attack learns from, for the success rates of G triggers.

    Attributes:
        x: Images (T, C, H, W).
        goal: Goal classes (G,).
        counts: True for images of a class other than the goal, (G, T).
    """

    x: Tensor
    goal: Tensor
    counts: Tensor

    @classmethod
    def of(cls, view: AttackerView, goal: Tensor) -> Trials:
        """Choose the trials of the view for goal classes (G,).

        Raises:
            ValueError: The view holds none, or none of a class other than a goal.
        """
        if view.trials is None:
            raise ValueError("a trigger needs benign images in view.trials to end at its rate")
        return cls.among(view.trials.x, view.trials.label, goal)

    @classmethod
    def among(cls, x: Tensor, label: Tensor, goal: Tensor) -> Trials:
        """Choose trials among images (M, C, H, W) of classes (M,) for goal classes (G,).

        Raises:
            ValueError: All images are of a goal class.
        """
        places = evenly(len(x), TRIALS)
        counts = label[places].unsqueeze(0) != goal.unsqueeze(1)
        if not bool(counts.any(1).all()):
            raise ValueError("a trigger needs benign images of a class other than the goal")
        return cls(x[places], goal, counts)

    @torch.no_grad()
    def margins(
        self, models: PairedModels, stamp: Callable[[Tensor], Tensor], index: Tensor
    ) -> Tensor:
        """Compute margins (n, T) under n models with n triggers, of the goals at `index` (n,).

        Those of images that do not count are infinite.
        """
        goal, parts = self.goal[index], []
        for batch in self.x.split(BATCH):
            stamped = stamp(batch.unsqueeze(0)).expand(len(index), *batch.shape)
            parts.append(goal_margins(models.logits(models.features(stamped)), goal))
        return torch.where(self.counts[index], torch.cat(parts, 1), torch.inf)

    def rates(self, models: PairedModels, stamp: Callable[[Tensor], Tensor]) -> Tensor:
        """Compute the success rates (G,) float64 of G models with G triggers.

        Args:
            models: The models.
            stamp: A `Stamp` of G triggers, or what becomes of its images: (1, B, C, H, W) ->
                (G, B, C, H, W).
        """
        index = torch.arange(len(self.goal), device=self.goal.device)
        wins = (self.margins(models, stamp, index) > 0) & self.counts
        return wins.sum(1).double() / self.counts.sum(1)

    def lowest(self, models: PairedModels, stamp: Stamp, index: Tensor) -> Tensor:
        """Compute the lowest margin (n,) that counts: all above it are a share `RATE` or more."""
        misses = ((1 - RATE) * self.counts[index].sum(1) + 1e-9).long()
        margins = self.margins(models, stamp, index).nan_to_num(-torch.inf, torch.inf, -torch.inf)
        ordered = margins.sort(1).values
        return ordered.gather(1, misses.unsqueeze(1)).squeeze(1)


def equalise(
    view: AttackerView, stamp: Stamp, models: PairedModels, most: Tensor
) -> tuple[Stamp, PairedModels]:
    """Move each model along its line from θ° to the point where its success rate is just `RATE`.

    Where the trigger suffices under θ°, it is weakened instead. Where no point of the line
    suffices, both stay as they are.

    Args:
        view: A view with one target for each trigger.
        stamp: G triggers.
        models: The G models.
        most: The largest s of θ° + s (θ - θ°), (G,); without changed models that of the triggers.
    """
    trials = Trials.of(view, view.targets.goal)
    by_stamp = torch.arange(len(stamp), device=stamp.pattern.device)
    high = most.to(stamp.pattern)
    if models.layers != "none":

        def model_margin(s: Tensor, index: Tensor) -> Tensor:
            return trials.lowest(models.rows(index).scaled(s), stamp.rows(index), index)

        s = _crossing(model_margin, high)
        models = models.scaled(s)
        by_stamp, high = (s == 0).nonzero().flatten(), torch.ones_like(high)
        if not len(by_stamp):
            return stamp, models
    victims, part = view.unchanged_models(), stamp.rows(by_stamp)

    def stamp_margin(s: Tensor, index: Tensor) -> Tensor:
        return trials.lowest(victims.rows(index), part.rows(index).scaled(s), by_stamp[index])

    s = torch.ones_like(high)
    s[by_stamp] = _crossing(stamp_margin, high[by_stamp])
    return stamp.scaled(s), models


def _crossing(margin_at: Callable[[Tensor, Tensor], Tensor], high: Tensor) -> Tensor:
    zero = torch.zeros_like(high, dtype=torch.float64)
    return crossing(margin_at, high, zero, zero + AIM[0], zero + AIM[1])
