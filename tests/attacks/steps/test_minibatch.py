"""Minibatches are unbiased for any chances, and lead close to the optimum."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from torch import Tensor

from evil_twins.attacks.base import AttackerView, Targets
from evil_twins.attacks.head import ConvexHead
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.poisoning import Poisoning
from evil_twins.attacks.steps.minibatch import EVEN, Minibatches
from evil_twins.attacks.steps.model import ModelStep, ModelWalk
from tests.attacks import worlds

M = 3000


def _view(n: int = 4, sure: float = 8) -> AttackerView:
    """Attack a linear victim of five classes, with a reference far larger than a minibatch."""
    draw = torch.Generator().manual_seed(3)
    weight = sure * torch.randn(5, 6, generator=draw)
    return worlds.linear_view(weight, torch.rand(M, 1, 2, 3, generator=draw), n)


def _poisoned(view: AttackerView) -> PairedModels:
    return Poisoning(ModelStep("head", batch=64, delta=20.0), 0.75, 20)(view).models


def _weighed(view: AttackerView, models: PairedModels) -> tuple[Minibatches, Tensor, Tensor]:
    """Weigh images under the models; return also their chances and the sizes of their gradients."""
    features = view.reference.features
    share = view.victim.head(features).softmax(1)
    batches = Minibatches(len(models), M, features.device)
    batches.weigh(models, torch.arange(len(models)), features, share, torch.softmax)
    chances = batches.sums.diff(dim=1, prepend=torch.zeros(len(models), 1))
    faced = models.logits(features.unsqueeze(0)).softmax(2)
    sizes = (faced - share).norm(dim=2) * (features.square().sum(1) + 1).sqrt()
    return batches, chances, sizes.double()


def test_at_first_all_chances_are_equal() -> None:
    batches = Minibatches(4, M, torch.device("cpu"))
    index, weight = batches.draw(torch.tensor([1, 3]), 50, [torch.Generator()] * 2)
    assert index.shape == (2, 50)
    torch.testing.assert_close(weight, torch.ones(2, 50, dtype=torch.float64), rtol=1e-9, atol=0)


def test_some_models_draw_what_they_draw_among_all() -> None:
    view = _view()
    batches, _, _ = _weighed(view, _poisoned(view))

    def draw(*places: int) -> tuple[Tensor, Tensor]:
        generators = [torch.Generator().manual_seed(i) for i in places]
        return batches.draw(torch.tensor(places), 50, generators)

    index, weight = draw(0, 1, 2, 3)
    for places in ((1, 3), (2,)):
        chosen_index, chosen_weight = draw(*places)
        assert torch.equal(chosen_index, index[list(places)])
        assert torch.equal(chosen_weight, weight[list(places)])


def test_models_that_are_the_victim_leave_chances_that_can_be_drawn_from() -> None:
    view = _view()
    batches, _, _ = _weighed(view, PairedModels.copies(view.victim, 4, "head"))
    _, weight = batches.draw(torch.arange(4), 50, [torch.Generator()] * 4)
    assert ((weight > 0) & (weight <= 1 / EVEN + 1e-6)).all()


def test_chances_are_half_even_and_half_the_sizes_of_the_gradients() -> None:
    view = _view()
    batches, chances, sizes = _weighed(view, _poisoned(view))
    expected = EVEN / M + (1 - EVEN) * sizes / sizes.sum(1, keepdim=True)
    torch.testing.assert_close(chances, expected, rtol=1e-4, atol=1e-9)
    index, weight = batches.draw(torch.arange(4), 40, [torch.Generator()] * 4)
    torch.testing.assert_close(weight, 1 / (M * chances.gather(1, index)), rtol=1e-6, atol=0)
    assert (weight <= 1 / EVEN + 1e-6).all()


def test_the_mean_over_minibatches_is_the_mean_over_the_reference() -> None:
    view = _view()
    batches, chances, sizes = _weighed(view, _poisoned(view))
    index, weight = batches.draw(
        torch.arange(4), 200_000, [worlds.generator(i, "mean", 0) for i in range(4)]
    )
    for values in (sizes, torch.ones_like(sizes)):
        drawn = weight * values.gather(1, index)
        error = drawn.std(1) / 200_000**0.5
        assert ((drawn.mean(1) - values.mean(1)).abs() <= 4 * error).all()
    even = sizes.std(1) ** 2
    ours = (sizes.square() / (M * chances)).mean(1) - sizes.mean(1) ** 2
    assert (ours < even / 5).all()  # the variance of one draw


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=30), st.integers(0, 2**31))
def test_an_image_without_a_chance_is_never_drawn(sizes: list[float], seed: int) -> None:
    chances = torch.tensor(sizes, dtype=torch.float64) + (sum(sizes) == 0)
    batches = Minibatches(1, len(sizes), torch.device("cpu"))
    batches.sums = (chances / chances.sum()).cumsum(0).unsqueeze(0)
    draw = torch.Generator().manual_seed(seed)
    index, weight = batches.draw(torch.tensor([0]), 200, [draw])
    assert (chances[index] > 0).all()
    assert weight.isfinite().all()


def test_small_minibatches_end_close_to_the_convex_optimum(monkeypatch: pytest.MonkeyPatch) -> None:
    view = _view(12, sure=20)
    best = worlds.kl(view, ConvexHead(0.75, delta=20.0)(view).models)
    attack = Poisoning(ModelStep("head", batch=16, delta=20.0), 0.75)

    def excess() -> float:
        ratios = worlds.kl(view, attack(view).models) / best
        return float(ratios.log().mean().exp()) - 1

    ours = excess()
    monkeypatch.setattr(Minibatches, "weigh", lambda *_: None)
    assert ours <= 0.1
    assert ours < 0.5 * excess()


def test_the_first_minibatch_is_already_drawn_where_the_poison_will_tell() -> None:
    view = _view(sure=20)
    walk = ModelWalk(ModelStep("head", batch=64, delta=20.0), view)
    walk.advance(walk.forward(view.targets.x), torch.arange(4), 1.0, torch.inf, 1.0)
    first = walk.batches.sums.diff(dim=1)
    _, final, _ = _weighed(view, _poisoned(view))
    for early, late in zip(first, final[:, 1:], strict=True):
        assert spearmanr(early.numpy(), late.numpy()).statistic > 0.8


def test_a_target_draws_the_same_images_with_and_without_other_targets() -> None:
    view = _view()
    attack = Poisoning(ModelStep("head", batch=64, delta=20.0), 0.75, 30)
    x, label, goal = view.targets.x, view.targets.label, view.targets.goal
    single = replace(
        view,
        targets=Targets(x[2:3], label[2:3], goal[2:3]),
        generator=lambda i, purpose, turn: worlds.generator(i + 2, purpose, turn),
    )
    models, single_model = attack(view).models, attack(single).models
    for name, value in models.parameters.items():
        torch.testing.assert_close(value[2:3], single_model.parameters[name], atol=1e-4, rtol=1e-3)
