import pytest
import torch
from scipy.stats import entropy as shannon
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from evil_twins.detectors.base import DefenderView
from evil_twins.detectors.strip import STRIP, STRIPScorer, entropy
from tests.detectors.backdoors import poisoned, successful
from tests.detectors.networks import digits, digits_model, linear, rng, small_network


def fit(
    model: nn.Module, benign: Tensor, count: int = 100, weight: float = 1.0, seed: int = 0
) -> STRIPScorer:
    return STRIP(count, weight).fit(DefenderView(model, benign, rng(seed)))


def pixels(*values: float) -> Tensor:
    """Return images of one pixel."""
    return torch.tensor(values, dtype=torch.float64).view(-1, 1, 1, 1)


def test_entropy_is_that_of_scipy() -> None:
    z = 5 * torch.randn(40, 7, generator=rng(), dtype=torch.float64)
    assert entropy(z).numpy() == pytest.approx(shannon(z.softmax(1).numpy(), axis=1), rel=1e-12)
    assert entropy(torch.zeros(1, 7)).item() == pytest.approx(torch.tensor(7.0).log().item())


def test_entropy_of_an_output_that_is_rounded_to_one_keeps_its_size() -> None:
    # Two classes of margin g have -p log p - q log q = q (g + 1) + O(q^2), q = exp(-g).
    for g in (40.0, 200.0):
        z = torch.tensor([[g, 0.0]], dtype=torch.float64)
        assert z.softmax(1)[0, 0] == 1
        expected = (g + 1) * torch.tensor(-g, dtype=torch.float64).exp().item()
        assert entropy(z).item() == pytest.approx(expected, rel=1e-9)


def test_score_is_the_mean_entropy_under_clipped_sums() -> None:
    model = linear(torch.tensor([[4.0], [0.0]]).double(), torch.tensor([-2.0, 0.0]).double())
    scores = fit(model, pixels(0.25, 0.5, 0.75))(pixels(0, 0.25, 0.5))
    for score, sums in zip(scores, ((0.25, 0.5, 0.75), (0.5, 0.75, 1), (0.75, 1, 1)), strict=True):
        outputs = model(pixels(*sums)).softmax(1).numpy()
        assert score.item() == pytest.approx(-shannon(outputs, axis=1).mean(), rel=1e-12)


def test_the_weight_multiplies_the_overlays() -> None:
    model, benign, x = small_network(nn.ReLU), *torch.rand(2, 9, 3, 8, 8, generator=rng())
    assert torch.equal(fit(model, benign, weight=0.5)(x), fit(model, benign / 2)(x))


def test_overlays_are_drawn_without_replacement_by_the_seed() -> None:
    model, benign = small_network(nn.ReLU), torch.rand(20, 3, 8, 8, generator=rng())
    values = fit(model, benign, 8).overlays.flatten(1)[:, 0]
    assert len(values.unique()) == 8
    assert torch.isin(values, benign[:, 0, 0, 0]).all()
    assert not torch.equal(values, fit(model, benign, 8, seed=1).overlays.flatten(1)[:, 0])
    everything = fit(model, benign).overlays.flatten(1)[:, 0]
    assert torch.equal(everything.sort().values, benign[:, 0, 0, 0].sort().values)


def test_images_of_several_passes_have_the_scores_of_single_ones() -> None:
    model = small_network(nn.ReLU).double()
    benign, x = torch.rand(2, 300, 3, 8, 8, generator=rng(), dtype=torch.float64)
    scorer = fit(model, benign)
    together = scorer(x)
    assert len(x) * len(benign[:100]) * x[0].numel() > 2**14
    single = torch.cat([scorer(image) for image in x[::60].split(1)])
    assert together[::60].numpy() == pytest.approx(single.numpy(), rel=1e-9)


def test_a_patch_that_the_network_learned_outlives_the_overlays() -> None:
    images, labels = digits()
    model = digits_model(*poisoned(images[:900], labels[:900]))
    x = images[1100:]
    attacked = successful(model, x, labels[1100:])
    scorer = fit(model, images[900:1100], 20)
    scores = torch.cat([scorer(x), scorer(attacked)])
    assert roc_auc_score([0] * len(x) + [1] * len(attacked), scores) > 0.95


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="count >= 1"):
        STRIP(0)
    with pytest.raises(ValueError, match="weight > 0"):
        STRIP(weight=0.0)
    with pytest.raises(ValueError, match="there are none"):
        fit(small_network(nn.ReLU), torch.zeros(0, 3, 8, 8))
