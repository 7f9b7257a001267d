import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from evil_twins.bench.analysis import stats
from evil_twins.detectors import base
from evil_twins.detectors.base import DefenderView
from evil_twins.detectors.neural_cleanse import NeuralCleanse, pixels, start
from tests.detectors.backdoors import success, trained
from tests.detectors.networks import digits, linear, rng, small_network


def spots(gains: list[float]) -> nn.Module:
    """Return logits 1, and gain * x_c of pixel c for each further class: it needs a mask there."""
    weight = torch.zeros(len(gains) + 1, 9, dtype=torch.float64)
    for pixel, gain in enumerate(gains):
        weight[pixel + 1, pixel] = gain
    bias = torch.zeros(len(weight), dtype=torch.float64)
    bias[0] = 1
    return linear(weight, bias)


def gray(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).view(-1, 1, 1, 1).expand(-1, 1, 3, 3).clone()


GAINS = [1.25, 1.6, 2.0, 2.5, 5.0]


@pytest.mark.parametrize("success", [0.99, 0.5])
def test_a_spot_of_linear_logits_needs_the_mask_of_the_closed_form(success: float) -> None:
    # A pixel of value v gets (1 - m) v + m > 1 / gain: m = (1 / gain - v) / (1 - v).
    model, x = spots(GAINS), gray(0, 0.1)
    norms = NeuralCleanse(steps=400, success=success).norms(model, x, rng())
    v = 0.0 if success > 0.5 else 0.1  # all images, or the easier half of them
    expected = (1 / torch.tensor(GAINS, dtype=torch.float64) - v) / (1 - v)
    assert (norms[1:] > expected - 1e-9).all()
    assert (norms[1:] < expected + 0.08).all()
    assert norms[0] < 0.08  # it is the answer without a mask


def test_the_score_is_that_of_the_norms() -> None:
    view = DefenderView(spots(GAINS), gray(0, 0.1), rng())
    norms = NeuralCleanse(steps=30).norms(view.model, view.benign, rng()).numpy()
    middle = np.median(norms)
    spread = 1.4826 * np.median(np.abs(norms - middle))
    anomaly = NeuralCleanse(steps=30).inspect(view)
    assert anomaly == pytest.approx((middle - norms.min()) / spread)
    view = DefenderView(view.model, view.benign, rng())
    ratio = NeuralCleanse("ratio", steps=30).inspect(view)
    assert ratio == pytest.approx(1 - norms.min() / middle)


def test_classes_searched_together_end_where_they_end_by_themselves() -> None:
    model = small_network(nn.ReLU).double()
    x = torch.rand(6, 3, 8, 8, generator=rng(1), dtype=torch.float64)
    detector = NeuralCleanse(steps=40, patience=3, success=0.7)
    norms = detector.norms(model, x, rng())
    assert norms.tolist() == pytest.approx([smallest_mask(detector, model, x, c) for c in range(6)])
    assert len(set(norms.tolist())) == 6


def smallest_mask(detector: NeuralCleanse, model: nn.Module, x: Tensor, label: int) -> float:
    """Search the mask of one class, with the counters of the authors' code."""
    source = rng()
    mask, pattern = (start(like, 1, source) for like in (x[0, :1], x[0]))
    adam = torch.optim.Adam([mask, pattern], detector.rate, betas=(0.5, 0.9))
    cost, ups, downs, best = 0.0, 0, 0, float(x[0, 0].numel())
    for _ in range(detector.steps):
        z = model((1 - pixels(mask)) * x + pixels(mask) * pixels(pattern))
        target = torch.full((len(x),), label)
        norm = pixels(mask).sum()
        adam.zero_grad()
        torch.autograd.backward(cross_entropy(z, target) + cost * norm)
        adam.step()
        if (z.argmax(1) == target).double().mean() >= detector.success:
            best, ups, downs = min(best, norm.item()), ups + 1, 0
        else:
            ups, downs = 0, downs + 1
        if ups == detector.patience:
            cost, ups = (cost * detector.factor if cost else detector.cost), 0
        if downs == detector.patience:
            cost, downs = cost / detector.factor**1.5, 0
    return best


def test_passes_are_split_without_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_network(nn.ReLU).double()
    x = torch.rand(5, 3, 8, 8, generator=rng(1), dtype=torch.float64)
    norms = NeuralCleanse(steps=10).norms(model, x, rng())
    monkeypatch.setitem(base.PIXELS, "float64", 7 * 3 * 64)
    assert torch.allclose(NeuralCleanse(steps=10).norms(model, x, rng()), norms, rtol=1e-9)


def test_the_order_of_classes_and_a_constant_in_all_logits_change_nothing() -> None:
    model = small_network(nn.ReLU).double()
    x = torch.rand(5, 3, 8, 8, generator=rng(1), dtype=torch.float64)
    detector = NeuralCleanse(steps=20, success=0.6)
    norms, other = detector.norms(model, x, rng()), copy.deepcopy(model)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    last = other[-1]
    assert isinstance(last, nn.Linear)
    last.weight.data, last.bias.data = last.weight[order], last.bias[order] + 7
    assert torch.allclose(detector.norms(other, x, rng()), norms[order], rtol=1e-6)
    assert norms.unique().numel() == 6


def test_a_class_that_no_mask_reaches_gets_the_norm_of_a_full_mask() -> None:
    model = spots([2.0, 2, 2, 2, 0.5])  # the last class never exceeds the first
    norms = NeuralCleanse(steps=60).norms(model, gray(0), rng())
    assert norms[-1] == 9
    assert norms[:-1].amax() < 9


def test_so_many_images_are_stamped_and_the_global_generator_stays() -> None:
    model, state = small_network(nn.ReLU), torch.random.get_rng_state()
    x = torch.rand(9, 3, 8, 8, generator=rng(1))
    first, same = (
        NeuralCleanse("ratio", 4, 20, success=0.5).inspect(DefenderView(model, benign, rng()))
        for benign in (x, x[:4])
    )
    assert first == same > 0
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(weight.grad is None for weight in model.parameters())


def network() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def test_backdoored_digits_are_found_among_clean_ones() -> None:
    x = digits()[0]
    clean = [trained(network(), seed) for seed in range(5)]
    backdoored = [trained(network(), 60 + goal, goal) for goal in range(5)]
    assert min(success(model, goal) for goal, model in enumerate(backdoored)) > 0.9
    detector = NeuralCleanse(images=8, steps=60)
    norms = [detector.norms(model, x[:8], rng()) for model in (*clean, *backdoored)]
    assert [int(values.argmin()) for values in norms[5:]] == [0, 1, 2, 3, 4]
    for statistic in ("anomaly", "ratio"):
        inspector = NeuralCleanse(statistic, images=8, steps=60)  # type: ignore[arg-type]
        views = [DefenderView(model, x, rng()) for model in (*clean, *backdoored)]
        scores = np.array([inspector.inspect(view) for view in views])
        assert stats.area(scores[5:], scores[:5]) >= 0.9


def test_wrong_parameters_and_models_are_refused() -> None:
    for wrong in ({"images": 0}, {"steps": 0}, {"patience": 0}, {"rate": 0.0}, {"success": 0.0}):
        with pytest.raises(ValueError, match="neural-cleanse needs"):
            NeuralCleanse(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='"anomaly" or "ratio"'):
        NeuralCleanse("norm")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one image"):
        NeuralCleanse().norms(spots(GAINS), gray(0)[:0], rng())
    with pytest.raises(ValueError, match="4 classes at least; the model has 3"):
        NeuralCleanse(steps=1).inspect(DefenderView(spots([2.0, 3]), gray(0), rng()))
