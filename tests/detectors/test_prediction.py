"""Sequential votes: the guarantee by simulation, and what they save."""

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import binomtest
from torch import Tensor, nn

from evil_twins.detectors.prediction import certify_within, evidence, predict, settled
from evil_twins.detectors.smoothing import ABSTAIN, votes
from tests.detectors.networks import drawn
from tests.detectors.test_smoothing import SIGMA, halves


@pytest.mark.parametrize("than", [0.1, 0.5, 0.84])
@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (0, 5), (12, 3), (70, 40)])
def test_evidence_is_the_mean_likelihood_ratio(first: int, second: int, than: float) -> None:
    def ratio(theta: float) -> float:
        return (theta / than) ** first * ((1 - theta) / (1 - than)) ** second / (1 - than)

    mean, _ = quad(ratio, than, 1, epsabs=0, epsrel=1e-10)
    assert evidence(first, second, than) == pytest.approx(np.log(mean), rel=1e-7, abs=1e-9)


@pytest.mark.parametrize(("first", "second"), [(0, 2000), (5, 3000), (0, 10**6)])
def test_far_behind_there_is_no_evidence(first: int, second: int) -> None:
    assert evidence(first, second) < -600


@pytest.mark.parametrize("than", [0.5, 0.7, 0.9])
def test_a_radius_that_does_not_hold_is_certified_no_more_often_than_stated(than: float) -> None:
    alpha, runs, n = 0.1, 2000, 600
    votes = np.random.default_rng(2).random((runs, n)) < than  # exactly on the edge: the worst case
    counts = votes.cumsum(axis=1)
    for own, chance in ((counts, than), (np.arange(1, n + 1) - counts, 1 - than)):
        ever = evidence(own, np.arange(1, n + 1) - own, chance) >= -np.log(alpha)
        wrong = int(ever.any(1).sum())
        assert binomtest(wrong, runs, alpha, alternative="greater").pvalue > 1e-3


@pytest.mark.parametrize(
    "chances",
    [(0.5, 0.5), (0.4, 0.4, 0.2), (0.36, 0.34, 0.3), (0.25,) * 4, (0.11,) + (0.89 / 9,) * 9],
)
def test_a_wrong_class_is_settled_no_more_often_than_stated(chances: tuple[float, ...]) -> None:
    alpha, runs, n = 0.1, 2000, 600
    source = np.random.default_rng(0)
    draws = source.choice(len(chances), size=(runs, n), p=chances)
    counts = np.eye(len(chances), dtype=np.int64)[draws].cumsum(axis=1)
    stops = settled(counts, alpha)  # after every single vote: no stopping rule can do worse
    first = np.where(stops.any(1), stops.argmax(1), -1)
    label = np.where(first >= 0, counts[np.arange(runs), first].argmax(1), -1)
    right = np.flatnonzero(np.isclose(chances, max(chances)))
    # Where two classes are equally probable neither may be settled: one of them counts as wrong.
    wrong = int(((label >= 0) & (label != right[0])).sum())
    assert binomtest(wrong, runs, alpha, alternative="greater").pvalue > 1e-3


def test_a_class_that_leads_is_found() -> None:
    source = np.random.default_rng(1)
    counts = source.multinomial(1000, (0.5, 0.3, 0.2), size=500)
    assert settled(counts, 0.05).mean() > 0.99
    assert counts[settled(counts, 0.05)].argmax(1).max() == 0


@pytest.mark.parametrize("distance", [0.02, 0.5])
def test_predictions_on_a_linear_model(distance: float) -> None:
    model, x = halves(distance)
    images = torch.stack([x, 1 - x, x])
    found = predict(model, images, SIGMA, 1000, 0.001, drawn())
    noiseless = model(images).argmax(1)
    for label, draws, own in zip(*found, noiseless, strict=True):
        assert label in (ABSTAIN, own)
        assert (draws == 1000) or label != ABSTAIN
    assert torch.equal(found.label[0], found.label[2])  # the same noise for all images
    if distance == 0.5:
        assert torch.equal(found.label, noiseless)
        assert (found.draws <= 32).all()


def test_certificates_on_a_linear_model() -> None:
    model, x = halves(0.3)
    images = x.unsqueeze(0)
    for radius, holds in ((0.0, True), (0.2, True), (0.5, False)):
        found = certify_within(model, images, SIGMA, radius, 20, 10_000, 0.001, drawn())
        expected = model(images).argmax(1) if holds else torch.tensor([ABSTAIN])
        assert torch.equal(found.label, expected)
        assert (found.draws < 10_000).all()
    assert found.draws.min() >= 20
    far = certify_within(model, images, SIGMA, 100.0, 20, 200, 0.001, drawn())
    assert far.label.tolist() == [ABSTAIN]
    with pytest.raises(ValueError, match="radius >= 0"):
        certify_within(model, images, SIGMA, -0.1, 20, 200, 0.001, drawn())
    # At the very edge neither is shown, and all votes are used.
    edge = certify_within(model, images, SIGMA, 0.3, 20, 300, 1e-6, drawn())
    assert edge.label.tolist() == [ABSTAIN]
    assert edge.draws.tolist() == [320]


def test_the_votes_are_those_of_the_smoothed_classifier() -> None:
    model, x = halves(0.0)  # a coin: never settled, so that every draw is counted
    n = 200
    found = predict(model, x.unsqueeze(0), SIGMA, n, 1e-9, drawn())
    assert found.label.tolist() == [ABSTAIN]
    assert found.draws.tolist() == [n]


def test_on_digits_it_needs_a_quarter_of_the_votes_at_most(
    real: tuple[nn.Module, Tensor, Tensor, Tensor],
) -> None:
    model, _, images, _ = real
    x, sigma, n, alpha = images[:200], 0.1, 1000, 0.001
    found = predict(model, x, sigma, n, alpha, drawn())
    assert 4 * found.draws.sum() <= n * len(x)
    noise = sigma * torch.randn(n, *x.shape[1:], generator=drawn(1), dtype=x.dtype)
    many = votes(model, x, noise)
    sure = found.label != ABSTAIN
    assert sure.double().mean() > 0.9
    assert torch.equal(found.label[sure], many.argmax(1)[sure])
