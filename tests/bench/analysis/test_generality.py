"""Detectors on several populations: rates, differences, variances and rankings."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.generality.differences import _verdict
from evil_twins.bench.analysis.generality.numbers import TABLES, Numbers, numbers
from evil_twins.bench.analysis.generality.populations import Gathered, gather
from evil_twins.bench.analysis.generality.table import Table
from evil_twins.bench.analysis.generality.words import sentences
from evil_twins.bench.analysis.tables.population import NO_THRESHOLD
from evil_twins.bench.analysis.tables.recipes import MEAN, MODEL
from evil_twins.bench.errors import UserError
from evil_twins.bench.store.levels import BENIGN
from tests.bench import elsewhere, synthetic
from tests.bench.elsewhere import TARGETS, VICTIMS

ROOT = Path(__file__).parents[3]
Frames = dict[str, pd.DataFrame]


def gathered(folder: Path, **suites: Frames) -> Gathered:
    folders = [synthetic.write(folder / name, records) for name, records in suites.items()]
    return gather(folders, BENIGN, 0.05)


def line(table: pd.DataFrame, **values: object) -> dict[str, Any]:
    """Return the only line with these values."""
    (single,) = table[table[list(values)].eq(pd.Series(values)).all(axis=1)].to_dict("records")
    return {str(key): value for key, value in single.items()}


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Numbers:
    """Home where "manifold-max" flags all, the scores of other data with gaps, a single victim."""
    away = elsewhere.calibrated(elsewhere.frames("signs"), "smoothing-gap", 10)
    suites = {
        "home": elsewhere.scored(elsewhere.frames("digits"), "manifold-max", 99.0),
        "away": elsewhere.without(away, detector="curvature", seed=1, method="imc", phi=0.5),
        "single": elsewhere.frames("clothes", victims=1),
    }
    return numbers(gathered(tmp_path_factory.mktemp("three"), **suites))


@pytest.fixture(scope="module")
def equal(tmp_path_factory: pytest.TempPathFactory) -> Numbers:
    """Two populations with the same scores; the second lacks two attacks of the first."""
    fewer = elsewhere.without(elsewhere.frames("signs"), method="imc", phi=0.25)
    fewer = elsewhere.without(fewer, method="poisoning")
    folder = tmp_path_factory.mktemp("equal")
    return numbers(gathered(folder, home=elsewhere.frames("digits"), away=fewer))


def test_a_family_has_the_mean_rate_of_its_attacks(three: Numbers) -> None:
    analysis = three.home.analysis(0.05)
    cells = [cell for cell in analysis.cells.values() if cell.detector == "curvature"]
    victims = pd.DataFrame(
        {
            "row": [cell.row for cell in cells],
            "rate": [cell.rate(0.05).value for cell in cells],
            "auroc": [cell.auroc.value for cell in cells],
        }
    ).join(analysis.records.rows, on="row")
    victims = victims[victims["method"].eq("imc")].groupby("seed")[["rate", "auroc"]].mean()
    of_victims = victims["rate"].to_numpy()
    cell = line(three.rates, population="home", moves="both", detector="curvature")
    assert (cell["victims"], cell["n"], cell["attacks"]) == (VICTIMS, TARGETS * VICTIMS, 3)
    assert cell["rate"] == pytest.approx(of_victims.mean())
    assert (cell["least"], cell["most"]) == pytest.approx((of_victims.min(), of_victims.max()))
    pooled = stats.pooled_rate(TARGETS * of_victims, np.full(VICTIMS, float(TARGETS))).rate
    assert (cell["low"], cell["high"]) == pytest.approx(pooled[1:])
    assert cell["auroc"] == pytest.approx(victims["auroc"].mean())
    assert cell["scope"] == MEAN


def test_what_holds_for_one_model_says_so(three: Numbers) -> None:
    cells = three.rates[three.rates["population"].eq("single")]
    assert set(cells["scope"]) == {MODEL}
    assert cells[["rate", "low", "high"]].notna().all(axis=None)
    assert cells["auroc_low"].isna().all()
    table = three.frames["generality-differences"]
    gaps = table[table["population"].eq("single")]
    assert gaps["difference"].notna().all()
    assert gaps["difference_low"].isna().all()
    assert set(gaps["verdict"]) == {""}


def test_neither_confidence_nor_any_is_compared(three: Numbers) -> None:
    assert set(three.rates["detector"]) == {*elsewhere.DETECTORS} - {"confidence"}


def test_a_victim_that_lacks_an_attack_does_not_count_in_its_family(three: Numbers) -> None:
    cells = three.rates[three.rates["population"].eq("away")]
    counts = cells[cells["detector"].eq("curvature")].set_index("moves")["victims"]
    assert counts.to_dict() == {"inputs": VICTIMS, "model": VICTIMS, "both": VICTIMS - 1}


def test_too_few_calibration_scores_give_an_auroc_and_no_rate(three: Numbers) -> None:
    cells = three.rates[three.rates["detector"].eq("smoothing-gap")]
    lacking = cells["population"].eq("away")
    assert set(cells[lacking]["note"]) == {NO_THRESHOLD}
    assert cells.loc[lacking, ["rate", "low", "high", "least", "most"]].isna().all(axis=None)
    assert cells["auroc"].notna().all()
    assert cells.loc[~lacking, "rate"].notna().all()
    assert set(cells[~lacking]["note"]) == {""}
    gaps = three.frames["generality-differences"]
    gaps = gaps[gaps["detector"].eq("smoothing-gap") & gaps["population"].eq("away")]
    assert set(gaps["quantity"]) == {"auroc"}


def test_a_detector_that_flags_less_elsewhere_drops(three: Numbers) -> None:
    table = three.frames["generality-differences"]
    names = {"moves": "both", "detector": "manifold-max", "quantity": "rate"}
    gap = line(table, population="away", **names)
    assert gap["home"] == 1
    assert gap["difference"] == pytest.approx(gap["away"] - 1)
    assert gap["difference_high"] < 0
    assert gap["verdict"] == "drops"
    holding, falls, _ = sentences(three)
    assert "manifold-max: " in holding.split(" drop in at least one")[0]
    assert "manifold-max, model only, from 100 to 0 % in single (without an interval)" in falls


def test_a_detector_has_a_verdict_only_if_it_works_at_home(three: Numbers) -> None:
    table = three.frames["generality-differences"]
    gap = line(table, population="away", moves="inputs", detector="curvature", quantity="rate")
    home = line(three.rates, population="home", moves="inputs", detector="curvature")
    assert home["low"] <= 0.05
    assert gap["verdict"] == ""
    assert set(table[table["quantity"].eq("auroc")]["verdict"]) == {""}


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.3, -0.01, "drops"),
        (-0.09, -0.01, "drops"),
        (-0.09, 0.4, "holds"),
        (-0.2, 0.4, "undecided"),
        (np.nan, np.nan, ""),
    ],
)
def test_a_verdict_is_that_of_the_interval(low: float, high: float, verdict: str) -> None:
    assert _verdict(stats.Interval((low + high) / 2, low, high)) == verdict


def test_variances_are_those_of_the_victims(three: Numbers) -> None:
    table = three.frames["generality-variance"]
    parts = line(table, moves="model", detector="manifold-max", quantity="rate")
    assert (parts["populations"], parts["victims"]) == (3, 2 * VICTIMS + 1)
    assert 0 < parts["share_between"] <= 1
    lacking = line(table, moves="model", detector="smoothing-gap", quantity="rate")
    assert lacking["populations"] == 2


def test_equal_scores_elsewhere_differ_by_nothing(equal: Numbers) -> None:
    table = equal.frames["generality-differences"]
    assert table["difference"].to_numpy() == pytest.approx(0)
    gaps = table.dropna(subset=["difference_low"])
    assert gaps["difference_low"].to_numpy() == pytest.approx(-gaps["difference_high"].to_numpy())
    between = equal.frames["generality-variance"]["sd_between"]
    assert between.to_numpy() == pytest.approx(0)


def test_rankings_of_equal_scores_agree(equal: Numbers) -> None:
    table = equal.frames["generality-rankings"]
    assert set(table["tau"].round(9)) == {1}
    assert set(table["detectors"]) == {3}
    pair = line(table, moves="both", quantity="rate", population="home")
    assert pair["other"] == "away"
    assert pair["tau_low"] < 1  # each population draws its own victims
    _, falls, ranking = sentences(equal)
    assert falls == "No rate of a detector that works at home is lower elsewhere."
    assert "both at once 1.00 [" in ranking


def test_only_attacks_that_all_populations_have_count(equal: Numbers) -> None:
    attacks = equal.rates.groupby("moves")["attacks"].first()
    assert attacks.to_dict() == {"inputs": 1, "both": 2}
    assert equal.gathered.notes == (
        'No attack of the family "model only" is in all populations.',
        'Skipped of 3 attacks of the family "both at once": 1. A population lacks them, or has '
        "too few calibration scores.",
    )


def test_two_single_models_have_a_ranking_without_interval(tmp_path: Path) -> None:
    suites = {name: elsewhere.frames(name, victims=1) for name in ("digits", "signs")}
    result = numbers(gathered(tmp_path, **suites))
    table = result.frames["generality-rankings"]
    assert table["tau"].notna().all()
    assert table[["tau_low", "tau_high"]].isna().all(axis=None)
    assert result.frames["generality-variance"]["sd_within"].isna().all()
    assert "no interval over victims shows whether they hold" in sentences(result)[0]


def test_mistakes(tmp_path: Path) -> None:
    home, away = elsewhere.frames("digits", 1), elsewhere.frames("signs", 1)
    with pytest.raises(UserError, match="home is the only population"):
        gathered(tmp_path, home=home)
    with pytest.raises(UserError, match="one population twice"):
        gathered(tmp_path, home=home, copy=home)
    renamed = away["scores"]["detector"] + "-2"
    others = away | {"scores": away["scores"].assign(detector=renamed)}
    with pytest.raises(UserError, match="no detector of home is in another population"):
        gathered(tmp_path, home=home, away=others)
    changed = {
        name: frame.assign(kappa=0.9) if "kappa" in frame else frame for name, frame in away.items()
    }
    with pytest.raises(UserError, match="away has no scored attack at κ benign"):
        gathered(tmp_path, home=home, away=changed)


def test_populations_are_distinct_by_the_content_of_their_victims(tmp_path: Path) -> None:
    home, away = elsewhere.frames("digits", 1), elsewhere.frames("signs", 1)
    others = home | {"victims": away["victims"].assign(dataset="digits")}
    populations = gathered(tmp_path, home=home, other=others).populations
    assert [each.name for each in populations] == ["home", "other"]
    both = {name: pd.concat([home[name], away[name]]) for name in home}
    names = [each.name for each in gathered(tmp_path, both=both).populations]
    assert names == ["both: digits, resnet-tiny", "both: signs, resnet-tiny"]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: str(table.name))
def test_the_page_of_columns_is_that_of_the_tables(table: Table, three: Numbers) -> None:
    assert list(three.frames[table.name].columns) == table.names
    page = (ROOT / "docs" / "tables.md").read_text()
    section = page.split(f"\n## `{table.name}.csv`\n")[1].split("\n## ")[0]
    rows = [f"| {', '.join(group.split())} | {words} |" for group, words in table.columns.items()]
    rows = [row for row in rows if not row.endswith("|  |")]
    documented = [text for text in section.splitlines() if text.startswith("| ")][2:]
    assert documented == rows, f"the lines of {table.name}.csv must be:\n" + "\n".join(rows)
