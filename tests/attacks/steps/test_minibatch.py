"""Minibatches: unbiased whatever their chances, and close to the whole where it matters."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from torch import Tensor

from evil_twins.attacks.base import AttackerView, Reference, Targets
from evil_twins.attacks.head import ConvexHead
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.poisoning import Poisoning
from evil_twins.attacks.steps.minibatch import EVEN, Minibatches
from evil_twins.attacks.steps.model import ModelStep, ModelWalk
from tests.attacks import worlds

M = 3000


def _view(n: int = 4, sure: float = 8) -> AttackerView:
    """A linear victim of five classes, and many more images than a minibatch holds."""
    draw = torch.Generator().manual_seed(3)
    victim = worlds.Linear(sure * torch.randn(5, 6, generator=draw), torch.zeros(5))
    x = torch.rand(M, 1, 2, 3, generator=draw)
    label = victim(x).argmax(1)
    targets = Targets(x[:n], label[:n], (label[:n] + 1) % 5)
    return AttackerView(victim, targets, Reference.of(victim, x, label), worlds.generator)


def _poisoned(view: AttackerView) -> PairedModels:
    return Poisoning(ModelStep("head", batch=64, delta=20.0), 0.75, 20)(view).models


def _weighed(view: AttackerView, models: PairedModels) -> tuple[Minibatches, Tensor, Tensor]:
    """Minibatches under the models, the chances of the images, and their gradients' sizes."""
    features = view.reference.features
    share = view.victim.head(features).softmax(1)
    batches, every = Minibatches(len(models), M, features.device), torch.arange(len(models))
    batches.weigh(models, every, features, share, torch.softmax)
    chances = batches.sums.diff(dim=1, prepend=torch.zeros(len(models), 1))
    faced = models.logits(features.unsqueeze(0)).softmax(2)
    sizes = (faced - share).norm(dim=2) * (features.square().sum(1) + 1).sqrt()
    return batches, chances, sizes.double()


def test_at_first_all_images_are_alike() -> None:
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
    for some in ((1, 3), (2,)):
        part, own = draw(*some)
        assert torch.equal(part, index[list(some)])
        assert torch.equal(own, weight[list(some)])


def test_models_that_are_the_victim_leave_chances_that_can_be_drawn_from() -> None:
    view = _view()
    head = {
        f"head.{name}": value.detach().expand(4, *value.shape).clone()
        for name, value in view.victim.head.named_parameters()
    }
    batches, _, _ = _weighed(view, PairedModels(view.victim, 4, head))
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
    for facts in (sizes, torch.ones_like(sizes)):
        drawn = weight * facts.gather(1, index)
        error = drawn.std(1) / 200_000**0.5
        assert ((drawn.mean(1) - facts.mean(1)).abs() <= 4 * error).all()
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
    for one, other in zip(first, final[:, 1:], strict=True):
        assert spearmanr(one.numpy(), other.numpy()).statistic > 0.8


def test_targets_draw_alone_what_they_draw_beside_each_other() -> None:
    view = _view()
    attack = Poisoning(ModelStep("head", batch=64, delta=20.0), 0.75, 30)
    one = replace(
        view,
        targets=Targets(
            *(part[2:3] for part in (view.targets.x, view.targets.label, view.targets.goal))
        ),
        generator=lambda i, purpose, turn: worlds.generator(i + 2, purpose, turn),
    )
    together, alone = attack(view).models, attack(one).models
    for name, value in together.parameters.items():
        torch.testing.assert_close(value[2:3], alone.parameters[name], atol=1e-4, rtol=1e-3)
