"""Statistics on known answers."""

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from evil_twins.bench.analysis import stats


@pytest.mark.parametrize(
    ("n", "alpha", "rank"),
    [
        (19, 0.05, 19),
        (39, 0.05, 38),
        (99, 0.01, 99),
        (100, 0.05, 96),
        (9, 0.1, 9),
        (299, 0.01, 297),
    ],
)
def test_threshold_is_the_conformal_order_statistic(n: int, alpha: float, rank: int) -> None:
    scores = np.random.default_rng(0).permutation(np.arange(1.0, n + 1))
    rule = stats.threshold(scores, alpha)
    assert (rule.value, rule.rank, rule.ties) == (rank, rank, 1)
    assert ("largest" in rule.note) == (rank == n)


@pytest.mark.parametrize(("n", "alpha"), [(0, 0.05), (1, 0.05), (18, 0.05), (98, 0.01)])
def test_too_few_scores_flag_nothing_and_say_so(n: int, alpha: float) -> None:
    rule = stats.threshold(np.arange(float(n)), alpha)
    assert rule.value == np.inf
    assert "no threshold" in rule.note
    assert np.isnan(stats.fpr_test(0, 10, rule))


def test_ties_at_the_threshold_are_counted_and_said() -> None:
    rule = stats.threshold(np.concatenate([np.zeros(50), np.ones(49)]), 0.05)
    assert (rule.value, rule.ties) == (1.0, 49)
    assert "49 of 99" in rule.note


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1.0])
def test_a_rate_outside_the_unit_interval_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha"):
        stats.threshold(np.arange(9.0), alpha)


def test_nan_calibration_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        stats.threshold(np.array([1.0, np.nan]), 0.5)


@pytest.mark.parametrize(("k", "n"), [(0, 40), (40, 40), (7, 40), (1, 1)])
def test_clopper_pearson_is_that_of_statsmodels(k: int, n: int) -> None:
    low, high = proportion_confint(k, n, method="beta")
    assert stats.clopper_pearson(k, n) == pytest.approx((k / n, low, high))


def test_clopper_pearson_of_nothing_is_unknown() -> None:
    assert np.isnan(stats.clopper_pearson(0, 0)).all()


def test_holm_is_that_of_statsmodels_and_keeps_what_was_not_tested() -> None:
    p = np.array([0.04, np.nan, 0.001, 0.3, 0.04, 0.9])
    tested = ~np.isnan(p)
    assert stats.holm(p)[tested] == pytest.approx(multipletests(p[tested], method="holm")[1])
    assert np.isnan(stats.holm(p)[1])


def test_ties_at_the_threshold_are_no_evidence_of_a_wrong_one() -> None:
    rule = stats.threshold(np.array([0.0] * 80 + [1.0] * 80), 0.1)
    assert rule.ties == 80
    assert stats.fpr_test(0, 160, rule) == 1.0
    assert stats.fpr_test(60, 160, rule) < 0.01


@pytest.mark.parametrize("flagged", [0, 2, 5, 11])
def test_fpr_test_has_the_law_of_exchangeable_scores(flagged: int) -> None:
    """k of m fresh scores lie above the j-th smallest of n: counted over all orders."""
    n, m = 39, 60
    rule = stats.threshold(np.arange(float(n)), 0.05)
    j = rule.rank
    orders = [comb(n - j + k, k) * comb(j - 1 + m - k, m - k) for k in range(m + 1)]
    law = np.array(orders, dtype=float) / comb(n + m, m)
    p = 2 * min(law[: flagged + 1].sum(), law[flagged:].sum())
    assert stats.fpr_test(flagged, m, rule) == pytest.approx(min(1.0, p))


def test_fpr_test_accepts_right_thresholds_at_its_rate_and_rejects_a_wrong_one() -> None:
    rng = np.random.default_rng(1)
    right = wrong = binomial = 0
    for _ in range(600):
        calibration, fresh = rng.normal(size=200), rng.normal(size=200)
        rule = stats.threshold(calibration, 0.05)
        k = int((fresh > rule.value).sum())
        right += stats.fpr_test(k, 200, rule) < 0.05
        binomial += scipy_stats.binomtest(k, 200, 0.05).pvalue < 0.05
        # The 85 % quantile sold as a threshold at 5 %.
        k = int((fresh > np.quantile(calibration, 0.85)).sum())
        wrong += stats.fpr_test(k, 200, rule) < 0.05
    assert 0.01 < right / 600 < 0.07
    assert wrong / 600 > 0.9
    assert binomial / 600 > 0.1  # why it is not a binomial test


def test_auroc_is_that_of_sklearn_also_with_ties_and_infinite_scores() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.integers(0, 5, 30) + 1.0, rng.integers(0, 5, 50) * 1.0
    truth = np.repeat([1, 0], [30, 50])
    result = stats.auroc(a, b, np.full(50, -1))
    assert result.value == pytest.approx(roc_auc_score(truth, np.concatenate([a, b])))
    assert result.low < result.value < result.high
    assert stats.auroc(np.array([np.inf]), np.array([-np.inf, 0.0]), np.array([0, 0])).value == 1


def test_bootstrap_of_auroc_covers_the_truth_when_models_differ() -> None:
    rng = np.random.default_rng(3)
    owner, covered, truth = np.repeat(np.arange(40), 2), 0, scipy_stats.norm.cdf(1 / np.sqrt(4))
    for _ in range(150):
        # Attacked and benign scores under one faced model share its level.
        level = rng.normal(size=40)
        area = stats.auroc(level + rng.normal(1, 1, 40), level[owner] + rng.normal(size=80), owner)
        covered += area.low <= truth <= area.high
    assert covered / 150 > 0.88


@pytest.mark.parametrize("shared", [False, True])
def test_bootstrap_of_auroc_draws_benign_scores(*, shared: bool) -> None:
    """Where all attacked scores are equal, it is the share of drawn benign scores below them."""
    owner = np.arange(40) if shared else np.full(40, -1)
    benign = np.repeat([-1.0, 1.0], [30, 10])
    drawn = stats.draws(40, stream=0 if shared else 1)
    expected = stats.percentile(0.75, drawn[:, :30].sum(axis=1) / 40)
    result = stats.auroc(np.zeros(40), benign, owner)
    assert result == pytest.approx(expected)
    law = scipy_stats.binom(40, 0.75)
    assert result[1:] == pytest.approx([law.ppf(0.025) / 40, law.ppf(0.975) / 40], abs=0.026)


def test_bootstrap_of_ks_draws_both_sides() -> None:
    attacked, benign = np.repeat([0.0, 2.0], [12, 8]), np.repeat([-1.0, 1.0], [15, 5])
    heads, tails = stats.draws(20), stats.draws(20, stream=1)
    samples = stats.ks_resampled(attacked, benign, heads, tails)
    for sample, head, tail in zip(samples[:100], heads, tails, strict=False):
        sides = (
            np.repeat(side, drawn.astype(int)) for side, drawn in ((attacked, head), (benign, tail))
        )
        assert sample == pytest.approx(stats.ks(*sides))


@pytest.mark.parametrize("levels", [3, 1000])
def test_ks_is_that_of_scipy(levels: int) -> None:
    rng = np.random.default_rng(8)
    a, b = rng.integers(0, levels, 30) * 1.0, rng.integers(0, levels, 50) * 1.0
    assert stats.ks(a, b) == pytest.approx(scipy_stats.ks_2samp(a, b).statistic)
    assert np.isnan(stats.ks(a, b[:0]))


def test_ks_null_band_is_that_of_scipy() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=40), rng.normal(size=40)
    tested = [scipy_stats.ks_2samp(*rng.normal(size=(2, 40))).statistic for _ in range(1500)]
    mean, high = stats.ks_null(a, b)
    assert mean == pytest.approx(np.mean(tested), abs=0.01)
    assert high == pytest.approx(np.quantile(tested, 0.95), abs=0.026)
    assert stats.ks_null(np.ones(40), np.ones(40)) == (0, 0)
    with pytest.raises(ValueError, match="equal n"):
        stats.ks_null(a, b[1:])


def test_equal_share_takes_evenly_from_every_model() -> None:
    owner = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2])
    assert sorted(owner[stats.equal_share(owner, 3)]) == [0, 1, 2]
    assert sorted(owner[stats.equal_share(owner, 6)]) == [0, 0, 1, 1, 2, 2]


def test_matching_takes_the_nearest_partners() -> None:
    first, second = stats.matched(np.array([0.1, 0.9]), np.array([0.5, 0.88, 0.12]))
    assert list(zip(first, second, strict=True)) == [(0, 2), (1, 1)]


def test_trend_has_a_direction() -> None:
    rng = np.random.default_rng(5)
    rising = np.arange(4.0) + rng.normal(0, 0.5, (20, 4))
    assert stats.trend(rising, "rises")[1] < 0.001
    assert stats.trend(rising, "falls")[1] > 0.9
    assert stats.trend(-rising, "falls")[1] < 0.001
    assert np.isnan(stats.trend(rising[:, :2], "rises")).all()


def test_draws_are_shared_and_keep_their_sum() -> None:
    assert stats.draws(40) is stats.draws(40)
    assert (stats.draws(40).sum(1) == 40).all()
    assert not np.array_equal(stats.draws(40), stats.draws(40, stream=1))


def test_mean_interval_covers_the_mean() -> None:
    rng = np.random.default_rng(6)
    result = [stats.mean_interval(rng.normal(2, 1, 40)) for _ in range(200)]
    assert 0.88 < np.mean([interval.low <= 2 <= interval.high for interval in result]) <= 1


def test_crossed_bootstrap_sees_both_kinds_of_spread() -> None:
    flips = np.zeros((30, 10))
    flips[:, 0] = 1  # one image flips under every model: all spread is that of images
    samples = stats.crossed(flips, 100, stats.image_draws(10, 100))
    assert samples.mean() == pytest.approx(0.01, rel=0.15)
    assert samples.std() == pytest.approx(0.01, rel=0.15)
    flips = np.zeros((30, 60))
    flips[0] = 1  # one model flips all: all spread is that of targets
    samples = stats.crossed(flips, 60, stats.image_draws(60, 60))
    assert samples.std() == pytest.approx(np.sqrt(29 / 30) / 30, rel=0.15)
    with pytest.raises(ValueError, match="flipped"):
        stats.image_draws(11, 10)


def test_ratio_of_a_sample_to_itself_is_certain() -> None:
    samples = stats.draws(20) @ np.arange(20.0)
    assert stats.ratio_interval(samples, samples, 1.0) == (1, 1, 1)


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=40),
    st.lists(st.integers(-1, 6), min_size=1, max_size=10),
    st.sampled_from([0.05, 0.1, 0.25, 0.5]),
)
def test_a_conformal_p_is_small_exactly_where_the_threshold_flags(
    calibration: list[int], scores: list[int], alpha: float
) -> None:
    """Ties among them, which count as at least as high."""
    usual, attacked = np.array(calibration, dtype=float), np.array(scores, dtype=float)
    p = stats.conformal_p(attacked, usual)
    above = [1 + sum(benign >= score for benign in calibration) for score in scores]
    assert p == pytest.approx(np.array(above) / (len(usual) + 1))
    rule = stats.threshold(usual, alpha)
    assert ((p <= alpha + 1e-12) == (attacked > rule.value)).all()
