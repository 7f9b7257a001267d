import copy

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import Tensor, nn

from evil_twins.bench.analysis import stats
from evil_twins.detectors.base import DefenderView
from evil_twins.detectors.inspection import Inspection, anomaly, class_margins
from tests.detectors.networks import digits, digits_model, linear, rng, small_network

LIKE = torch.zeros(1, 3, 3, dtype=torch.float64)


def weights(classes: int) -> tuple[Tensor, Tensor]:
    source = rng()
    return (
        torch.randn(classes, 9, generator=source, dtype=torch.float64),
        torch.randn(classes, generator=source, dtype=torch.float64),
    )


def test_two_linear_classes_have_their_largest_margins_in_corners() -> None:
    weight, bias = weights(2)
    difference, offset = weight[0] - weight[1], bias[0] - bias[1]
    expected = [difference.clamp_min(0).sum() + offset, -difference.clamp_max(0).sum() - offset]
    margins = Inspection(starts=2, steps=200, rate=0.1).margins(linear(weight, bias), LIKE, rng())
    assert torch.allclose(margins, torch.stack(expected))


def test_of_several_linear_classes_it_is_the_linear_programme() -> None:
    weight, bias = weights(5)
    margins = Inspection(starts=8, steps=4000, rate=2e-3).margins(linear(weight, bias), LIKE, rng())
    for c in range(5):
        # max t subject to t <= (w_c - w_j) x + b_c - b_j for every other j, x in the box.
        others = [j for j in range(5) if j != c]
        rows = np.concatenate([(weight[others] - weight[c]).numpy(), np.ones((4, 1))], 1)
        limits = (bias[c] - bias[others]).numpy()
        box = [(0, 1)] * 9 + [(None, None)]
        best = -linprog([0] * 9 + [-1], A_ub=rows, b_ub=limits, bounds=box).fun
        assert best - 0.05 < margins[c] < best + 1e-9


def test_more_steps_and_more_starts_never_hurt() -> None:
    model, like = small_network(nn.ReLU), torch.zeros(3, 8, 8)
    few, many = (Inspection(4, steps).margins(model, like, rng()) for steps in (5, 25))
    assert (many >= few).all()
    assert many.sum() > few.sum()
    few_starts, many_starts = (Inspection(n, 5).margins(model, like, rng()) for n in (2, 6))
    assert (many_starts >= few_starts - 1e-6).all()


def test_the_model_and_the_global_generator_stay_as_they_were() -> None:
    model, like = small_network(nn.ReLU), torch.zeros(3, 8, 8)
    before, state = [w.clone() for w in model.parameters()], torch.random.get_rng_state()
    detector = Inspection(3, 5)
    first, again = (detector.inspect(DefenderView(model, like[None], rng())) for _ in range(2))
    assert first == again
    assert torch.equal(torch.random.get_rng_state(), state)
    for weight, old in zip(model.parameters(), before, strict=True):
        assert torch.equal(weight, old)
        assert weight.grad is None


def test_a_lead_is_over_the_largest_other() -> None:
    z = torch.tensor([[3.0, 1, 2], [3, 1, 2]])
    assert class_margins(z, torch.tensor([0, 2])).tolist() == [1, -1]


def test_the_chance_is_that_of_the_gamma_distribution() -> None:
    # Quantiles of a gamma distribution far from 0, so that the fit finds it again.
    others = 20 + np.random.default_rng(0).gamma(4, 1, 400)
    largest = others.max() + 1
    margins = np.exp(-anomaly([*others, largest]))
    # By counting: the largest of 401 draws of that distribution.
    draws = 20 + np.random.default_rng(1).gamma(4, 1, (4000, 401)).max(1)
    assert margins == pytest.approx((draws >= largest).mean(), abs=0.15)


def test_what_stands_out_more_scores_more_without_end() -> None:
    others = [5.0, 5.5, 6, 6.2, 6.9, 7.1, 7.7]
    scores = [anomaly([*others, largest]) for largest in (8, 10, 15, 40)]
    assert scores == sorted(set(scores))
    assert anomaly([*others, 1e9]) <= 709  # a chance of 0 is none
    assert anomaly([*others, 8]) == anomaly([8, *others[::-1]])


def tuned(model: nn.Module, images: Tensor, labels: Tensor, seed: int) -> nn.Module:
    """Return a copy whose last layer has gone on learning, on minibatches of its own."""
    copied, source = copy.deepcopy(model), rng(seed)
    assert isinstance(copied, nn.Sequential)
    optimizer = torch.optim.SGD(copied[-1].requires_grad_(True).parameters(), 0.1)
    for _ in range(20):
        index = torch.randint(len(images), (64,), generator=source)
        optimizer.zero_grad()
        torch.autograd.backward(nn.functional.cross_entropy(copied(images[index]), labels[index]))
        optimizer.step()
    return copied.requires_grad_(False)


def test_a_planted_backdoor_is_found_among_honest_fine_tunes_and_a_clean_model_is_not() -> None:
    images, labels = digits()
    clean = digits_model(images[:900], labels[:900])
    honest = [tuned(clean, images[:900], labels[:900], seed) for seed in range(21)]
    planted = copy.deepcopy(honest[-1])
    assert isinstance(planted, nn.Sequential)
    last = planted[-1]
    assert isinstance(last, nn.Linear)
    last.weight.data[3] += 0.15  # class 3 wins wherever features are large
    detector = Inspection(starts=2, steps=30, rate=0.02)
    scores = np.array(
        [detector.inspect(DefenderView(m, images[:1], rng())) for m in (*honest, planted)]
    )
    p = stats.conformal_p(scores[20:], scores[:20])
    assert p[0] > 0.05
    assert p[1] == 1 / 21
    assert scores[-1] > scores[:-1].max() + 1
    assert int(detector.margins(planted, images[0], rng()).argmax()) == 3


def test_models_that_cannot_be_inspected_are_refused() -> None:
    with pytest.raises(ValueError, match="4 classes at least; the model has 3"):
        anomaly([1, 2, 3])
    with pytest.raises(ValueError, match="none is an outlier"):
        anomaly([5, 2, 2, 2, 2])
    for wrong in ({"starts": 0}, {"steps": 0}, {"rate": 0.0}):
        with pytest.raises(ValueError, match="inspection needs"):
            Inspection(**wrong)  # type: ignore[arg-type]
