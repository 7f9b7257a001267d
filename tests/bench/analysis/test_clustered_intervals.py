"""Intervals of targets in clusters: known answers, and coverage where the truth is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.stats import Bools, Floats, Ints


def _clusters(n: int, copies: int) -> Ints:
    return np.repeat(np.arange(n), copies)


@given(
    st.integers(2, 25).flatmap(
        lambda n: st.tuples(*[st.lists(st.booleans(), min_size=n, max_size=n)] * 2)
    ),
    st.integers(2, 5),
)
def test_copies_change_no_interval(sides: tuple[list[bool], list[bool]], copies: int) -> None:
    first, second = (np.array(side) for side in sides)
    groups = _clusters(len(first), copies)
    many = [np.repeat(side, copies) for side in (first, second)]
    assert stats.share(many[0], groups) == pytest.approx(stats.share(first))
    values = np.cumsum(first) * 0.1
    assert stats.mean_interval(np.repeat(values, copies), groups) == pytest.approx(
        stats.mean_interval(values)
    )
    assert stats.paired_difference(*many, groups) == pytest.approx(
        stats.paired_difference(first, second), abs=1e-6
    )
    assert stats.mcnemar(*many, groups).p == pytest.approx(stats.mcnemar(first, second).p)


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=30))
def test_an_effective_number_lies_between_models_and_targets(pairs: list[tuple[int, bool]]) -> None:
    groups = np.unique([number for number, _ in pairs], return_inverse=True)[1].astype(np.intp)
    counted = np.array([float(each) for _, each in pairs])
    number = stats.effective_number(counted, groups)
    assert groups.max() + 1 <= number <= len(pairs)


def test_independent_targets_of_many_models_lose_little() -> None:
    draws = np.random.default_rng(0)
    numbers = [
        stats.effective_number(draws.random(400) < 0.3, _clusters(200, 2)) for _ in range(50)
    ]
    assert 330 < np.mean(numbers) <= 400
    assert stats.effective_number(np.zeros(12), _clusters(4, 3)) == 4


def covered(models: int, copies: int, alike: float, rate: float, worlds: int) -> Floats:
    """Return how often an interval holds the rate: with the clusters, and without them.

    Args:
        models: Number of models.
        copies: Number of targets of each.
        alike: Correlation of two targets of a model.
        rate: The mean rate of models.
        worlds: Number of drawn sets of targets.
    """
    draws, hits = np.random.default_rng([models, copies]), np.zeros(2)
    shape, groups = 1 / alike - 1, _clusters(models, copies)
    for _ in range(worlds):
        chances = draws.beta(rate * shape, (1 - rate) * shape, models)
        flagged: Bools = draws.random(models * copies) < chances[groups]
        for i, interval in enumerate((stats.share(flagged, groups), stats.share(flagged))):
            hits[i] += interval.low <= rate <= interval.high
    share: Floats = hits / worlds
    return share


def test_intervals_cover_the_mean_of_models() -> None:
    ours, independent = covered(8, 8, 0.5, 0.4, 400)
    assert ours >= 0.93
    assert independent < 0.8


@pytest.mark.slow
@pytest.mark.parametrize(("models", "copies"), [(2, 16), (4, 4), (4, 16), (16, 4), (32, 2)])
@pytest.mark.parametrize("alike", [0.02, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5])
def test_coverage(models: int, copies: int, alike: float, rate: float) -> None:
    assert covered(models, copies, alike, rate, 1000)[0] >= 0.92
