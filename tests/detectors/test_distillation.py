import numpy as np
import pytest
import torch
from torch import Tensor, nn

from evil_twins.detectors.base import DefenderView
from evil_twins.detectors.distillation import CognitiveDistillation, CognitiveDistillationScorer
from tests.detectors.backdoors import auroc, badnets
from tests.detectors.networks import linear, rng, small_network

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def fit(
    model: nn.Module, like: Tensor, seed: int = 0, **parameters: object
) -> CognitiveDistillationScorer:
    detector = CognitiveDistillation(**parameters)  # type: ignore
    return detector.fit(DefenderView(model, like, rng(seed)))


def slopes(mask: Array, x: Array, colour: float, weight: Array, alpha: float, beta: float) -> Array:
    """Return the derivative of the objective with logits weight @ x by the mask (H, W)."""
    change = weight @ ((1 - mask) * (colour - x)).ravel()
    distance = (weight.T @ np.sign(change)).reshape(x.shape) * (x - colour) / len(weight)
    steps = np.zeros_like(mask)
    for axis in (0, 1):
        step = np.diff(mask, axis=axis)
        edge = np.zeros_like(np.take(mask, [0], axis))
        steps -= 2 * np.diff(np.concatenate([edge, step, edge], axis), axis=axis)
    return distance + (alpha + beta * steps) / mask.size


def test_masks_are_those_of_adam_on_a_linear_model() -> None:
    weight = torch.randn(3, 20, generator=rng(), dtype=torch.float64)
    x = torch.rand(2, 1, 4, 5, generator=rng(1), dtype=torch.float64)
    model = linear(weight, torch.zeros(3).double())
    scorer = fit(model, x, outputs="logits", steps=15, alpha=2.0, beta=3.0)
    for image, actual in zip(x.numpy()[:, 0], scorer.masks(x).numpy()[:, 0], strict=True):
        theta, first, second = (np.full((4, 5), value) for value in (1.0, 0.0, 0.0))
        for step, colour in enumerate(scorer.colours.flatten().tolist(), start=1):
            mask = (1 + np.tanh(theta)) / 2
            slope = slopes(mask, image, colour, weight.numpy(), 2.0, 3.0) * 2 * mask * (1 - mask)
            first, second = 0.1 * first + 0.9 * slope, 0.1 * second + 0.9 * slope**2
            root = np.sqrt(second / (1 - 0.1**step))
            theta = theta - 0.1 * first / (1 - 0.1**step) / (root + 1e-8)
        assert actual == pytest.approx((1 + np.tanh(theta)) / 2, abs=1e-9)


@pytest.mark.parametrize("outputs", ["softmax", "logits"])
def test_the_mask_keeps_the_pixels_that_the_output_needs(outputs: str) -> None:
    weight = torch.zeros(2, 36, dtype=torch.float64)
    weight[0, [0, 1, 6, 7]] = 4
    bias = torch.tensor([-8.0, 0], dtype=torch.float64)
    x = torch.rand(5, 1, 6, 6, generator=rng(), dtype=torch.float64).round()
    mask = fit(linear(weight, bias), x, outputs=outputs, alpha=0.1).masks(x)
    corner, rest = mask[..., :2, :2], mask[..., 3:, 3:]
    assert corner.amin() > 0.5
    assert rest.amax() < 0.2
    wide = torch.zeros_like(weight)
    wide[0] = 4 / 9
    score, needy = (fit(linear(w, bias), x, outputs=outputs, alpha=0.1)(x) for w in (weight, wide))
    assert (score > needy + 0.2).all()


def test_an_output_that_needs_nothing_has_no_mask() -> None:
    x = torch.rand(3, 3, 8, 8, generator=rng())
    model = linear(torch.zeros(4, 192), torch.arange(4.0))
    scores = fit(model, x)(x)
    assert ((scores > -1e-3) & (scores <= 0)).all()
    torch.testing.assert_close(fit(model, x, alpha=0.0)(x), -torch.full((3,), 0.880797).double())


def test_scores_depend_on_their_image_and_on_the_colours() -> None:
    model = small_network(nn.ReLU)
    x = torch.rand(6, 3, 8, 8, generator=rng(), dtype=torch.float64)
    model = model.double()
    scorer = fit(model, x)
    together = scorer(x)
    single = torch.cat([scorer(image) for image in x.split(1)])
    torch.testing.assert_close(single, together)
    assert torch.equal(fit(model, x[:1])(x), together)
    assert not torch.allclose(fit(model, x, seed=1)(x), together)
    with torch.no_grad():
        assert torch.equal(scorer(x), together)
    assert all(weight.grad is None for weight in model.parameters())


def test_stamped_images_need_a_smaller_part() -> None:
    world = badnets()
    scorer = fit(world.model, world.benign)
    clean, attacked = scorer(world.clean[:80]), scorer(world.attacked[:80])
    assert auroc(clean, attacked) > 0.9
    mask = scorer.masks(world.attacked[:20]).mean(0)[0]
    assert mask[4:, 4:].mean() > 1.5 * mask[:4, :4].mean()


def test_bad_parameters_and_no_images_are_refused() -> None:
    x = torch.rand(2, 3, 8, 8, generator=rng())
    with pytest.raises(ValueError, match="at least one image"):
        fit(small_network(nn.ReLU), x)(x[:0])
    for parameters in ({"alpha": -1}, {"beta": -1}, {"steps": 0}, {"lr": 0}):
        with pytest.raises(ValueError, match="alpha, beta >= 0, steps >= 1 and lr > 0"):
            CognitiveDistillation(**parameters)  # type: ignore
