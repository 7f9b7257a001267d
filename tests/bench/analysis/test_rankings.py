"""Rankings of detectors in populations that do not share all of them."""

import pandas as pd
import pytest
from scipy import stats

from evil_twins.bench.analysis.generality.rankings import MEAN, rankings
from evil_twins.bench.analysis.generality.rates import VICTIMS, Measured

RATES = {
    "home": {"a": 0.9, "b": 0.5, "c": 0.1, "d": 0.3},
    "away": {"a": 0.8, "b": 0.2, "c": 0.4, "d": 0.6},
    "far": {"a": 0.3, "b": 0.2, "c": 0.1},
}
"""Population -> detector -> rate of its only victim."""


def test_each_pair_is_ranked_on_its_shared_detectors() -> None:
    lines = [
        (name, "inputs", detector, 0, rate, float("nan"))
        for name, each in RATES.items()
        for detector, rate in each.items()
    ]
    victims = pd.DataFrame(lines, columns=pd.Index(VICTIMS))
    table = rankings(Measured(victims[:0], victims), list(RATES))
    pairs = table[table["population"].ne(MEAN)].set_index(["population", "other"])
    shared = {("home", "away"): "abcd", ("home", "far"): "abc", ("away", "far"): "abc"}
    for names, detectors in shared.items():
        sides = [[RATES[name][detector] for detector in detectors] for name in names]
        assert pairs.loc[names, "tau"] == pytest.approx(stats.kendalltau(*sides).statistic)
        assert pairs.loc[names, "detectors"] == len(detectors)
    (mean,) = table[table["population"].eq(MEAN)].to_dict("records")
    assert mean["tau"] == pytest.approx(pairs["tau"].mean())
    assert (mean["detectors"], mean["pairs"]) == (3, 3)
