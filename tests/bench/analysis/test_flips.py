"""Sign flips by victim: known answers, bounds of the corrected p-values, the family-wise error."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from evil_twins.bench.analysis.stats import Floats, holm, joint_flips, sign_flips

FAMILIES = st.tuples(st.integers(1, 6), st.integers(1, 5)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.integers(-3, 3).map(lambda k: k / 8))
)
"""(V, K) differences of rates of eight targets."""


def test_sign_flips_are_exact() -> None:
    assert sign_flips(np.array([1.0, 2, 3, 4, 5])) == 2 / 32
    assert sign_flips(np.array([1.0, -1.0])) == 1
    assert sign_flips(np.zeros(4)) == 1
    assert sign_flips(np.array([1.0, 2, np.nan])) == 2 / 4
    assert sign_flips(np.array([1.0, np.nan])) == 1


def test_sign_flips_of_many_pairs_are_those_of_each() -> None:
    differences = np.random.default_rng(0).normal(0.5, 1, (6, 9))
    differences[0, :4] = differences[2, 3:6] = differences[:, 8] = np.nan
    many = sign_flips(differences)
    assert many.shape == (9,)
    assert many[8] == 1
    assert list(many) == [sign_flips(each) for each in differences.T]


@pytest.mark.parametrize("victims", [2, 5, 9, 13])
def test_sign_flips_are_those_of_scipy(victims: int) -> None:
    for seed in range(5):
        values = np.random.default_rng(seed).integers(-4, 6, victims) / 8
        expected = stats.permutation_test(
            [values],
            lambda x, axis: x.mean(axis=axis),
            permutation_type="samples",
            vectorized=True,
        )
        assert sign_flips(values) == pytest.approx(expected.pvalue)


@pytest.mark.parametrize("victims", [1, 4, 8, 14, 15, 20])
def test_of_one_comparison_nothing_is_corrected(victims: int) -> None:
    for seed in range(5):
        values = np.random.default_rng(seed).normal(0.4, 1, (victims, 1))
        assert joint_flips(values, seed) == sign_flips(values, seed)


def _enumerated(differences: Floats) -> list[float]:
    """Return the step-down p-values of Westfall and Young, word by word, with Student's |t|."""

    def statistics(values: Floats) -> list[float]:
        with np.errstate(divide="ignore"):
            return list(abs(values.mean(0)) / (values.std(0, ddof=1) / len(values) ** 0.5))

    victims, number = differences.shape
    signs = np.array(list(product((1, -1), repeat=victims)))
    flipped = np.array([statistics(sign[:, None] * differences) for sign in signs])
    observed = np.array(statistics(differences))
    rest, least, result = list(range(number)), 0.0, [0.0] * number
    while rest:
        first = max(rest, key=lambda k: observed[k])
        least = max(least, float((flipped[:, rest].max(1) >= observed[first] - 1e-9).mean()))
        result[first] = least
        rest.remove(first)
    return result


@pytest.mark.parametrize("seed", range(6))
def test_joint_flips_are_the_step_down_method_by_definition(seed: int) -> None:
    draws = np.random.default_rng(seed)
    differences = draws.normal(0.5, 1, (6, 1)) + draws.normal(0.3, 1, (6, 5))
    corrected = joint_flips(differences)
    assert list(corrected) == pytest.approx(_enumerated(differences))
    assert (corrected < holm(sign_flips(differences))).any()


def test_victims_that_all_agree_have_the_largest_statistic() -> None:
    """Student's t would be infinite for the first, and 0 / 0 for the last."""
    same, single, zeros = np.full(8, 0.25), np.eye(8)[0], np.zeros(8)
    near = np.array([1, 1, 1, 1, 1, 1, 1, 2.0])
    p = joint_flips(np.column_stack([same, near, single, zeros]))
    assert p[0] == p[1] == 2**-7
    assert p[2] == p[3] == 1


def test_a_victim_without_a_difference_flips_nothing() -> None:
    differences = np.random.default_rng(0).normal(1, 1, (7, 4))
    differences[0, :2] = differences[4, 1] = np.nan
    assert list(joint_flips(differences)) == list(joint_flips(np.nan_to_num(differences)))
    assert joint_flips(differences)[1] >= 2**-4  # five victims have it


@given(FAMILIES)
def test_corrected_p_values_lie_between_bounds(differences: Floats) -> None:
    separate, corrected = sign_flips(differences), joint_flips(differences)
    assert (separate <= corrected).all()
    assert (corrected >= 2.0 ** (1 - len(differences))).all()
    assert (corrected <= 1).all()
    again = joint_flips(np.concatenate([differences, differences], axis=1))
    assert list(again) == pytest.approx([*corrected, *corrected])  # copies cost nothing
    single = [joint_flips(differences[:, [k]])[0] for k in range(differences.shape[1])]
    assert list(separate) == single


@given(FAMILIES, st.data())
def test_of_equal_sizes_they_are_at_most_those_of_holm(
    differences: Floats, data: st.DataObject
) -> None:
    """Of comparisons whose differences are equal but for signs and victims."""
    victims, number = differences.shape
    first = np.abs(differences[:, 0])
    order = st.permutations(range(victims))
    sign = arrays(np.float64, victims, elements=st.sampled_from([1.0, -1.0]))
    family = np.column_stack([first[data.draw(order)] * data.draw(sign) for _ in range(number)])
    assert (joint_flips(family) <= holm(sign_flips(family)) + 1e-12).all()


def test_of_unequal_sizes_they_may_exceed_bonferroni() -> None:
    """One victim decides the first comparison. The second, of equal victims, reaches its t."""
    first, second = np.array([5.0, 1, 1, 1, 1, 1, 1, 1]), np.tile([1.0, -1.0], 4)
    p = joint_flips(np.column_stack([first, second]))
    assert sign_flips(first) == 2**-7
    assert p[0] == (2 + 2 + 2 * 8) / 256 > 2 * 2**-7


def errors(
    families: int, victims: int, comparisons: int, correlation: float
) -> tuple[float, float]:
    """Return how often a family without any difference has a p-value of at most .05.

    Returns:
        The shares with the correction, and without.
    """
    draws = np.random.default_rng([victims, comparisons])
    shape, hits = (victims, comparisons), np.zeros(2)
    for _ in range(families):
        common = draws.standard_t(3, (victims, 1))
        values = correlation**0.5 * common + (1 - correlation) ** 0.5 * draws.normal(size=shape)
        values = np.round(values * np.linspace(0.5, 3, comparisons)) / 8  # rates of eight targets
        hits += joint_flips(values).min() <= 0.05, sign_flips(values).min() <= 0.05
    return float(hits[0] / families), float(hits[1] / families)


def _bound(families: int) -> float:
    return 0.05 + 2.5 * (0.05 * 0.95 / families) ** 0.5


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_the_family_wise_error_is_kept(correlation: float) -> None:
    corrected, separate = errors(300, 7, 10, correlation)
    assert corrected <= _bound(300) < separate


@pytest.mark.slow
@pytest.mark.parametrize("victims", [6, 8, 12, 16])
@pytest.mark.parametrize("comparisons", [3, 30])
@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.95])
def test_the_family_wise_error_is_kept_in_many_families(
    victims: int, comparisons: int, correlation: float
) -> None:
    assert errors(1500, victims, comparisons, correlation)[0] <= _bound(1500)


def test_true_differences_beside_it_do_not_raise_the_error() -> None:
    """Step-down: three comparisons differ in truth, five do not."""
    draws, wrong, right = np.random.default_rng(1), 0, 0.0
    for _ in range(400):
        values = draws.normal(size=(8, 1)) + draws.normal(size=(8, 8))
        values[:, :3] += 4
        p = joint_flips(values)
        wrong += bool(p[3:].min() <= 0.05)
        right += float((p[:3] <= 0.05).mean())
    assert wrong / 400 <= _bound(400)
    assert right / 400 > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("victims", [5, 8, 16])
def test_sign_flips_keep_their_level(victims: int) -> None:
    draws = np.random.default_rng(0).standard_t(3, (600, victims))
    rejected = np.mean([sign_flips(differences) <= 0.05 for differences in draws])
    assert rejected <= 0.05 + 1.96 * np.sqrt(0.05 * 0.95 / 600)
