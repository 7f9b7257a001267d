import math

import pytest
import torch
from scipy.stats import binomtest, norm
from torch import Tensor, nn

from evil_twins.detectors import base
from evil_twins.detectors.base import DefenderView
from evil_twins.detectors.smoothing import Smoothing, tune_sigma, votes
from tests.detectors.networks import linear, rng, small_network

SIGMA = 0.25


def two_halves(distance: float, size: int = 4) -> tuple[nn.Module, Tensor]:
    """Two classes with a plane between them, and one image at that l2 distance from it."""
    normal = torch.randn(size * size, generator=rng(7), dtype=torch.float64)
    normal /= normal.norm()
    weight = torch.stack([normal, -normal])
    x = torch.full((1, size, size), 0.5, dtype=torch.float64)
    offset = float(x.flatten() @ normal) - distance
    return linear(weight, torch.tensor([-offset, offset], dtype=torch.float64)), x


def fit(model: nn.Module, like: Tensor, **parameters: object) -> object:
    return Smoothing(**parameters).fit(DefenderView(model, like, rng()))  # type: ignore[arg-type]


@pytest.mark.parametrize("distance", [0.05, 0.2, 0.5])
def test_votes_follow_the_closed_form_of_a_linear_model(distance: float) -> None:
    model, x = two_halves(distance)
    noise = SIGMA * torch.randn(4000, *x.shape, generator=rng(), dtype=x.dtype)
    counts = votes(model, x.unsqueeze(0), noise)
    assert counts.sum() == 4000
    assert binomtest(int(counts[0, 0]), 4000, float(norm.cdf(distance / SIGMA))).pvalue > 1e-3


def test_votes_count_every_pair_of_image_and_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = small_network(nn.ReLU), torch.rand(5, 3, 8, 8, generator=rng())
    noise = 0.3 * torch.randn(7, 3, 8, 8, generator=rng(1))
    expected = torch.zeros(5, 6, dtype=torch.int64)
    for i in range(5):
        for image in noise:
            expected[i, model((x[i] + image).unsqueeze(0)).argmax()] += 1
    assert torch.equal(votes(model, x, noise), expected)
    for pixels in (192, 3 * 192, 15 * 192):
        monkeypatch.setitem(base.PIXELS, "float32", pixels)
        assert torch.equal(votes(model, x, noise), expected)


@pytest.mark.parametrize("alpha", [0.2, 0.05])
def test_the_radius_stays_below_the_true_distance_as_often_as_stated(alpha: float) -> None:
    distance, runs = 0.3, 300
    model, x = two_halves(distance, size=2)
    source = rng(3)
    detector = Smoothing(sigma=SIGMA, choosing=20, counting=200, alpha=alpha)
    radii = [detector.certify(model, x, source)[1] for _ in range(runs)]
    wrong = sum(radius > distance for radius in radii)
    assert binomtest(wrong, runs, alpha, alternative="greater").pvalue > 1e-3
    # Clopper-Pearson wastes a little, not all of alpha.
    assert binomtest(wrong, runs, alpha / 4, alternative="less").pvalue > 1e-3


def test_certify_states_the_exact_bound_of_its_own_count() -> None:
    model, x = two_halves(10.0)
    for n, alpha in ((100, 0.001), (1000, 0.001), (50, 0.05)):
        detector = Smoothing(sigma=SIGMA, choosing=10, counting=n, alpha=alpha)
        facts, radius = detector.certify(model, x, rng())
        assert facts == 0
        assert radius == pytest.approx(SIGMA * norm.ppf(alpha ** (1 / n)))  # all votes agree


def test_certify_abstains_on_the_boundary_and_with_too_few_draws() -> None:
    few, enough, many = (Smoothing(sigma=SIGMA, counting=count) for count in (9, 10, 100))
    assert many.certify(*two_halves(0.0), rng()) == (-1, 0.0)
    assert few.certify(*two_halves(10.0), rng()) == (-1, 0.0)
    assert enough.certify(*two_halves(10.0), rng())[0] == 0


def test_the_class_is_counted_on_fresh_draws() -> None:
    """If the draws that choose were counted too, a coin would be certified more often than α."""
    model, x = two_halves(0.0, size=2)
    source, runs = rng(5), 500
    # 13 votes of 18 are needed, which has probability 0.048: hardly any of α is wasted.
    detector = Smoothing(sigma=SIGMA, choosing=18, counting=18, alpha=0.05)
    sure = [detector.certify(model, x, source)[0] >= 0 for _ in range(runs)]
    assert binomtest(sum(sure), runs, 0.05, alternative="greater").pvalue > 1e-3


class Voices(nn.Module):
    """Class 0 without noise; with noise class 1, 2 or 3 in the proportion 6 : 3 : 1."""

    def forward(self, x: Tensor) -> Tensor:
        u = torch.special.ndtr(x.flatten(1)[:, 0].double() / SIGMA)
        noisy = 1 + torch.bucketize(u, torch.tensor([0.6, 0.9], dtype=torch.float64))
        kind = torch.where(x.flatten(1).abs().amax(1) == 0, 0, noisy)
        return nn.functional.one_hot(kind, 4).double()


def test_scores_are_what_they_are_said_to_be() -> None:
    x = torch.zeros(1, 1, 2, 2)
    gap = float(fit(Voices(), x, statistic="gap", sigma=SIGMA, draws=5000)(x))
    unstable = float(fit(Voices(), x, statistic="instability", sigma=SIGMA, draws=5000)(x))
    assert gap == pytest.approx(0.3, abs=0.05)
    assert unstable == pytest.approx(1.6, abs=0.03)  # no vote for its own class, 0.6 for another


def test_a_small_gap_is_unstable_and_the_two_add_up_where_the_classes_agree() -> None:
    model, near = two_halves(0.05)
    _, far = two_halves(0.05)
    x = torch.stack([near, far + 0.5 * model[1].weight[0].view_as(far)])
    gap = fit(model, x, statistic="gap", sigma=SIGMA)(x)
    unstable = fit(model, x, statistic="instability", sigma=SIGMA)(x)
    assert gap[0] < gap[1]
    assert unstable[0] > unstable[1]
    assert torch.allclose(gap + unstable, torch.ones(2).double())


def test_details_give_the_class_and_the_radius_of_each_image() -> None:
    model, on = two_halves(0.0)
    x = torch.stack([on, on + 2 * model[1].weight[0].view_as(on)])
    scorer = fit(model, x, sigma=SIGMA, counting=500)
    facts = scorer.details(x)
    assert facts["smoothed"].tolist() == [-1, 0]
    assert facts["certified_radius"][0] == 0
    assert 0.3 < float(facts["certified_radius"][1]) < 2
    single = scorer.details(x[1:])
    assert single["certified_radius"][0] == facts["certified_radius"][1]


@pytest.mark.parametrize("statistic", ["gap", "instability"])
def test_details_give_what_the_class_of_the_image_loses_under_noise(statistic: str) -> None:
    model, near = two_halves(0.05)
    counting = 10 if statistic == "instability" else 0
    scorer = fit(model, near[None], statistic=statistic, sigma=SIGMA, counting=counting)
    before = model(near[None]).double()
    after = model(near + scorer.noise).double().mean(0)  # linear: the mean of logits
    k = int(before.argmax())
    wanted = float(after.softmax(0)[k] - before.softmax(1)[0, k])
    facts = scorer.details(near[None])["confidence_change"]
    assert facts.tolist() == pytest.approx([wanted], abs=1e-6)
    assert scorer.details(torch.stack([near, near]))["confidence_change"].shape == (2,)


def test_sigma_is_the_largest_that_costs_little(
    real: tuple[nn.Module, Tensor, Tensor, Tensor],
) -> None:
    model, _, images, labels = real
    images, labels = images[:100], labels[:100]
    candidates = (0.02, 0.1, 0.3, 1.0, 3.0)
    chosen = tune_sigma(model, images, labels, candidates, rng(), drop=0.05)
    assert 0.02 <= chosen < 3
    assert tune_sigma(model, images, labels, candidates, rng(), drop=1.0) == 3.0
    assert math.isnan(tune_sigma(model, images, labels, (5.0,), rng()))
