"""Estimates of gradients, on scores whose gradients are known."""

import torch
from torch import Tensor

from evil_twins.bench.cells.differences import LOGIT_PAIRS, PIXEL_PAIRS, linear, slopes

SHAPE, CLASSES = (1, 4, 4), 10


def _draw() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def _numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=_draw(), dtype=torch.float64)


X, WEIGHT, PIXELS = 0.5 + 0.1 * _numbers(*SHAPE), _numbers(CLASSES, 16), _numbers(16)


def _logits(images: Tensor) -> Tensor:
    return images.flatten(1) @ WEIGHT.T


def _linear(by_logits: Tensor, by_pixels: Tensor):  # type: ignore[no-untyped-def]
    """Return a linear score of logits and pixels."""

    def score(images: Tensor, shift: Tensor | None = None) -> Tensor:
        z = _logits(images) + (0 if shift is None else shift)
        return z @ by_logits + images.flatten(1) @ by_pixels

    return score


def _confidence() -> Tensor:
    """Return the gradient of the margin of the likeliest class, which is always tried."""
    z = _logits(X.unsqueeze(0))[0].requires_grad_()
    others = z.scatter(0, z.argmax(0, keepdim=True), -torch.inf).logsumexp(0)
    (gradient,) = torch.autograd.grad(z.max() - others, z)
    return gradient


def test_a_linear_score_has_its_gradient() -> None:
    """So many noisy images span the space of 16 pixels."""
    assert X.numel() <= PIXEL_PAIRS
    by_logits = _confidence()
    score, z = _linear(by_logits, PIXELS), _logits(X.unsqueeze(0))[0]
    estimated_logits, estimated_pixels = slopes(score, _logits, X, z, _draw())
    torch.testing.assert_close(estimated_logits, by_logits, atol=1e-8, rtol=1e-6)
    torch.testing.assert_close(estimated_pixels.flatten(), PIXELS, atol=1e-6, rtol=1e-6)


def test_it_predicts_the_change_along_what_was_tried() -> None:
    """An estimate is a projection of the gradient: never longer, and never against it."""
    by_logits = _numbers(CLASSES)
    score, z = _linear(by_logits, 0 * PIXELS), _logits(X.unsqueeze(0))[0]
    estimate, _ = slopes(score, _logits, X, z, _draw())
    assert LOGIT_PAIRS < CLASSES
    torch.testing.assert_close(estimate @ estimate, estimate @ by_logits)
    assert 0 < estimate.norm() < by_logits.norm()


def test_the_gradient_reaches_image_and_model() -> None:
    x, weight = X.clone().requires_grad_(), WEIGHT.clone().requires_grad_()
    z = x.flatten() @ weight.T
    by_logits = _confidence()
    line = linear(_linear(by_logits, PIXELS), _logits, x[None], z[None], _draw())
    assert line.tolist() == [0]
    slope, climb = torch.autograd.grad(line.sum(), [x, weight])
    torch.testing.assert_close(slope.flatten(), PIXELS + WEIGHT.T @ by_logits, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(climb, torch.outer(by_logits, X.flatten()), atol=1e-6, rtol=1e-6)


def test_a_constant_score_has_no_gradient() -> None:
    def score(images: Tensor, shift: Tensor | None = None) -> Tensor:
        return images.new_ones(len(images))

    z = _logits(X.unsqueeze(0))[0]
    assert not any(bool(part.any()) for part in slopes(score, _logits, X, z, _draw()))


def test_the_same_noise_gives_the_same_estimate() -> None:
    score, z = _linear(_numbers(CLASSES), PIXELS.sin()), _logits(X.unsqueeze(0))[0]
    first, second = (
        torch.cat([p.flatten() for p in slopes(score, _logits, X, z, _draw())]) for _ in range(2)
    )
    assert torch.equal(first, second)
