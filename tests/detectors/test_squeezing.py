import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor, nn

from evil_twins.detectors.base import DefenderView
from evil_twins.detectors.squeezing import Squeezing, coarser, smoother
from tests.detectors.networks import linear, rng, small_network


def score(model: nn.Module, x: Tensor, detector: Squeezing | None = None) -> Tensor:
    return (detector or Squeezing()).fit(DefenderView(model, x, rng()))(x)


def test_one_bit_is_black_or_white_and_eight_leave_a_file_as_it_is() -> None:
    x = torch.tensor([0, 0.2, 0.49, 0.51, 1], dtype=torch.float64).view(1, 1, 1, 5)
    assert coarser(x, 1).flatten().tolist() == [0, 0, 0, 1, 1]
    assert coarser(x, 2).flatten().tolist() == pytest.approx([0, 1 / 3, 1 / 3, 2 / 3, 1])
    levels = torch.arange(256, dtype=torch.float64).view(1, 1, 16, 16) / 255
    assert torch.equal(coarser(levels, 8), levels)


@pytest.mark.parametrize("window", [2, 3])
def test_the_median_is_that_of_each_square_of_a_channel(window: int) -> None:
    x = torch.rand(4, 3, 7, 6, generator=rng(), dtype=torch.float64)
    before, after = window // 2, window - 1 - window // 2
    edges = [(0, 0), (0, 0), (before, after), (before, after)]
    wide = np.pad(x.numpy(), edges, mode="symmetric")
    squares = sliding_window_view(wide, (window, window), axis=(2, 3)).reshape(*x.shape, -1)
    expected = np.sort(squares, axis=-1)[..., window**2 // 2]
    assert np.array_equal(smoother(x, window).numpy(), expected)


def test_lone_pixels_go_and_planes_stay() -> None:
    x = torch.full((1, 1, 8, 8), 0.3)
    bright = x.clone()
    bright[0, 0, 4, 4] = 1
    assert torch.equal(smoother(bright, 2), x)
    assert torch.equal(smoother(x, 3), x)


def test_the_score_is_the_closed_form_on_a_linear_model() -> None:
    # Two classes, logits (w·x, 0): the L1 distance is 2 |sigmoid(w·x) - sigmoid(w·x')|.
    weight = torch.randn(1, 36, generator=rng(), dtype=torch.float64)
    model = linear(torch.cat([weight, torch.zeros_like(weight)]), torch.zeros(2).double())
    x = torch.rand(9, 1, 6, 6, generator=rng(1), dtype=torch.float64)
    p, bits, median = (
        torch.sigmoid(y.flatten(1) @ weight[0]) for y in (x, coarser(x, 3), smoother(x, 2))
    )
    expected = 2 * torch.maximum((p - bits).abs(), (p - median).abs())
    assert torch.allclose(score(model, x, Squeezing(bits=3)), expected)
    assert not torch.allclose(expected, 2 * (p - median).abs())


def test_what_no_squeezer_changes_scores_nothing() -> None:
    x = torch.rand(5, 3, 1, 1, generator=rng()).mul(31).round().div(31).expand(-1, -1, 8, 8)
    assert score(small_network(nn.ReLU), x).amax() < 1e-6


def test_scores_are_at_most_two() -> None:
    pixels = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    pixels[0, 0, 2, 2] = 1
    weight = torch.zeros(2, 16, dtype=torch.float64)
    weight[0] = 2000 * pixels.flatten()
    scores = score(linear(weight, torch.tensor([-1000.0, 0], dtype=torch.float64)), pixels)
    assert scores.item() == pytest.approx(2)


@pytest.mark.parametrize("settings", [{"bits": 0}, {"window": 1}])
def test_settings_that_squeeze_nothing_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="bits >= 1 and window >= 2"):
        Squeezing(**settings)
