"""Honest p-values of models: their definition, and their level by simulation."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from evil_twins.bench.analysis import stats


def test_p_values_count_honest_models_that_score_as_high() -> None:
    honest = np.array([1.0, 2, 2, 3])
    p, _ = stats.outlying([np.array([0.5, 2, 2.5, 4])], [honest])
    assert p[0].tolist() == pytest.approx([5 / 5, 4 / 5, 2 / 5, 1 / 5])


def test_each_group_has_its_honest_models_and_all_share_one_correction() -> None:
    rng = np.random.default_rng(0)
    scores = [rng.normal(size=n) + 2 for n in (3, 1, 4)]
    honest = [rng.normal(size=n) for n in (60, 19, 45)]
    p, adjusted = stats.outlying(scores, honest)
    for group, pool, values in zip(scores, honest, p, strict=True):
        assert np.array_equal(values, stats.conformal_p(group, pool))
    expected = multipletests(np.concatenate(p), method="holm")[1]
    assert np.concatenate(adjusted) == pytest.approx(expected)
    assert [len(values) for values in adjusted] == [3, 1, 4]


def test_models_without_honest_ones_are_not_tested_and_do_not_count() -> None:
    scores, pool = [np.array([9.0]), np.array([5.0, 6])], np.arange(5.0)
    p, adjusted = stats.outlying(scores, [pool, np.empty(0)])
    assert np.isnan(p[1]).all()
    assert np.isnan(adjusted[1]).all()
    assert p[0] == adjusted[0] == pytest.approx(1 / 6)
    assert stats.outlying([], []) == ([], [])


def test_groups_and_honest_models_must_match() -> None:
    with pytest.raises(ValueError, match="zip"):
        stats.outlying([np.ones(2)], [])


@pytest.mark.parametrize("models", [1, 3, 7, 40])
def test_from_so_many_honest_models_on_the_highest_score_is_an_outlier(models: int) -> None:
    enough = 20 * models - 1  # (1 / (n + 1)) models <= .05
    scores = [np.array([1e9, *np.zeros(models - 1)])]
    least = [
        stats.outlying(scores, [np.linspace(0, 1, n)])[1][0].min() for n in (enough - 1, enough)
    ]
    assert least[1] <= 0.05 + 1e-12
    assert least[0] > 0.05


def test_without_poison_some_model_is_an_outlier_in_one_suite_of_twenty_at_most() -> None:
    rng = np.random.default_rng(1)
    models, honest, suites = 4, 99, 2000
    wrong = 0
    for _ in range(suites):
        values = rng.gamma(2, size=models + honest)  # skewed, as scores of models are
        _, adjusted = stats.outlying([values[:models]], [values[models:]])
        wrong += bool((adjusted[0] <= 0.05 + 1e-12).any())
    # Four p-values of 1/100 and above: the chance of one at most .0125 is about .04.
    assert 0.025 < wrong / suites < 0.05 + 3 * (0.05 * 0.95 / suites) ** 0.5
