"""The page of a suite of several victims."""

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from evil_twins.bench.analysis import plots, stats, tables
from evil_twins.bench.analysis.page.pooled import Pooled, PooledSquare
from evil_twins.bench.analysis.page.ranks import ranks
from evil_twins.bench.analysis.tables import Analysis, leave_one_out, text
from evil_twins.bench.analysis.tables.any_of import NAME as ANY
from evil_twins.bench.analysis.tables.any_of import NEEDS
from evil_twins.bench.analysis.tables.paired import WORST
from evil_twins.bench.analysis.tables.population import POPULATION
from tests.bench import reported, synthetic
from tests.bench.populations import VICTIMS, detectors, frames

NAMES = ["confidence", "curvature", "any"]
RATES = (0.01, 0.05, 0.1)


@pytest.fixture(scope="module")
def records() -> dict[str, pd.DataFrame]:
    """Return records of which one victim has fewer calibration scores than the others."""
    records = detectors(frames(), *NAMES)
    scores = records["scores"]
    fewer = scores["seed"].eq(1) & scores["role"].eq("calibration")
    fewer &= scores["image_id"].gt("calibration/0017")
    return records | {"scores": scores[~fewer]}


@pytest.fixture(scope="module")
def analysis(records: dict[str, pd.DataFrame]) -> Analysis:
    return Analysis(tables.number(records))


@pytest.fixture(scope="module")
def page(records: dict[str, pd.DataFrame], tmp_path_factory: pytest.TempPathFactory) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "FIGURES", ())
        return reported.page(tmp_path_factory.mktemp("victims") / "small", records)


def _squares(analysis: Analysis) -> dict[tuple[str, str], PooledSquare]:
    (matrix,) = Pooled(analysis, ranks(analysis), NAMES).matrices()
    return {
        (line.name, name): square
        for line in matrix.lines
        for name, square in zip(NAMES, line.squares, strict=True)
        if square
    }


def _words(low: float, high: float) -> str:
    return f"{100 * low:.0f}–{100 * high:.0f}"


@pytest.mark.parametrize("fpr", RATES)
def test_the_steps_are_the_rates_of_the_table(analysis: Analysis, fpr: float) -> None:
    squares = _squares(analysis)
    table = analysis.table(POPULATION)
    table = table[table["fpr_nominal"].eq(fpr)]
    assert len(table) == len(squares)
    for line in table.to_dict("records"):
        square = squares[text.name(line), line["detector"]]
        if line["detector"] == ANY:
            assert (square.steps, square.lacks) == ((), NEEDS)
            assert square.auroc == text.number(line["auroc"], 2)
            continue
        step = [step for step in square.steps if step[0] <= fpr + 1e-9][-1]
        assert step[1] == line["detected"]
        assert step[2] == text.number(100 * line["rate"])
        assert step[3] == _words(line["low"], line["high"])
        assert step[4] == _words(line["next_low"], line["next_high"])
        assert square.auroc == text.number(line["auroc"], 2)
        assert square.n == line["n"]
        if fpr == analysis.fpr:
            assert square.steps[square.place] == step


def test_counts_are_sums_over_victims_at_every_rate(analysis: Analysis) -> None:
    squares = _squares(analysis)
    rows = analysis.records.rows
    for percent in (0.5, 2.5, 7.5, 33.3, 50, 99):
        sums = Counter[tuple[str, str]]()
        for (row, name), cell in analysis.cells.items():
            limit = stats.threshold(cell.calibration.score, percent / 100).value
            sums[text.name(rows.loc[row].to_dict()), name] += int((cell.score > limit).sum())
        for place, square in squares.items():
            if square.lacks:
                continue
            assert [s for s in square.steps if s[0] <= percent / 100 + 1e-9][-1][1] == sums[place]


def test_the_first_matrix_is_that_over_victims(page: str, analysis: Analysis) -> None:
    result = reported.outline(page)
    pooled = [cell for cell in result.find("td") if "data-steps" in cell]
    table = analysis.table(POPULATION).query("fpr_nominal == .05").dropna(subset="rate")
    assert sorted(int(cell["data-k"]) for cell in pooled) == sorted(table["detected"])
    assert {cell["data-n"] for cell in pooled} == {str(12 * VICTIMS)}
    assert all(cell["data-steps"].startswith("0.0 ") for cell in pooled)
    assert page.index("data-steps") < page.index("data-below")
    titles = [each for each in result.text("summary") if "resnet-tiny" in each]
    models = [f"digits, resnet-tiny, seed {seed}, for this model only" for seed in range(VICTIMS)]
    assert titles[:VICTIMS] == models
    for words in (
        "interval for the mean of this recipe's victims",
        "on the next victim of this recipe",
        leave_one_out.summary(analysis),
        f"for each of {VICTIMS} victims",
    ):
        assert words in " ".join(page.split()).replace("&nbsp;", " "), words


def test_the_worst_case_is_that_over_victims(analysis: Analysis) -> None:
    (line,) = Pooled(analysis, ranks(analysis), NAMES).worst()
    table = analysis.table(WORST)
    assert line.name == f"digits, resnet-tiny, {VICTIMS} victims, κ .75"
    for name, square in zip(NAMES, line.squares, strict=True):
        each = table[table["detector"].eq(name)]
        assert square is not None
        if name == ANY:
            assert square.lacks == NEEDS
            continue
        assert (square.steps[0][1], square.n) == (each["caught"].sum(), each["n"].sum())
        counts = (each[side].to_numpy(dtype=float) for side in ("caught", "n"))
        assert square.steps[0][3] == _words(*stats.pooled_rate(*counts).rate[1:])


def test_no_name_adds_to_the_structure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "FIGURES", ())
    few = detectors(frames(victims=3, n=8), "confidence", "curvature")
    shapes = []
    for at, name in enumerate(("plain", reported.HOSTILE)):
        written = reported.page(tmp_path / str(at), reported.named(few, name))
        result = reported.outline(written)
        reported.asks_for_nothing(result)
        shapes.append([(tag, *sorted(attributes)) for tag, attributes in result.tags])
    assert shapes[0] == shapes[1]


def test_a_single_victim_has_the_matrix_of_its_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plots, "FIGURES", ())
    page = reported.page(tmp_path, detectors(synthetic.frames(n=13, kappas=(0.75,)), "confidence"))
    result = reported.outline(page)
    assert not [cell for cell in result.find("td") if "data-steps" in cell]
    assert "for this model only" in page.split('id="matrix"')[1].split("<form")[0]
    assert "seed 0, for this model only" not in result.text("summary")
