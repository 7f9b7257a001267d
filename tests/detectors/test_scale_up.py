from typing import Any

import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from evil_twins.detectors.base import DefenderView
from evil_twins.detectors.scale_up import ScaleUp, ScaleUpScorer, moments
from tests.detectors.backdoors import poisoned, successful
from tests.detectors.networks import digits, digits_model, linear, rng


def fit(model: nn.Module, benign: Tensor, **parameters: Any) -> ScaleUpScorer:
    return ScaleUp(**parameters).fit(DefenderView(model, benign, rng()))


def border(at: float) -> nn.Module:
    """Return a model whose class of an image of one pixel is 1 above a border, else 0."""
    weight, bias = torch.tensor([[0.0], [1.0]]), torch.tensor([at, 0.0])
    return linear(weight.double(), bias.double())


def pixels(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).view(-1, 1, 1, 1)


def test_share_counts_the_factors_that_keep_the_class() -> None:
    # 3, 5, 7, 9, 11 times 0.08 are 0.24, 0.4, 0.56, 0.72, 0.88: two are below the border.
    scorer = fit(border(0.5), pixels())
    scores = scorer(pixels(0.01, 0.08, 0.2, 0.6)).tolist()
    assert scores == pytest.approx([1, 0.4, 0, 1])
    assert fit(border(0.5), pixels(), factors=(2, 8))(pixels(0.08)).item() == 0.5


def test_amplified_pixels_are_clipped_to_one() -> None:
    # Without the limit 11 * 0.6 is above the border.
    assert fit(border(2.0), pixels())(pixels(0.6)).item() == 1


def test_standardised_shares_are_those_of_the_class() -> None:
    # Shares of class 0: 1, 0.4, 0; of class 1: 1, 1, 1, with half a step as their deviation.
    benign, x = pixels(0.01, 0.08, 0.2, 0.6, 0.7, 0.8), pixels(0.01, 0.08, 0.9)
    scores = fit(border(0.5), benign, statistic="standardised")(x)
    shares = torch.tensor([1, 0.4, 0], dtype=torch.float64)
    expected = (shares - shares.mean()) / shares.std()
    assert scores.tolist() == pytest.approx([*expected[:2].tolist(), 0])
    # With one image of class 1 that class gets the moments of all shares.
    few = fit(border(0.5), benign[:4], statistic="standardised")(pixels(0.9))
    everything = torch.tensor([1, 0.4, 0, 1], dtype=torch.float64)
    assert few.item() == pytest.approx(float((1 - everything.mean()) / everything.std()))


def test_moments_are_those_of_each_class() -> None:
    values = torch.rand(60, generator=rng(), dtype=torch.float64)
    label = torch.arange(60) % 3
    mean, deviation = moments(values, label, 4)
    for k in range(3):
        assert mean[k].item() == pytest.approx(values[k::3].numpy().mean())
        assert deviation[k].item() == pytest.approx(values[k::3].numpy().std(ddof=1))
    assert (mean[3], deviation[3]) == (values.mean(), values.std())


def test_only_statistics_of_benign_images_need_them() -> None:
    assert (ScaleUp().knowledge, ScaleUp("standardised").knowledge) == ("K0", "K1")


@pytest.mark.parametrize("dark", [True, False])
def test_a_patch_outlives_factors_that_whiten_the_digits(dark: bool) -> None:
    # Dark strokes on white turn white, and a black patch remains. Light strokes on black keep their
    # class, so that most benign shares are 1 like those of the patch.
    images, labels = digits()
    images, value = (1 - 0.6 * images, 0.0) if dark else (images, 1.0)
    model = digits_model(*poisoned(images[:900], labels[:900], value))
    x = images[1100:]
    attacked = successful(model, x, labels[1100:], value)
    areas = []
    for statistic in ("share", "standardised"):
        scorer = fit(model, images[900:1100], statistic=statistic)
        scores = torch.cat([scorer(x), scorer(attacked)])
        areas.append(roc_auc_score([0] * len(x) + [1] * len(attacked), scores))
    benign = fit(model, images[:0])(x)
    if dark:
        assert min(areas) > 0.9
    else:
        assert (benign == 1).double().mean() > 0.5
        assert max(areas) < 0.8


def test_impossible_settings_are_refused() -> None:
    for factors in ((), (1.0, 2.0)):
        with pytest.raises(ValueError, match="factors, each above 1"):
            ScaleUp(factors=factors)
    with pytest.raises(ValueError, match="two benign images or more"):
        fit(border(0.5), pixels(0.1), statistic="standardised")
