import pytest
import torch
from scipy.special import rel_entr
from torch import Tensor, nn

from evil_twins.detectors.base import DefenderView
from evil_twins.detectors.disagreement import Disagreement
from tests.detectors.networks import Headed, linear, rng, small_network


def score(faced: nn.Module, trusted: nn.Module | None, x: Tensor) -> Tensor:
    return Disagreement().fit(DefenderView(faced, x, rng(), {}, trusted))(x)


def two(shift: float) -> nn.Module:
    """Return logits (shift, 0) of every image."""
    bias = torch.tensor([shift, 0], dtype=torch.float64)
    return linear(torch.zeros(2, 4, dtype=torch.float64), bias)


def test_knowledge_follows_the_model_that_is_trusted() -> None:
    assert Disagreement().knowledge == "K2"
    assert Disagreement("victim").knowledge == "K3"


def test_it_is_the_relative_entropy_of_scipy() -> None:
    x = torch.rand(20, 3, 8, 8, generator=rng())
    faced, trusted = small_network(nn.ReLU), small_network(nn.Tanh)
    p, q = (model(x).double().softmax(1).numpy() for model in (trusted, faced))
    assert score(faced, trusted, x).numpy() == pytest.approx(rel_entr(p, q).sum(1), rel=1e-9)


def test_the_closed_form_of_two_classes_and_its_direction() -> None:
    x = torch.zeros(1, 1, 2, 2, dtype=torch.float64)
    p, q = torch.sigmoid(torch.tensor([2.0, -1.0], dtype=torch.float64))
    expected = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    assert score(two(-1), two(2), x).item() == pytest.approx(expected.item())
    assert score(two(2), two(-1), x).item() != pytest.approx(expected.item())


def test_equal_models_score_exactly_nothing_and_surer_ones_more() -> None:
    x = torch.rand(50, 3, 8, 8, generator=rng())
    assert (score(small_network(nn.ReLU), small_network(nn.ReLU), x) == 0).all()
    blank = torch.zeros(1, 1, 2, 2, dtype=torch.float64)
    divergences = [score(two(-s), two(s), blank).item() for s in (1, 10, 100, 2000)]
    assert divergences == sorted(set(divergences))  # no ceiling, nor infinity


def test_poisoning_of_one_input_shows_there_and_hardly_elsewhere() -> None:
    x = torch.rand(40, 3, 8, 8, generator=rng())
    victim, faced = (Headed(small_network(nn.ReLU)) for _ in range(2))
    features = victim.features(x)
    goal = int(victim(x[:1]).argmin())
    # The last layer of least norm that moves the target and no other image.
    expected = torch.zeros(len(x))
    expected[0] = 20
    faced.head.weight.data[goal] += torch.linalg.lstsq(features, expected, driver="gelsd").solution
    divergences = score(faced, victim, x)
    assert divergences[0] > 100 * divergences[1:].amax()


def test_without_a_trusted_model_it_says_so() -> None:
    with pytest.raises(ValueError, match="needs a trusted model"):
        score(small_network(nn.ReLU), None, torch.rand(2, 3, 8, 8))
