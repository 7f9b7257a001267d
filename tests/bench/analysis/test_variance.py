"""Statistics between populations: variance components, Welch's interval, Kendall's τ."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from evil_twins.bench.analysis.stats import components, kendall, mean_difference
from evil_twins.bench.analysis.stats.rates import Floats


def test_components_of_two_groups_by_hand() -> None:
    # Means 2 and 6: MSB = 2 (4 + 4) / 1 = 16, MSW = (2 + 2) / 2 = 2, n₀ = 2.
    groups = [np.array([1.0, 3.0]), np.array([5.0, 7.0])]
    result = components(groups)
    assert result[:2] == (7, 2)
    assert result.share == pytest.approx(7 / 9)
    assert result.p == pytest.approx(scipy_stats.f_oneway(*groups).pvalue)


def test_a_group_of_one_value_counts_only_between() -> None:
    # Means 2, 6 and 10, ȳ = 26 / 5; MSB = (2 · 3.2² + 2 · .8² + 4.8²) / 2, n₀ = (5 - 9 / 5) / 2.
    result = components([np.array([1.0, 3.0]), np.array([5.0, 7.0]), np.array([10.0])])
    among = (2 * 3.2**2 + 2 * 0.8**2 + 4.8**2) / 2
    assert result[:2] == pytest.approx(((among - 2) / 1.6, 2))


def test_equal_groups_have_no_variance_between_them() -> None:
    result = components([np.array([1.0, 3.0]), np.array([3.0, 1.0])])
    assert result[:2] == (0, 2)
    constant = components([np.ones(3), np.ones(2)])
    assert constant[:2] == (0, 0)
    assert np.isnan([constant.share, constant.p]).all()


@pytest.mark.parametrize(
    ("sizes", "lacking"), [([1, 1, 1], [True, True]), ([3], [True, False]), ([2, 1], [False] * 2)]
)
def test_too_few_values_have_no_variance(sizes: list[int], lacking: list[bool]) -> None:
    values = [np.arange(size, dtype=np.float64) for size in sizes]
    assert np.isnan(components(values)[:2]).tolist() == lacking


def test_components_are_those_of_the_simulation() -> None:
    """The standard deviations are 2 between and 1 within; few estimates are cut at 0."""
    rng, sizes = np.random.default_rng(3), (8, 8, 5, 1, 1)
    estimates = [
        components([rng.normal(2 * rng.normal(), 1, size) for size in sizes])[:2]
        for _ in range(1500)
    ]
    between, within = np.array(estimates).T
    assert between.mean() == pytest.approx(4, abs=4 * between.std() / np.sqrt(1500))
    assert within.mean() == pytest.approx(1, abs=4 * within.std() / np.sqrt(1500))


def test_the_f_test_keeps_its_level_without_variance_between() -> None:
    rng = np.random.default_rng(4)
    p = [components([rng.normal(size=size) for size in (8, 8, 3, 1)]).p for _ in range(1500)]
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.02)


def test_a_difference_has_the_interval_of_welch() -> None:
    first, second = np.array([1.0, 2, 4, 5]), np.array([0.0, 0.5, 1.5])
    interval = scipy_stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    gap = first.mean() - second.mean()
    assert mean_difference(first, second) == pytest.approx((gap, *interval))


def test_a_side_on_which_all_victims_are_equal_adds_no_variance() -> None:
    values = np.array([0.1, 0.3, 0.5])
    half = scipy_stats.t.ppf(0.975, 2) * values.std(ddof=1) / np.sqrt(3)
    expected = pytest.approx((0.7, 0.7 - half, 0.7 + half))
    assert mean_difference(np.full(4, 0.1 + 0.9), values) == expected


@pytest.mark.parametrize(
    ("first", "second"), [([0.2], [0.1, 0.3]), ([0.1, 0.3], [0.5]), ([0.3, 0.1 + 0.2], [0.0, 0.0])]
)
def test_no_interval_without_victims_that_differ(first: list[float], second: list[float]) -> None:
    value, *ends = mean_difference(np.array(first), np.array(second))
    assert value == pytest.approx(np.mean(first) - np.mean(second))
    assert np.isnan(ends).all()


def test_tau_is_that_of_scipy_with_ties() -> None:
    rng = np.random.default_rng(5)
    first, second = rng.integers(0, 4, (2, 60, 7)).astype(np.float64)
    expected = [scipy_stats.kendalltau(*pair).statistic for pair in zip(first, second, strict=True)]
    assert kendall(first, second) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("second", "tau"),
    [([1.0, 2, 3], 1), ([3.0, 2, 1], -1), ([1.0, 1, 1], np.nan), ([1.0, 1 + 1e-14, 2], 2 / 6**0.5)],
)
def test_tau_of_three_items(second: Floats, tau: float) -> None:
    value = float(kendall(np.array([1.0, 2, 3]), np.array(second)))
    assert value == pytest.approx(tau, nan_ok=True)
