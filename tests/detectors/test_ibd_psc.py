from typing import Any

import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from evil_twins.detectors.base import DefenderView
from evil_twins.detectors.ibd_psc import IBDPSC, IBDPSCScorer, amplifiable, amplified, doubt
from tests.detectors.backdoors import (
    Block,
    deep_network,
    normed,
    poisoned,
    successful,
)
from tests.detectors.networks import Residual, digits, fitted, linear, randomize, rng


def fit(model: nn.Module, benign: Tensor, **parameters: Any) -> IBDPSCScorer:
    return IBDPSC(**parameters).fit(DefenderView(model, benign, rng()))


def pixels(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).view(-1, 1, 1, 1)


def chain(layers: int) -> nn.Module:
    """Return logits (a, 1.2) of an image of one pixel a, with convolutions that keep it before."""
    convolutions = [nn.Conv2d(1, 1, 1) for _ in range(layers)]
    for layer in convolutions:
        nn.init.ones_(layer.weight)
        nn.init.zeros_(layer.bias)  # type: ignore
    head = linear(torch.tensor([[1.0], [0.0]]), torch.tensor([0.0, 1.2]))
    return nn.Sequential(*convolutions, head).double().eval().requires_grad_(False)


class Swapped(nn.Module):
    """Call two convolutions in another order than that of their definition."""

    def __init__(self) -> None:
        super().__init__()
        self.second, self.first = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x)).mean((2, 3))


def folded(model: nn.Sequential) -> nn.Sequential:
    """Return the model with batch-norm folded into the convolutions before it."""
    layers: list[nn.Module] = []
    for layer in model:
        if isinstance(layer, Block):
            layer.inside = folded(layer.inside)
        if isinstance(layer, nn.BatchNorm2d):
            layers[-1] = fuse_conv_bn_eval(layers[-1], layer)  # type: ignore
        else:
            layers.append(layer)
    return nn.Sequential(*layers).eval().requires_grad_(False)


def test_a_folded_batch_norm_is_amplified_in_its_convolution() -> None:
    unfolded = nn.Sequential(
        *normed(1, 4), nn.ReLU(), Block(4), Block(4), nn.Flatten(), nn.Linear(4 * 64, 5)
    )
    source = rng()
    for norm in unfolded.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for value in (norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
                value.copy_(0.5 + torch.rand(len(value), generator=source))  # type: ignore
    unfolded = unfolded.double().eval().requires_grad_(False)
    x = torch.rand(9, 1, 8, 8, generator=source, dtype=torch.float64)
    layers = amplifiable(unfolded, x)
    before = [amplified(unfolded, layers[:k], 1.5)(x) for k in range(6)]
    scores = fit(unfolded, x, models=3)(x)
    model = folded(unfolded)
    layers = amplifiable(model, x)
    assert len(layers) == 5
    for k, logits in enumerate(before):
        torch.testing.assert_close(amplified(model, layers[:k], 1.5)(x), logits)
    torch.testing.assert_close(fit(model, x, models=3)(x), scores)


def test_layers_are_in_the_order_of_their_calls() -> None:
    x = torch.rand(2, 3, 8, 8, generator=rng())
    assert amplifiable(Swapped().eval(), x) == ["second", "first"]
    assert amplifiable(randomize(Residual()), x) == ["branch.1", "norm"]


def test_convolutions_without_a_norm_inside_are_no_layers() -> None:
    net = nn.Sequential(
        *(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 1, bias=False)),
        *(nn.GroupNorm(2, 4, affine=False), nn.Conv2d(4, 4, 1, bias=False), nn.LayerNorm(8)),
    )
    assert amplifiable(net.eval(), torch.rand(2, 3, 8, 8, generator=rng())) == ["6", "1"]


@pytest.mark.parametrize(
    ("benign", "powers"),
    [
        (0.9, (1, 2)),  # 0.9 * 1.5 exceeds 1.2
        (0.6, (2, 3)),  # 0.6 * 1.5² does
        (0.4, (2, 3)),  # 0.4 * 1.5³ does: one model of all layers, so that the last two are taken
        (0.1, (2, 3)),  # no number of layers changes the class
    ],
)
def test_score_is_the_mean_confidence_of_the_chosen_models(
    benign: float, powers: tuple[int, int]
) -> None:
    x = pixels(0.3, 1.0, 2.0)
    scores = fit(chain(3), pixels(benign), models=2)(x)
    for value, score in zip((0.3, 1.0, 2.0), scores.tolist(), strict=True):
        logits = torch.tensor([[value * 1.5**power, 1.2] for power in powers])
        label = int(value <= 1.2)
        expected = logits.double().softmax(1)[:, label].mean() - 1
        assert score == pytest.approx(expected.item(), rel=1e-6)


def test_the_share_that_changes_is_above_the_error() -> None:
    # Of three pixels one, two and three change their class as layers are added.
    benign = pixels(0.9, 0.6, 0.4)
    for error, models in ((0.3, 3), (0.6, 2), (0.7, 1)):
        copies = fit(chain(3), benign, error=error, models=models).copies
        assert len(copies) == models
        assert copies[0](pixels(1))[0, 0].item() == pytest.approx(1.5 ** (4 - models))
    assert len(fit(chain(3), benign).copies) == 3
    view = DefenderView(chain(3), benign, rng())
    (first,) = IBDPSC(models=1, benign=1).fit(view).copies
    assert first(pixels(1))[0, 0].item() == 1.5


def test_probabilities_near_one_do_not_tie() -> None:
    z = torch.tensor([[50.0, 0.0], [60.0, 0.0]], dtype=torch.float64)
    doubts = doubt(z, torch.zeros(2, 1, dtype=torch.int64))
    assert doubts.numpy() == pytest.approx(torch.tensor([-50.0, -60.0]).double().exp().numpy())


def test_the_faced_model_stays_as_it_is() -> None:
    model = chain(3)
    fit(model, pixels(0.6))(pixels(0.3))
    assert model(pixels(0.7)).tolist() == [[0.7, pytest.approx(1.2)]]
    assert not any(layer._forward_hooks for layer in model.modules())


def test_a_patch_that_the_network_learned_outlives_the_factor() -> None:
    images, labels = digits()
    net = deep_network()
    fitted(net, *poisoned(images[:900], labels[:900]), 300)
    model, x = folded(net), images[1100:]
    attacked = successful(model, x, labels[1100:])
    scorer = fit(model, images[900:1100])
    scores = torch.cat([scorer(x), scorer(attacked)])
    assert roc_auc_score([0] * len(x) + [1] * len(attacked), scores) > 0.9


def test_impossible_settings_are_refused() -> None:
    settings: list[dict[str, Any]] = [
        {"factor": 1.0},
        {"models": 0},
        {"error": 0.0},
        {"error": 1.0},
        {"benign": 0},
    ]
    for wrong in settings:
        with pytest.raises(ValueError, match="factor > 1, models >= 1"):
            IBDPSC(**wrong)
    model = linear(torch.ones(2, 1), torch.zeros(2))
    with pytest.raises(ValueError, match="Sequential calls none; use strip or scale-up"):
        fit(model, torch.ones(1, 1, 1, 1))
    with pytest.raises(ValueError, match="at least one image"):
        fit(chain(1), pixels())
