from math import radians, tan

import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from torch import Tensor, nn
from torch.nn.functional import normalize

from evil_twins.detectors.base import DefenderView, features_and_logits
from evil_twins.detectors.neighbours import Neighbours, NeighboursScorer
from tests.detectors.networks import Headed, digits, digits_model, rng, small_network

Digits = tuple[Headed, Tensor, Tensor]


@pytest.fixture(scope="module")
def real() -> Digits:
    """Return a model of digits that shows its features, benign images, and others."""
    images, labels = digits()
    model = digits_model(images[:900], labels[:900])
    assert isinstance(model, nn.Sequential)
    return Headed(model), images[900:1300], images[1300:]


def angles(*degrees: float) -> Tensor:
    """Return images of two pixels that represent directions in the plane."""
    turn = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack([turn.cos(), turn.sin()], 1).view(-1, 1, 1, 2)


def flat(weight: list[list[float]]) -> Headed:
    """Features are the two pixels, logits their products with the rows."""
    head = nn.Linear(2, len(weight), bias=False)
    head.weight.data = torch.tensor(weight, dtype=torch.float64)
    return Headed(nn.Sequential(nn.Flatten(), head)).eval().requires_grad_(False)


def fit(model: nn.Module, clean: Tensor, **parameters: object) -> NeighboursScorer:
    return Neighbours(**parameters).fit(DefenderView(model, clean, rng()))  # type: ignore


def test_distance_is_the_chord_to_the_kth_neighbour_whatever_the_length() -> None:
    benign, model = angles(10, 20, 40, 80), flat([[1, 0], [0, 1]])
    x = 0.3 * angles(0)
    for k, degrees in enumerate((10, 20, 40, 80), start=1):
        distances = fit(model, benign, statistic="distance", k=k)(x)
        chord = 2 * torch.tensor(degrees / 2).deg2rad().sin()
        assert distances.item() == pytest.approx(chord.item(), rel=1e-6)


def test_share_counts_the_neighbours_of_another_class() -> None:
    # The bisector parts the classes: 10 and 40 degrees are of the first, 50 and 80 of the second.
    benign, model = angles(10, 40, 50, 80), flat([[1, 0], [0, 1]])
    for k, expected in ((1, 0), (2, 0.5), (3, 1 / 3), (4, 0.5)):
        assert fit(model, benign, k=k)(angles(44)).item() == pytest.approx(expected)


def test_a_changed_head_moves_shares_and_no_distance() -> None:
    # The border of the classes moves from 14 to 11 degrees, past the input and no benign image.
    benign, x = angles(5, 10, 15, 80), angles(12)
    whole, poisoned = (flat([[1, 0], [0, 1 / tan(radians(at))]]) for at in (14, 11))
    assert torch.equal(poisoned(benign).argmax(1), whole(benign).argmax(1))
    assert poisoned(x).argmax() != whole(x).argmax()
    before, after = (fit(model, benign, k=3)(x).item() for model in (whole, poisoned))
    assert (before, after) == pytest.approx((1 / 3, 2 / 3))
    first, second = (fit(m, benign, k=3, statistic="distance")(x) for m in (whole, poisoned))
    assert torch.equal(first, second)


@pytest.mark.parametrize("k", [1, 5, 20])
def test_digits_have_the_neighbours_that_scikit_learn_finds(real: Digits, k: int) -> None:
    model, benign, x = real
    benign_features, _ = features_and_logits(model, benign)
    features, logits = features_and_logits(model, x)
    x_features, reference = normalize(features).numpy(), normalize(benign_features).numpy()
    expected, _ = NearestNeighbors(n_neighbors=k).fit(reference).kneighbors(x_features)
    distances = fit(model, benign, statistic="distance", k=k)(x).numpy()
    assert distances == pytest.approx(expected[:, -1], rel=1e-9, abs=1e-12)
    classes = KNeighborsClassifier(k).fit(reference, model(benign).argmax(1).numpy())
    agreeing = classes.predict_proba(x_features)[range(len(x)), logits.argmax(1).numpy()]
    assert fit(model, benign, k=k)(x).numpy() == pytest.approx(1 - agreeing, abs=1e-12)


def test_planted_images_stand_out(real: Digits) -> None:
    model, benign, x = real
    clean = fit(model, benign, statistic="distance")
    noise = torch.rand(60, 1, 8, 8, generator=rng())
    assert (clean(noise) > clean(x).quantile(0.95)).double().mean() > 0.9
    with_noise = torch.cat([benign, noise.repeat(5, 1, 1, 1)])
    assert (fit(model, with_noise, statistic="distance")(noise) < 1e-6).all()


def test_so_many_benign_images_are_searched(real: Digits) -> None:
    model, benign, x = real
    few = fit(model, benign[:20], statistic="distance")(x)
    assert torch.equal(fit(model, benign, statistic="distance", benign=20)(x), few)


def test_features_of_a_model_that_hides_them_are_refused() -> None:
    x = torch.rand(9, 3, 8, 8, generator=rng())
    with pytest.raises(TypeError, match=r"features\(x\) and head.*Sequential lacks them"):
        fit(small_network(nn.ReLU), x)


def test_too_few_images_are_refused(real: Digits) -> None:
    model, benign, x = real
    with pytest.raises(ValueError, match="k = 5 neighbours were requested, of 4 images"):
        fit(model, benign[:4])
    with pytest.raises(ValueError, match="at least one image"):
        fit(model, benign)(x[:0])
    for k, most in ((0, 10), (11, 10)):
        with pytest.raises(ValueError, match="1 <= k <= benign"):
            Neighbours(k=k, benign=most)
