"""The table over victims: the counts of all, and intervals in which the victim is the unit."""

from pathlib import Path

import pandas as pd
import pytest

from evil_twins.bench.analysis import stats, tables
from evil_twins.bench.analysis.plots import figures, names
from evil_twins.bench.analysis.tables import Analysis, Records, show
from evil_twins.bench.analysis.tables.detection import DETECTION
from evil_twins.bench.analysis.tables.population import POPULATION
from evil_twins.bench.analysis.tables.show import Matrices
from evil_twins.bench.analysis.tables.write import files
from evil_twins.bench.store import records as store
from tests.bench import synthetic
from tests.bench.populations import VICTIMS, frames


@pytest.fixture(scope="module")
def records() -> Records:
    return tables.number(frames())


@pytest.fixture(scope="module")
def table(records: Records) -> pd.DataFrame:
    return Analysis(records).table(POPULATION)


def test_a_line_holds_the_targets_of_all_victims(records: Records, table: pd.DataFrame) -> None:
    detection = Analysis(records).table(DETECTION)
    assert len(table) * VICTIMS == len(detection)
    assert (table["victims"] == VICTIMS).all()
    keys = ["attack", "kappa", "phi", "detector", "fpr_nominal"]
    summed = detection.groupby(keys)[["n", "detected", "success"]].sum(min_count=1)
    for _, line in table.dropna(subset=["kappa"]).iterrows():
        counts = summed.loc[tuple(line[keys])]
        assert counts.tolist() == pytest.approx(
            line[["n", "detected", "success"]].tolist(), nan_ok=True
        )


def test_a_rate_without_threshold_says_so(records: Records, table: pd.DataFrame) -> None:
    unset = table["note"].ne("")
    assert (unset == (table["fpr_nominal"].lt(1 / 25) & table["detector"].ne("any"))).all()
    assert (table.loc[unset, "detected"] == 0).all()
    text = files(Analysis(records, 0.01))["population.md"].decode()
    assert text.count("no threshold") == len(table[unset & table["fpr_nominal"].eq(0.01)])
    assert "no threshold" not in files(Analysis(records))["population.md"].decode()


def test_intervals_have_the_victim_as_their_unit(records: Records, table: pd.DataFrame) -> None:
    detection = Analysis(records).table(DETECTION)
    where = "attack == 'pgd' and fpr_nominal == .05 and detector == 'confidence'"
    (line,) = table.query(where).to_dict("records")
    victims = detection.query(where)
    sides = (victims[name].to_numpy(dtype=float) for name in ("detected", "n"))
    pooled = stats.pooled_rate(*sides)
    assert (line["rate"], line["low"], line["high"]) == pooled.rate
    assert line["effect"] == pooled.effect > 1
    exact = stats.clopper_pearson(line["detected"], line["n"])
    assert line["low"] < exact.low < exact.high < line["high"]
    assert line["least"] == 0
    assert line["most"] == victims["rate"].max()
    assert line["next_low"] <= line["rate"] <= line["next_high"]
    assert line["auroc"] == pytest.approx(victims["auroc"].mean())


def test_no_end_leaves_its_range(table: pd.DataFrame) -> None:
    ends = [name for name in table.columns if name.endswith(("low", "high"))]
    assert len(ends) == 10
    assert table[ends].stack().dropna().between(0, 1).all()
    lacking = table["rate"].isna()
    assert lacking.equals(table["detector"].eq("any"))
    assert table[lacking].notna().sum(axis=None) > 0
    assert table.loc[lacking, ["auroc", "auroc_low", "auroc_high"]].notna().all(axis=None)


def test_a_single_victim_has_no_population() -> None:
    analysis = Analysis(tables.number(synthetic.frames(kappas=(0.75,))))
    assert analysis.table(POPULATION).empty
    assert "population.csv" not in files(analysis)


def test_words_say_for_what_the_intervals_hold(records: Records) -> None:
    text = files(Analysis(records))["population.md"].decode()
    assert "95 % interval for the mean of this recipe's victims" in text
    assert "## digits, resnet-tiny, 5 victims" in text
    (line,) = [line for line in text.splitlines() if line.startswith("| pgd κ .75")]
    assert line.count("[") == len(synthetic.DETECTORS) + 1


def test_the_terminal_adds_up_the_victims_of_a_recipe(tmp_path: Path) -> None:
    parts = frames()
    for name, frame in parts.items():
        store.write(frame, store.FILES[name], tmp_path / f"{name}.parquet")
    shown, *_ = show(tmp_path).renderables
    assert isinstance(shown, Matrices)
    ((title, matrix, note),) = shown.build({})
    assert not note
    assert str(title).startswith("digits, resnet-tiny, 5 victims: targets flagged")
    assert {str(cell) for cell in matrix.columns[1].cells} == {str(12 * VICTIMS)}


def test_rates_are_drawn_over_victims_and_all_else_for_the_first(records: Records) -> None:
    stems = names(Analysis(records))
    assert "detection-phi" in stems
    assert [stem for stem in stems if "detection-phi" in stem] == ["detection-phi"]
    assert "roc-digits-resnet-tiny-0" in stems
    assert not [stem for stem in stems if stem.endswith("-1")]
    ((study, _, figure),) = figures(Analysis(records), "detection-phi")
    assert study.title == "digits, resnet-tiny, 5 victims"
    caption = " ".join(text.get_text() for text in figure.texts)
    assert "95 % bands for the mean of this recipe's victims, from 5" in " ".join(caption.split())
    assert f"n = {12 * VICTIMS} targets" in caption
