"""Estimate the gradient of a score that has none, from differences of the score."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

PIXEL_PAIRS, LOGIT_PAIRS = 16, 4
"""Pairs of scores at each step: with noise added to and subtracted from the image, and with a
direction added to and subtracted from the logits of the model."""

SCORES = 1 + 2 * (PIXEL_PAIRS + LOGIT_PAIRS)
"""Scores of each target at each step."""

PIXEL_STEP, LOGIT_STEP = 0.01, 0.1
"""Standard deviation of the noise, in pixels of [0, 1], and length of the changes of the logits."""


class Score(Protocol):
    """The score of a detector under one faced model."""

    def __call__(self, images: Tensor, shift: Tensor | None = None, /) -> Tensor:
        """Return scores (B,) of images (B, C, H, W); the shift (K,) is added to all logits."""


def linear(
    score: Score,
    logits: Callable[[Tensor], Tensor],
    x: Tensor,
    z: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """Return zeros (B,) whose gradient by x and z is that of the score, as estimated.

    The part of the gradient that passes the logits also reaches the parameters of the model.

    Args:
        score: The score.
        logits: Images (B, C, H, W) -> logits (B, K) of the same model.
        x: Images (B, C, H, W) with their graph.
        z: Their logits (B, K) with their graph.
        generator: The source of the noise.
    """
    lines = []
    for image, outputs in zip(x, z, strict=True):
        fixed = image.detach(), outputs.detach()
        by_logits, by_pixels = slopes(score, logits, *fixed, generator)
        line = ((outputs - fixed[1]) * by_logits).sum() + ((image - fixed[0]) * by_pixels).sum()
        lines.append(line)
    return torch.stack(lines)


@torch.no_grad()
def slopes(
    score: Score,
    logits: Callable[[Tensor], Tensor],
    x: Tensor,
    z: Tensor,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Estimate the gradients by the logits, (K,), and by the pixels at equal logits, (C, H, W).

    Each is the projection of the gradient on the directions that are tried, so that it predicts the
    change along them. One of the directions of the logits is that of the confidence. The
    change of the logits explains a part of a change by noise, which is subtracted.

    Args:
        score: The score.
        logits: Images (B, C, H, W) -> logits (B, K).
        x: An image (C, H, W).
        z: Its logits (K,).
        generator: The source of the noise.
    """
    by_logits = torch.zeros_like(z)
    for direction in _directions(z, generator):
        ends = [score(x.unsqueeze(0), sign * LOGIT_STEP * direction) for sign in (1, -1)]
        by_logits += (ends[0] - ends[1]).to(z) / (2 * LOGIT_STEP) * direction
    noise = PIXEL_STEP * torch.randn(PIXEL_PAIRS, *x.shape, generator=generator, dtype=z.dtype)
    high, low = ((x + sign * noise.to(x)).clamp(0, 1) for sign in (1, -1))
    both = torch.cat([high, low])
    change, moved = (torch.sub(*values.chunk(2)).to(z) for values in (score(both), logits(both)))
    rest = change - moved @ by_logits
    by_pixels = torch.linalg.pinv((high - low).flatten(1)) @ rest
    return by_logits, by_pixels.view_as(x)


def _directions(z: Tensor, generator: torch.Generator) -> Tensor:
    """Return orthonormal directions of the logits (K,), (n, K); the first raises the confidence."""
    others = z.scatter(0, z.argmax(0, keepdim=True), -torch.inf).softmax(0)
    confidence = torch.zeros_like(z).scatter(0, z.argmax(0, keepdim=True), 1.0) - others
    count = min(len(z), LOGIT_PAIRS)
    draws = torch.randn(len(z), count - 1, generator=generator, dtype=z.dtype).to(z)
    directions: Tensor = torch.linalg.qr(torch.cat([confidence.unsqueeze(1), draws], 1)).Q.T
    return directions
