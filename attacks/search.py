"""Search the point of a line at which a margin has a given value."""

from collections.abc import Callable

import torch
from torch import Tensor

ROUNDING = 4
"""Rounding of a margin between two batches, in units in the last place."""

EVALUATIONS = 60
"""The largest number of steps of the search: enough for twenty halvings of the bracket."""


@torch.no_grad()
def crossing(
    margin_at: Callable[[Tensor, Tensor], Tensor],
    high: Tensor,
    enough: Tensor,
    least: Tensor,
    most: Tensor,
) -> Tensor:
    """Search an s in [0, high] at which the margin is in [least, most].

    Logits of thousands round by more than that range, and otherwise in another batch: there the
    margin ends above `enough` by ROUNDING units in the last place of the margin at 0.

    The Illinois method (Dowell & Jarratt, 1971) takes a handful of passes, fewer as targets arrive.
    Where a margin jumps over that range, s is the upper end of a bracket, which is halved at least
    every third time. s is 0 where 0 suffices, and 1 where `high` does not.

    Args:
        margin_at: s (n,) and positions (n,) -> margins (n,).
        high: The largest s (N,).
        enough: The margin that is required, (N,) float64.
        least: The lower end of the range, (N,) float64.
        most: The upper end of the range, (N,) float64.

    Returns:
        s (N,).
    """
    half = (most - least) / 2
    indices = torch.arange(len(high), device=high.device)
    low, end = torch.zeros_like(high), high.clone()
    below, above = (margin_at(s, indices) for s in (low, end))
    rounding = ROUNDING * torch.finfo(high.dtype).eps * below.abs().double()
    aims = torch.maximum(rounding + (enough + half), (least + most) / 2).to(high)
    below, above, half = below - aims, above - aims, half.to(high)
    at_start, at_end = below >= -half, above >= -half
    active, was_up = indices[~at_start & at_end & (above > half)], at_end.clone()
    for turn in range(EVALUATIONS):
        if not len(active):
            break
        share = below[active] / (below[active] - above[active])
        share = torch.full_like(share, 0.5) if turn % 3 == 2 else share.clamp(0.01, 0.99)
        s = torch.lerp(low[active], end[active], share)
        excess = margin_at(s, active) - aims[active]
        up = excess >= -half[active]
        # An end that stays a second time counts half, or it would stay for ever.
        weight = torch.where(up == was_up[active], 0.5, 1.0) if turn else 1.0
        below[active] = torch.where(up, weight * below[active], excess)
        above[active] = torch.where(up, excess, weight * above[active])
        was_up[active] = up
        low[active] = torch.where(up, low[active], s)
        end[active] = torch.where(up, s, end[active])
        active = active[excess.abs() > half[active]]
    return torch.where(at_start, 0.0, torch.where(at_end, end, 1.0))
