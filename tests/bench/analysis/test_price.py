"""The price of evasion, on records of which it is known."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evil_twins.bench.analysis import stats, tables
from evil_twins.bench.analysis.plots import price as figure
from evil_twins.bench.analysis.plots import style
from evil_twins.bench.analysis.plots.study import studies
from evil_twins.bench.analysis.tables import Analysis
from evil_twins.bench.analysis.tables.paired_over_victims import PAIRED_OVER_VICTIMS
from evil_twins.bench.analysis.tables.price import PRICE
from tests.bench import claimed, synthetic
from tests.bench.claimed import TRUE

WORLD = replace(TRUE, n=8, kappas=(0.75,), rounds={}, odds=None, lowered=None)
BOTH = replace(WORLD, labels=(("imc-head", "head"), ("imc-all", "all")))


def _with_aware(**changes: float) -> dict[str, pd.DataFrame]:
    """Return records in which every IMC row at κ .75 has an aware twin that loses so much more."""
    frames = claimed.frames(BOTH)
    for name in ("targets", "flips", "scores"):
        frame = frames[name]
        twins = frame[frame["method"].eq("imc") & frame["kappa"].eq(0.75)]
        twins = twins.assign(method="aware", attack="aware-" + twins["attack"])
        if name == "targets":
            twins = twins.assign(**{loss: twins[loss] + more for loss, more in changes.items()})
        frames[name] = pd.concat([frame, twins], ignore_index=True)
    return frames


def test_it_is_the_difference_of_the_pairs() -> None:
    table = Analysis(tables.number(_with_aware(linf=0.01, kl=0.002))).table(PRICE)
    head = table[table["attack"].eq("aware-imc-head") & table["against"].eq("imc-head")]
    assert sorted(head["phi"]) == [0.1, 0.25, 0.5, 0.75, 0.9]
    # Whole networks are compared with whole networks.
    assert set(table.loc[table["attack"].eq("aware-imc-all"), "against"]) == {"imc-all"}
    assert "imc-all" not in set(table.loc[table["attack"].eq("aware-imc-head"), "against"])
    table = table[table["attack"] == "aware-" + table["against"]]
    assert (table["n"] == 8).all()
    for loss, more in (("linf", 0.01), ("kl", 0.002), ("specificity", 0.0)):
        for end in ("", "_low", "_high"):
            assert table[loss + end].to_numpy() == pytest.approx(more)


def test_other_targets_have_no_price() -> None:
    frames = _with_aware()
    targets = frames["targets"]
    gone = targets["method"].eq("aware") & targets["label"].eq(0)
    frames["targets"] = targets[~gone]
    assert Analysis(tables.number(frames)).table(PRICE).empty


def test_rows_along_another_axis_are_not_at_the_same_phi() -> None:
    frames = _with_aware(linf=0.01)
    for name in ("targets", "flips", "scores"):
        frame = frames[name]
        both = frame["method"].isin(["aware", "imc"])
        frame = frame[~both | frame["phi"].eq(0.5)]
        frames[name] = frame.assign(phi=frame["phi"].mask(both))
    records = tables.number(frames)
    assert Analysis(records).table(PRICE).empty
    assert figure.draw(next(iter(studies(Analysis(records, add_any=False))))) is None


def test_it_is_written_where_there_are_such_rows_and_only_there(
    tmp_path: Path, make_only: Callable[..., None]
) -> None:
    make_only(PRICE)
    directory = synthetic.write(tmp_path, _with_aware(linf=0.01))
    tables.write(directory)
    page = (directory / "tables" / "price.md").read_text()
    assert (
        "| aware-imc-head κ .75 φ .5 | imc-head | 8 | 2.55 [2.55, 2.55] | 0.00 [0.00, 0.00] |"
        in page
    )
    synthetic.write(tmp_path, claimed.frames(WORLD))
    tables.write(directory)
    assert not list((directory / "tables").glob("price.*"))


def test_its_figure_holds_what_the_table_says() -> None:
    study = next(
        iter(studies(Analysis(tables.number(_with_aware(linf=0.01, kl=0.002)), add_any=False)))
    )
    with style.PAGE.settings():
        sheet = figure.draw(study)
    assert sheet is not None
    table = study.table(PRICE)
    for axes, (loss, unit) in zip(
        sheet.axes, (("linf", 255), ("specificity", 1000), ("kl", 1000)), strict=True
    ):
        curves = [line for line in axes.lines if line.get_marker() != "None"]
        drawn = sorted(float(y) for line in curves for y in line.get_ydata())  # type: ignore[union-attr]
        assert drawn == pytest.approx(sorted(unit * table[loss]))
        drawn = sorted(
            float(y)
            for many in axes.collections
            for end in many.get_segments()  # type: ignore[attr-defined]
            for _, y in end
        )
        ends = unit * table[[f"{loss}_low", f"{loss}_high"]].to_numpy().ravel()
        assert drawn == pytest.approx(sorted(ends))
    names = [text.get_text() for text in sheet.legends[0].get_texts()]
    assert {"aware-imc-all κ .75", "aware-imc-head κ .75"} <= set(names)
    oblivious = next(iter(studies(Analysis(tables.number(claimed.frames(WORLD)), add_any=False))))
    assert figure.draw(oblivious) is None


def test_over_victims_it_is_the_mean_of_theirs() -> None:
    victims = [_with_aware(kl=more) for more in (0.001, 0.002, 0.006)]
    records = {
        name: pd.concat([each[name].assign(seed=seed) for seed, each in enumerate(victims)])
        for name in victims[0]
    }
    table = Analysis(tables.number(records), add_any=False).table(PAIRED_OVER_VICTIMS)
    table = table[table["comparison"].eq("price") & table["against"].eq("imc-head")]
    assert len(table) == 5 * 3
    losses = table[table["quantity"].eq("kl")]
    interval = stats.mean_over_victims(np.array([0.001, 0.002, 0.006]))
    for name, value in zip(("", "_low", "_high"), interval, strict=True):
        assert losses["difference" + name].to_numpy() == pytest.approx(value)
    assert (table.loc[table["quantity"].eq("linf"), "difference"] == 0).all()
