"""Intervals over victims: known answers, and coverage where the truth is known."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from evil_twins.bench.analysis.stats import (
    clopper_pearson,
    design_effect,
    mean_over_victims,
    next_rate,
    pooled_rate,
)
from evil_twins.bench.analysis.stats.population import _beta_binomial
from evil_twins.bench.analysis.stats.rates import Floats, Interval

VICTIMS = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 20)), min_size=2, max_size=12)


def arrays(pairs: list[tuple[int, int]]) -> tuple[Floats, Floats]:
    counts = np.array([float(count) for _, count in pairs])
    return np.minimum(np.array([float(detected) for detected, _ in pairs]), counts), counts


def test_victims_that_do_not_differ_leave_the_t_of_their_number() -> None:
    detected, counts = np.full(8, 4.0), np.full(8, 8.0)
    pooled = pooled_rate(detected, counts)
    assert pooled.effect == 1
    count = 64 * (stats.t.ppf(0.975, 63) / stats.t.ppf(0.975, 7)) ** 2
    low = stats.beta.ppf(0.025, count / 2, count / 2 + 1)
    assert pooled.rate == pytest.approx((0.5, low, 1 - low))
    assert pooled.rate.low < clopper_pearson(32, 64).low


def test_the_design_effect_is_that_of_clusters() -> None:
    # All targets of a victim alike: as many independent targets as victims, up to V / (V - 1).
    detected, counts = np.array([10.0, 0, 10, 0, 10, 0]), np.full(6, 10.0)
    assert design_effect(detected, counts) == pytest.approx(10 * 6 / 5)
    assert design_effect(np.full(6, 10.0), counts) == 1
    effective = 60 / 12 * (stats.t.ppf(0.975, 59) / stats.t.ppf(0.975, 5)) ** 2
    low = stats.beta.ppf(0.025, effective / 2, effective / 2 + 1)
    assert pooled_rate(detected, counts).rate == pytest.approx((0.5, low, 1 - low))
    many = np.random.default_rng(0).binomial(10, 0.3, 4000).astype(float)
    assert design_effect(many, np.full(4000, 10.0)) == pytest.approx(1, abs=0.08)


def test_at_rates_of_0_and_1_a_model_counts_once() -> None:
    counts, models = np.full(5, 64.0), np.full(5, 2.0)
    apart, shared = (pooled_rate(np.zeros(5), counts, each).rate for each in (None, models))
    effective = 10 * (stats.t.ppf(0.975, 319) / stats.t.ppf(0.975, 4)) ** 2
    assert shared == pytest.approx((0, 0, 1 - 0.025 ** (1 / effective)))
    assert shared.high > 10 * apart.high
    all_found = pooled_rate(counts, counts, models).rate
    assert all_found.low == pytest.approx(1 - shared.high)
    assert design_effect(np.zeros(5), counts) == 1
    assert design_effect(np.zeros(5), counts, models) == 32
    new = [next_rate(np.zeros(5), counts, 64, each) for each in (None, models)]
    assert new[0].high < shared.high <= new[1].high
    # Elsewhere the victims show by how much they differ.
    detected = np.array([3.0, 5, 4, 2, 6])
    assert pooled_rate(detected, counts, models) == pooled_rate(detected, counts)


@given(VICTIMS)
def test_intervals_hold_their_rate_and_stay_within_bounds(pairs: list[tuple[int, int]]) -> None:
    detected, counts = arrays(pairs)
    value, low, high = pooled_rate(detected, counts).rate
    assert value == detected.sum() / counts.sum()
    assert 0 <= low <= value <= high <= 1
    assert high - low > 0
    new = next_rate(detected, counts, 10)
    rates = detected / counts
    assert 0 <= new.low <= min(low, rates.min())
    assert max(high, rates.max()) <= new.high <= 1


@given(VICTIMS)
def test_the_order_of_victims_and_the_sense_of_detection_do_not_matter(
    pairs: list[tuple[int, int]],
) -> None:
    detected, counts = arrays(pairs)
    usual = pooled_rate(detected, counts)
    assert pooled_rate(detected[::-1], counts[::-1]).rate == pytest.approx(usual.rate)
    missed = pooled_rate(counts - detected, counts)
    assert missed.effect == pytest.approx(usual.effect)
    assert 1 - missed.rate.low == pytest.approx(usual.rate.high)


def test_a_single_victim_says_nothing_of_the_next() -> None:
    sides = np.array([3.0]), np.array([8.0])
    assert all(np.isnan(pooled_rate(*sides).rate))
    assert all(np.isnan(next_rate(*sides, 8)))
    assert all(np.isnan(mean_over_victims(sides[0])))


def test_means_have_the_interval_of_scipy() -> None:
    values = np.array([0.6, 0.9, 0.7, 0.8, np.nan])
    expected = stats.ttest_1samp(values[:4], 0.0).confidence_interval(0.95)
    assert mean_over_victims(values) == pytest.approx((0.75, expected.low, expected.high))


@pytest.mark.parametrize("spread", [0.01, 0.3, 5.0])
@pytest.mark.parametrize("detected", [0, 2, 5, 8])
def test_the_next_rate_is_that_of_scipy_s_beta_binomial(detected: int, spread: float) -> None:
    n, (a, b) = 8, (spread * (detected + 0.5), spread * (8.5 - detected))
    law = stats.betabinom(n, a, b)
    assert _beta_binomial(n, a, b) == pytest.approx(law.pmf(np.arange(n + 1)))
    ends = np.searchsorted(_beta_binomial(n, a, b).cumsum(), [0.025, 0.975])
    assert list(ends) == [law.ppf(0.025), law.ppf(0.975)]


# Victims x targets, mean rate, standard deviation of the victims' log-odds; 3 is that of "any".
GRID = [
    *((5, 12, 0.07, 1.0), (5, 12, 0.13, 3.0), (5, 12, 0.2, 3.0), (5, 12, 0.5, 0.3)),
    *((5, 12, 0.5, 1.0), (8, 8, 0.07, 1.0), (8, 8, 0.13, 3.0), (8, 8, 0.24, 1.0)),
    *((8, 8, 0.5, 0.3), (8, 8, 0.5, 1.0), (8, 8, 0.5, 3.0), (8, 8, 0.02, 0.3)),
    *((16, 8, 0.05, 1.0), (16, 8, 0.07, 1.0), (16, 8, 0.24, 1.0), (16, 8, 0.5, 1.0)),
    (16, 8, 0.66, 3.0),
]
REPETITIONS = 2000


def simulated(victims: int, targets: int, rate: float, spread: float) -> Floats:
    """Draw (REPETITIONS, V + 1) detected targets of victims whose log-odds are normal."""
    draws = np.random.default_rng(0)
    normal = stats.norm.ppf((np.arange(2000) + 0.5) / 2000)
    low, high = -30.0, 30.0
    for _ in range(60):
        centre = (low + high) / 2
        above = special.expit(centre + spread * normal).mean() > rate
        low, high = (low, centre) if above else (centre, high)
    rates = special.expit(centre + spread * draws.standard_normal((REPETITIONS, victims + 1)))
    return draws.binomial(targets, rates).astype(float)


def coverage(drawn: Floats, targets: int, interval: Callable[[Floats, Floats], Interval]) -> Floats:
    """Return the intervals (R, 2) of all victims but the last."""
    counts = np.full(drawn.shape[1] - 1, float(targets))
    return np.array([interval(detected, counts)[1:] for detected in drawn[:, :-1]])


def clopper(detected: Floats, counts: Floats) -> Interval:
    return clopper_pearson(int(detected.sum()), int(counts.sum()))


@pytest.mark.slow
@pytest.mark.parametrize(("victims", "targets", "rate", "spread"), GRID)
def test_coverage(victims: int, targets: int, rate: float, spread: float) -> None:
    """Beside the pooled interval of Clopper and Pearson, which covers .54 to .98."""
    drawn = simulated(victims, targets, rate, spread)
    ours = coverage(drawn, targets, lambda *sides: pooled_rate(*sides).rate)
    covered = float(((ours[:, 0] <= rate) & (rate <= ours[:, 1])).mean())
    floor = 0.93 if victims >= 8 and spread < 3 else 0.90
    noise = 1.96 * np.sqrt(floor * (1 - floor) / REPETITIONS)
    assert covered >= floor - noise
    by_t = coverage(drawn, targets, lambda detected, counts: mean_over_victims(detected / counts))
    if ((by_t[:, 0] <= rate) & (rate <= by_t[:, 1])).mean() >= 0.94:
        assert np.diff(ours).mean() <= 1.15 * np.diff(by_t).mean()
    if spread >= 1:
        exact = coverage(drawn, targets, clopper)
        assert ((exact[:, 0] <= rate) & (rate <= exact[:, 1])).mean() < covered
    new = coverage(drawn, targets, lambda *sides: next_rate(*sides, targets))
    measured = drawn[:, -1] / targets
    held = float(((new[:, 0] <= measured) & (measured <= new[:, 1])).mean())
    assert held >= 0.93
