"""Numbers of victims that a difference needs, and ranks over victims, against known values."""

import numpy as np
import pytest
from scipy.stats import chi2, rankdata, studentized_range
from statsmodels.stats.power import TTestPower

from evil_twins.bench.analysis import stats


def _gaps(mean: float, spread: float) -> stats.Floats:
    """Return eight differences with exactly this mean and standard deviation."""
    values = np.random.default_rng(0).normal(size=8)
    standard: stats.Floats = (values - values.mean()) / values.std(ddof=1)
    return mean + spread * standard


@pytest.mark.parametrize("mean", [0.06, -0.1, 0.2, 0.3])
def test_the_number_is_that_of_a_t_test(mean: float) -> None:
    needed = stats.victims_needed(_gaps(mean, 0.3))
    exact = TTestPower().solve_power(abs(mean) / 0.3, alpha=0.05, power=0.8)
    assert needed == np.ceil(exact)


def test_no_sign_flip_test_has_fewer_than_six_victims() -> None:
    assert stats.victims_needed(_gaps(3.0, 0.1)) == 6
    assert stats.victims_needed(np.full(8, 0.5)) == 6
    assert 2.0 ** (1 - 6) < 0.05 < 2.0 ** (1 - 5)


def test_what_no_number_can_show() -> None:
    assert np.isnan(stats.victims_needed(np.zeros(8)))
    assert np.isnan(stats.victims_needed(np.array([0.5, np.nan])))
    assert stats.victims_needed(_gaps(0.001, 0.3)) == np.inf


def test_victims_without_the_difference_do_not_count() -> None:
    gaps = _gaps(0.2, 0.3)
    assert stats.victims_needed(np.append(gaps, np.nan)) == stats.victims_needed(gaps)


def test_ranks_are_those_of_demsar() -> None:
    """The example of Demsar (2006), table 6: the AUC of four trees on 14 data sets.

    The fourth digit ranks two values that the paper rounds to the same. Its statistic, 9.28, is
    here corrected for ties: four of four once, and three times two of four.
    """
    table = """.763 .768 .771 .798 .599 .591 .590 .569 .954 .971 .968 .967 .628 .661 .654 .657
    .882 .888 .886 .898 .936 .931 .916 .931 .661 .668 .609 .685 .583 .583 .563 .625 .775 .838 .866
    .875 1 1 1 1 .940 .962 .965 .962 .619 .666 .614 .669 .972 .981 .9751 .975 .957 .978 .946 .970"""
    values = np.array(table.split(), dtype=float).reshape(14, 4)
    result = stats.ranks(values)
    assert result.means == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    assert result.critical == pytest.approx(1.25, abs=5e-3)
    assert result.p == pytest.approx(chi2.sf(9.28 / (1 - (60 + 3 * 6) / 840), 3), abs=1e-4)


def test_the_critical_values_are_those_that_demsar_prints() -> None:
    for count, value in ((2, 1.960), (5, 2.728), (10, 3.164)):
        critical = stats.ranks(np.random.default_rng(1).random((9, count))).critical
        assert critical / np.sqrt(count * (count + 1) / 54) == pytest.approx(value, abs=1e-3)
        exact = studentized_range.ppf(0.95, count, np.inf) / np.sqrt(2)
        assert exact == pytest.approx(value, abs=1e-3)


def test_equal_detectors_share_their_ranks() -> None:
    result = stats.ranks(np.full((5, 3), 0.3))
    assert list(result.means) == [2, 2, 2]
    assert result.p == 1
    rounding = np.array([[0.1 + 0.2, 0.3], [0.3, 0.1 + 0.2]])
    assert list(stats.ranks(rounding).means) == [1.5, 1.5]
    assert list(rankdata(rounding[0])) == [2, 1]


@pytest.mark.parametrize("shape", [(1, 3), (3, 1)])
def test_ranks_need_two_of_each(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="two victims and two detectors"):
        stats.ranks(np.zeros(shape))
