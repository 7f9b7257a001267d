"""Confidence over a grid of budgets: the table and the figure."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from evil_twins.bench.analysis import plots, tables
from evil_twins.bench.analysis.plots import budgets as figure
from evil_twins.bench.analysis.plots import style
from evil_twins.bench.analysis.plots.study import studies
from evil_twins.bench.analysis.tables import Analysis, text
from evil_twins.bench.analysis.tables.audit import AUDIT
from evil_twins.bench.analysis.tables.budgets import BUDGETS
from evil_twins.bench.analysis.tables.paired import worst
from tests.bench import claimed, synthetic
from tests.bench.claimed import TRUE, World

SMALL = replace(TRUE, n=8, kappas=(0.75,), grid=(0.0, 1.0), rounds={}, lowered=None)


def test_a_line_for_each_point_of_the_grid() -> None:
    table = Analysis(tables.number(claimed.frames(SMALL))).table(BUDGETS)
    points = list(zip(table["distance"], table["phi"], strict=True))
    assert points == [(a, b) for a in (0.0, 0.5, 1.0) for b in (0.0, 0.5, 1.0)]
    assert set(table["n"]) == {8}
    assert (table["low"] <= table["confidence"]).all()
    assert (table["confidence"] <= table["high"]).all()
    wide = table.pivot(index="distance", columns="phi", values="confidence").to_numpy()
    assert (np.diff(wide, axis=0) > 0).all()
    assert (np.diff(wide, axis=1) > 0).all()


def test_another_unit_is_no_part_of_the_grid_and_targets_are_shared() -> None:
    frames = claimed.frames(SMALL)
    targets = frames["targets"]
    lost = targets["attack"].eq("within-50") & targets["label"].lt(2)
    frames["targets"] = targets[~lost]
    table = Analysis(tables.number(frames)).table(BUDGETS)
    assert len(table) == 9
    assert set(table["n"]) == {6}


def test_table_and_figure_are_there_only_with_a_grid(
    tmp_path: Path, make_only: Callable[..., None], draw_only: Callable[[str], None]
) -> None:
    make_only(BUDGETS)
    draw_only("budgets")
    directory = synthetic.write(tmp_path, claimed.frames(SMALL))
    tables.write(directory)
    page = (directory / "tables" / "budgets.md").read_text()
    assert "shortest change of the head" in page
    assert page.count("gtsrb, resnet18-narrow, seed 0, κ .75") == 9
    assert {path.name for path in plots.draw(directory)} >= {"budgets.svg", "budgets.png"}
    synthetic.write(tmp_path, claimed.frames(replace(SMALL, odds=None)))
    tables.write(directory)
    assert not list((directory / "tables").glob("budgets.*"))


def test_the_figure_says_what_its_axes_are() -> None:
    study = next(studies(Analysis(tables.number(claimed.frames(SMALL)), add_any=False)))
    with style.PAGE.settings():
        drawn = figure.draw(study)
        assert drawn is not None
        drawn.draw_without_rendering()
    (axes,) = drawn.axes
    assert [label.get_text().split("\n")[0] for label in axes.get_xticklabels()] == ["0", ".5", "1"]
    assert len(axes.texts) == 9
    words = " ".join(drawn._supxlabel.get_text().split())  # type: ignore[attr-defined]
    assert "n = 8 targets" in words
    none = next(
        studies(Analysis(tables.number(claimed.frames(replace(SMALL, odds=None))), add_any=False))
    )
    assert figure.draw(none) is None


def test_what_asks_nothing_of_kappa_is_no_rival_and_no_worst_case() -> None:
    records = tables.number(claimed.frames(replace(SMALL, lowered=1.0)))
    assert Analysis(records).table(AUDIT).empty
    decided = pd.DataFrame(
        {"row": records.rows.index, "detector": "one", "target_id": "gtsrb/0000", "flagged": True}
    )
    (line,) = worst(records, decided).to_dict("records")
    aimed = records.rows[records.rows["method"].isin(["pgd", "poisoning", "imc"])]
    assert line["attacks"] == len(aimed)
    order = [str(records.rows.at[row, "method"]) for row in text.ordered(records.rows)]
    assert order[0] == "untouched"
    assert set(order[-12:]) == {
        "within",
        "proposition",
    }


def test_without_rows_the_table_is_empty() -> None:
    assert Analysis(tables.number(claimed.frames(World(n=2)))).table(BUDGETS).empty
