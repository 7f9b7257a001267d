"""The interval of a detection rate: for other targets and other calibration images."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from evil_twins.bench.analysis.stats import Floats, clopper_pearson, detection_rate, threshold


def test_a_threshold_far_from_all_scores_adds_nothing() -> None:
    attacked = np.array([-9.0] * 3 + [9.0] * 7)
    calibration = np.random.default_rng(0).uniform(-1, 1, 60)
    rate = detection_rate(attacked, calibration, threshold(calibration, 0.05))
    assert rate == pytest.approx(clopper_pearson(7, 10))


def test_without_a_threshold_nothing_is_flagged() -> None:
    calibration = np.zeros(10)
    rate = detection_rate(np.ones(8), calibration, threshold(calibration, 0.05))
    assert rate == clopper_pearson(0, 8)
    assert np.isnan(detection_rate(np.empty(0), calibration, threshold(calibration, 0.2)).value)


def test_its_variance_is_that_of_the_bootstrap() -> None:
    draws = np.random.default_rng(0)
    attacked, calibration = draws.normal(1.6, 1, 40), draws.normal(0, 1, 80)
    rule = threshold(calibration, 0.05)
    resamples = np.sort(draws.choice(calibration, (20000, 80)))[:, rule.rank - 1]
    rates = (attacked > resamples[:, None]).mean(1)
    rate = detection_rate(attacked, calibration, rule)
    smoothed = (rate.value * 40 + 0.5) / 41
    n = 40 / (1 + rates.var() * 40 / (smoothed * (1 - smoothed)))
    low = scipy_stats.beta.ppf(0.025, rate.value * n, n + 1 - rate.value * n)
    assert rate.low == pytest.approx(low, abs=0.003)
    exact = clopper_pearson(round(rate.value * 40), 40)
    assert rate.high - rate.low > 1.2 * (exact.high - exact.low)


SCORES = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=40)


@given(SCORES, SCORES)
def test_it_is_never_narrower_than_that_of_targets(first: list[float], second: list[float]) -> None:
    attacked, calibration = np.array(first), np.array(second)
    rule = threshold(calibration, 0.2)
    value, low, high = detection_rate(attacked, calibration, rule)
    exact = clopper_pearson(int((attacked > rule.value).sum()), len(attacked))
    assert value == exact.value
    assert 0 <= low <= exact.low + 1e-12
    assert exact.high - 1e-12 <= high <= 1


def covered(shift: float, scale: float, targets: int, calibration: int) -> tuple[float, float]:
    """Return the coverage of the rate at the true quantile: ours, and Clopper and Pearson's."""
    draws, hits = np.random.default_rng(0), np.zeros(2)
    truth = scipy_stats.norm.sf(scipy_stats.norm.ppf(0.95), loc=shift, scale=scale)
    for _ in range(1000):
        attacked: Floats = draws.normal(shift, scale, targets)
        benign: Floats = draws.normal(0, 1, calibration)
        rule = threshold(benign, 0.05)
        exact = clopper_pearson(int((attacked > rule.value).sum()), targets)
        for i, rate in enumerate((detection_rate(attacked, benign, rule), exact)):
            hits[i] += rate.low <= truth <= rate.high
    return float(hits[0] / 1000), float(hits[1] / 1000)


@pytest.mark.slow
@pytest.mark.parametrize(("targets", "calibration"), [(40, 160), (40, 60), (8, 59), (100, 800)])
@pytest.mark.parametrize(
    ("shift", "scale"), [(0.0, 1.0), (1.0, 1.0), (1.645, 1.0), (2.5, 1.0), (1.645, 0.2)]
)
def test_coverage(shift: float, scale: float, targets: int, calibration: int) -> None:
    """Attacked scores of scale 0.2 are a step: then the threshold decides nearly everything."""
    ours, exact = covered(shift, scale, targets, calibration)
    assert ours >= 0.93
    assert ours >= exact
