"""Paired comparisons on known answers."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from evil_twins.bench.analysis import stats


def test_mcnemar_counts_discordant_targets() -> None:
    first = np.array([True] * 9 + [False] * 11)
    second = np.array([True] * 1 + [False] * 17 + [True] * 2)
    result = stats.mcnemar(first, second)
    assert (result.first, result.second) == (8, 2)
    assert result.p == pytest.approx(scipy_stats.binomtest(2, 10, 0.5).pvalue)
    with pytest.raises(ValueError, match="paired"):
        stats.mcnemar(first, second[1:])


def _pairs(both: int, ones: int, twos: int, none: int) -> tuple[np.ndarray, np.ndarray]:
    first = np.repeat([True, True, False, False], [both, ones, twos, none])
    return first, np.repeat([True, False, True, False], [both, ones, twos, none])


def test_a_paired_difference_is_that_of_the_literature() -> None:
    # Airway hyper-responsiveness of 21 children, Bentur et al. (2009), as Fagerland et al. give it.
    result = stats.paired_difference(*_pairs(1, 1, 7, 12))
    assert [round(value, 3) for value in result] == [-0.286, -0.517, -0.026]


@pytest.mark.parametrize("both", [0, 20, 40])
def test_a_paired_difference_is_uncertain_where_all_agree(both: int) -> None:
    z = scipy_stats.norm.ppf(0.975) ** 2
    result = stats.paired_difference(*_pairs(both, 0, 0, 40 - both))
    assert result == pytest.approx((0, -z / (40 + z), z / (40 + z)))


def test_a_paired_difference_holds_its_estimate_and_has_a_mirror_image() -> None:
    sizes = [
        (n, ones, twos) for n in (1, 2, 7, 30) for ones in range(n + 1) for twos in range(n + 1)
    ]
    for n, ones, twos in sizes:
        if ones + twos <= n:
            value, low, high = stats.paired_difference(*_pairs(0, ones, twos, n - ones - twos))
            assert -1 <= low <= value <= high <= 1
            mirror = stats.paired_difference(*_pairs(n - ones - twos, twos, ones, 0))
            assert mirror == pytest.approx((-value, -high, -low), abs=1e-6)
    assert np.isnan(stats.paired_difference(*_pairs(0, 0, 0, 0))).all()


def test_a_paired_difference_covers_the_truth() -> None:
    generator, hits = np.random.default_rng(3), 0
    for counts in generator.multinomial(40, [0.3, 0.25, 0.1, 0.35], size=2000):
        result = stats.paired_difference(*_pairs(*counts))
        hits += result.low <= 0.15 <= result.high
    assert 0.93 < hits / 2000 < 0.975


def test_signed_rank_and_conformal_ranks() -> None:
    ranks = stats.conformal_ranks(np.array([-1.0, 1.0, 9.0]), np.array([0.0, 1.0, 2.0]))
    assert ranks == pytest.approx([0, 0.5, 1])
    assert np.isnan(stats.conformal_ranks(np.ones(2), np.empty(0))).all()
    assert stats.signed_rank(ranks, ranks) == 1
    assert stats.signed_rank(np.arange(20.0), np.arange(20.0) + 1) < 0.001


@pytest.mark.parametrize("n", [3, 5, 7])
def test_the_signed_rank_of_few_targets_is_that_of_scipy_with_ties_and_zeros(n: int) -> None:
    generator = np.random.default_rng(n)
    for most in (2, 2, 3, 3, 4, 4, 50):
        first, second = generator.integers(0, most, (2, n)) / 8
        first[0] = second[0] + 1  # something differs
        wanted = scipy_stats.wilcoxon(first - second, zero_method="pratt").pvalue
        assert stats.signed_rank(first, second) == wanted
