import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist, mahalanobis
from torch import Tensor, nn

from evil_twins.detectors.base import DefenderView
from evil_twins.detectors.ted import TED, TEDScorer, Trajectories, representations
from tests.detectors.backdoors import auroc, badnets
from tests.detectors.networks import Residual, digits, linear, randomize, rng, small_network

LAYERS = ["0", "2", "5"]
"""The layers of `small_network` with weights."""


def points(*values: float) -> Tensor:
    """Return images of one pixel."""
    return torch.tensor(values, dtype=torch.float64).view(-1, 1, 1, 1)


def split_at_half() -> nn.Module:
    """Return a model of one layer and one pixel, whose classes meet at 0.5."""
    weight = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    return linear(weight, torch.tensor([0.5, -0.5], dtype=torch.float64))


def fit(model: nn.Module, benign: Tensor, **parameters: object) -> TEDScorer:
    return TED(**parameters).fit(DefenderView(model, benign, rng()))  # type: ignore


def ranks(scorer: TEDScorer, x: Tensor) -> Tensor:
    parts = representations(scorer.model, x, scorer.layers, scorer.values)
    return torch.cat([scorer.bank.ranks(*part) for part in parts])


def walked(scorer: TEDScorer, x: Tensor, skip: int = 0) -> list[list[int]]:
    """Return the ranks as the paper computes them: sort, and walk to the first of the class."""
    (rows, label), *_ = representations(scorer.model, x, scorer.layers, scorer.values)
    columns = []
    for images, benign in zip(rows, scorer.bank.rows, strict=True):
        order = np.argsort(cdist(images.double(), benign.double()), axis=1)[:, skip:]
        classes = scorer.bank.label.numpy()[order]
        columns.append([row.tolist().index(c) for row, c in zip(classes, label, strict=True)])
    return [list(row) for row in zip(*columns, strict=True)]


def test_the_rank_counts_the_images_before_the_first_of_the_class() -> None:
    scorer = fit(split_at_half(), points(0, 0.45, 0.48, 0.9, 1))
    assert ranks(scorer, points(0.1, 0.55, 0.7, 0.95)).flatten().tolist() == [0, 2, 0, 0]
    bank = scorer.bank
    assert bank.ranks(bank.rows, bank.label, True).flatten().tolist() == [0, 0, 0, 0, 0]


def test_a_benign_image_is_no_neighbour_of_itself() -> None:
    bank = fit(split_at_half(), points(0.1, 0.2, 0.48, 0.52)).bank
    assert bank.ranks(bank.rows, bank.label).flatten().tolist() == [0, 0, 0, 0]
    assert bank.ranks(bank.rows, bank.label, True).flatten().tolist() == [0, 0, 1, 3]


def test_a_class_without_benign_images_is_behind_all_of_them() -> None:
    scorer = fit(split_at_half(), points(0, 0.1, 0.2, 0.3))
    assert ranks(scorer, points(0.9)).item() == 4
    # The benign ranks are all 0, so that the variance is that of one rank.
    assert scorer(points(0.9)).item() == pytest.approx(4)


def test_ranks_are_those_of_sorted_lists() -> None:
    model = small_network(nn.ReLU)
    benign, x = torch.rand(60, 3, 8, 8, generator=rng()), torch.rand(20, 3, 8, 8, generator=rng(1))
    model[5].bias.data = -model(benign).mean(0)  # so that the classes mix
    scorer = fit(model, benign)
    assert scorer.layers == LAYERS
    labels = set(scorer.bank.label.tolist())
    x = x[[int(c) in labels for c in model(x).argmax(1)]]
    assert ranks(scorer, x).tolist() == walked(scorer, x)
    assert ranks(scorer, x).amax() > 0
    counts = scorer.bank.label.bincount()
    several = benign[counts[scorer.bank.label] > 1]
    itself = scorer.bank.ranks(scorer.bank.rows, scorer.bank.label, True)
    assert itself[counts[scorer.bank.label] > 1].tolist() == walked(scorer, several, skip=1)


def test_the_distance_is_that_of_scipy_with_a_variance_of_one_rank() -> None:
    benign = torch.randint(9, (50, 4), generator=rng()).double()
    x = torch.randint(30, (8, 4), generator=rng(1)).double()
    inverse = np.linalg.inv(np.cov(benign.numpy().T) + np.eye(4))
    expected = [mahalanobis(row, benign.mean(0), inverse) for row in x]
    assert Trajectories.usual(benign, 0.0).distance(x).numpy() == pytest.approx(expected)


def test_unusual_benign_images_do_not_set_the_scale() -> None:
    benign = torch.randint(3, (95, 2), generator=rng()).double()
    spoilt = torch.cat([benign, torch.full((5, 2), 90.0)])
    x = torch.tensor([[40.0, 40.0]], dtype=torch.float64)
    clean = Trajectories.usual(benign, 0.0).distance(x)
    torch.testing.assert_close(Trajectories.usual(spoilt, 0.05).distance(x), clean)
    assert Trajectories.usual(spoilt, 0.0).distance(x) < clean / 5


def test_equal_activations_are_ties() -> None:
    model = small_network(nn.ReLU)
    next(model[0].parameters()).zero_()
    benign, x = torch.rand(30, 3, 8, 8, generator=rng()), torch.rand(9, 3, 8, 8, generator=rng(1))
    assert not ranks(fit(model, benign, layers=["0"]), x).any()


def test_large_activations_are_averaged() -> None:
    model = small_network(nn.ReLU)
    x = torch.rand(4, 3, 8, 8, generator=rng())
    ((whole,), _) = next(representations(model, x, ["0"], 384))
    torch.testing.assert_close(whole, model[0](x).flatten(1))
    ((squares,), _) = next(representations(model, x, ["0"], 383))
    assert squares.shape == (4, 6 * 7 * 7)
    ((means,), _) = next(representations(model, x, ["0"], 1))
    torch.testing.assert_close(means, model[0](x).mean((2, 3)))


@pytest.mark.parametrize(("values", "size"), [(99, 5 * 3), (14, 4 * 3), (1, 3)])
def test_tokens_are_averaged_over_their_places(values: int, size: int) -> None:
    tokens = nn.Sequential(nn.Flatten(2), nn.Linear(1, 3), nn.Flatten(), nn.Linear(15, 2))
    x = torch.rand(4, 5, 1, 1, generator=rng())
    ((rows,), _) = next(representations(randomize(tokens), x, ["1"], values))
    assert rows.shape == (4, size)
    by_channel = rows.view(4, 3, -1).mean(2)
    if values != 14:  # places overlap there
        torch.testing.assert_close(by_channel, tokens[1](x.flatten(2)).mean(1))


def test_layers_are_chosen_or_named() -> None:
    benign = torch.rand(20, 3, 8, 8, generator=rng())
    model = randomize(Residual())
    assert fit(model, benign).layers == ["stem", "branch.1", "head"]
    named = fit(model, benign, layers=["branch"])
    assert named.layers == ["branch"]
    assert named(benign[:3]).shape == (3,)


def test_a_stamp_comes_to_its_class_late() -> None:
    world = badnets()
    assert world.share > 0.95
    scorer = fit(world.model, world.benign)
    assert auroc(scorer(world.clean), scorer(world.attacked)) > 0.95
    early, *_, late = ranks(scorer, world.attacked).median(0).values.tolist()
    assert early > 20 > 5 > late


def test_few_images_and_bad_parameters_are_refused() -> None:
    images, _ = digits()
    model = nn.Sequential(nn.Flatten(), nn.Softmax(1))
    with pytest.raises(ValueError, match="no convolution or linear layer: name `layers`"):
        fit(model, images[:9])
    with pytest.raises(ValueError, match="three benign images at least, not 2"):
        fit(split_at_half(), points(0.1, 0.9))
    with pytest.raises(ValueError, match="at least one image"):
        fit(split_at_half(), points(0.1, 0.2, 0.9))(points())
    with pytest.raises(ValueError, match=r"a list of layers, such as \['0'\]"):
        TED(layers="0")
    for parameters in ({"benign": 2}, {"values": 0}, {"contamination": 0.5}):
        with pytest.raises(ValueError, match="benign >= 3, values >= 1 and 0 <= contamination"):
            TED(**parameters)
