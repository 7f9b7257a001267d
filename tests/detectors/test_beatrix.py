import numpy as np
import pytest
import torch
from scipy.stats import median_abs_deviation
from torch import Tensor, nn

from evil_twins.detectors.base import DefenderView
from evil_twins.detectors.beatrix import Beatrix, BeatrixScorer, Intervals, grams, read
from tests.detectors.backdoors import auroc, badnets
from tests.detectors.networks import Residual, randomize, rng, small_network


def fit(model: nn.Module, benign: Tensor, **parameters: object) -> BeatrixScorer:
    return Beatrix(**parameters).fit(DefenderView(model, benign, rng()))  # type: ignore


def images(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, 8, 8, generator=rng(seed))


def test_entries_are_roots_of_products_of_powers() -> None:
    values = torch.tensor([[[1.0, 2.0], [-3.0, 1.0]]])
    first, second, third = grams(values, 3)[0]
    assert first.tolist() == [5, -1, 10]
    assert second.tolist() == pytest.approx([17**0.5, 13**0.5, 82**0.5])
    assert third.tolist() == pytest.approx([65 ** (1 / 3), -(19 ** (1 / 3)), 730 ** (1 / 3)])


def test_medians_and_deviations_are_those_of_scipy() -> None:
    matrices, label = torch.randn(35, 2, 3, generator=rng()).double(), torch.arange(35) % 5
    intervals = Intervals.of(matrices, label, 7, least=7)
    for c in range(5):
        rows = matrices[label == c].numpy()
        assert intervals.median[c].numpy() == pytest.approx(np.median(rows, 0))
        assert intervals.spread[c].numpy() == pytest.approx(median_abs_deviation(rows))
    assert intervals.median[5].numpy() == pytest.approx(np.median(matrices.numpy(), 0))
    assert intervals.spread[5].numpy() == pytest.approx(median_abs_deviation(matrices.numpy()))
    assert intervals.row.tolist() == [0, 1, 2, 3, 4, 5, 5]


def test_few_images_of_a_class_share_the_deviations_of_all() -> None:
    values = torch.tensor([0, 1, 2, 10, 12, 14.0]).double().view(6, 1, 1)
    label = torch.tensor([0, 0, 0, 1, 1, 1])
    assert Intervals.of(values, label, 2, least=3).spread[:2].flatten().tolist() == [1, 2]
    assert Intervals.of(values, label, 2, least=4).spread[:2].flatten().tolist() == [1, 1]
    # The third class has no images: its median and its MAD are those of all, 2 and 2.
    both = Intervals.of(values, label, 3, least=4)
    middle = torch.full((3, 1, 1), 6.0).double()
    distances = both.distance(middle, torch.tensor([0, 1, 2]), 1.0)
    floor = 0.1 * 39 / 6
    expected = [4 / (2 + floor), 5 / (11 + floor), 2 / (4 + floor)]
    assert distances.tolist() == pytest.approx(expected)


def test_the_score_is_the_closed_form_for_one_channel() -> None:
    # The model is its last layer; the named layer is the image: the Gram entry of order p is
    # (x^2p)^(1/p) = x^2 at each order.
    model = nn.Sequential(nn.Identity(), nn.Flatten(), nn.Linear(1, 2)).double()
    model = randomize(model).double()
    x = torch.tensor([0.5, 0.6, 0.7, 0.8, 0.9], dtype=torch.float64).view(-1, 1, 1, 1)
    model[2].bias.data = torch.tensor([9.0, 0], dtype=torch.float64)
    scorer = fit(model, x, layer="0", orders=3, width=2.0, least=1)
    squares = x.flatten() ** 2
    median, spread = 0.49, np.median(abs(squares.numpy() - 0.49))
    high, floor = median + 2 * spread, 0.1 * float(squares.mean())
    expected = (1 - high) / (high + floor)
    assert scorer(torch.ones_like(x[:1])).item() == pytest.approx(expected)
    assert scorer(x[2:3]).item() == 0


def test_channels_are_a_part_of_the_gram_matrix() -> None:
    model, x = small_network(nn.ReLU), images(3)
    ((whole, logits),) = read(model, x, "0", 6)
    torch.testing.assert_close(whole, model[0](x).flatten(2))
    torch.testing.assert_close(logits, model(x))
    ((part, _),) = read(model, x, "0", 3)
    assert torch.equal(part, whole[:, [0, 2, 5]])


def test_the_last_inner_layer_is_chosen() -> None:
    assert fit(small_network(nn.ReLU), images(20)).layer == "2"
    assert fit(randomize(Residual()), images(20)).layer == "branch.1"
    tokens = nn.Sequential(nn.Flatten(2), nn.Linear(64, 4), nn.Flatten(), nn.Linear(12, 5))
    tokens = nn.Sequential(*tokens, nn.ReLU(), nn.Linear(5, 2))
    assert fit(randomize(tokens), images(20)).layer == "1"
    ((maps, _),) = read(tokens, images(2), "1", 64)
    assert maps.shape == (2, 4, 3)
    flat = nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.ReLU(), nn.Linear(4, 2))
    assert fit(randomize(flat), images(20)).layer == "1"
    with pytest.raises(ValueError, match="no inner convolution or linear layer: name a `layer`"):
        fit(randomize(nn.Sequential(nn.Flatten(), nn.Linear(192, 2))), images(20))


def test_a_dead_layer_gives_no_score() -> None:
    model = small_network(nn.ReLU)
    for weight in model[2].parameters():
        weight.zero_()
    assert fit(model, images(20))(images(4, 1)).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("benign", [300, 60])
def test_stamped_images_are_unusual_for_their_class(benign: int) -> None:
    world = badnets()
    scorer = fit(world.model, world.benign[:benign])
    assert auroc(scorer(world.clean), scorer(world.attacked)) > 0.95


def test_few_images_and_bad_parameters_are_refused() -> None:
    model = small_network(nn.ReLU)
    with pytest.raises(ValueError, match="two benign images at least, not 1"):
        fit(model, images(1))
    with pytest.raises(ValueError, match="at least one image"):
        fit(model, images(20))(images(0))
    with pytest.raises(ValueError, match="there is no layer 'trunk'"):
        fit(model, images(20), layer="trunk")
    for name in ("orders", "least", "channels", "benign", "width"):
        with pytest.raises(ValueError, match="orders, least, channels >= 1, benign >= 2 and width"):
            Beatrix(**{name: -1})  # type: ignore
