"""Targets that share a poisoned model: m identical ones say as much as one."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evil_twins.bench.analysis import tables
from evil_twins.bench.analysis.page import matrix, ranks
from evil_twins.bench.analysis.plots import figure5, style
from evil_twins.bench.analysis.plots.study import studies
from evil_twins.bench.analysis.stats import Floats
from evil_twins.bench.analysis.tables import Analysis, Table
from evil_twins.bench.analysis.tables.attacks import ATTACKS
from evil_twins.bench.analysis.tables.clusters import WORDS, Clusters
from evil_twins.bench.analysis.tables.compare import between, detector, identity
from evil_twins.bench.analysis.tables.controls import CONTROLS
from evil_twins.bench.analysis.tables.detection import DETECTION
from evil_twins.bench.analysis.tables.load import LOAD
from evil_twins.bench.analysis.tables.paired import PAIRED, WORST
from evil_twins.bench.analysis.tables.price import PRICE
from evil_twins.bench.analysis.tables.specificity import SPECIFICITY
from evil_twins.bench.analysis.tables.sweeps import TRADEOFF, TRENDS
from evil_twins.bench.analysis.tables.write import files
from tests.bench.clustered import COPIES, TARGETS, base, copied


@cache
def _analysis(kind: str) -> Analysis:
    frames = {"single": base, "copied": copied, "apart": lambda: copied(grouped=False)}[kind]()
    return Analysis(tables.number(frames), add_any=False)


def _uncertain(table: pd.DataFrame) -> pd.DataFrame:
    """Return the shares, means, intervals and p-values of a table, which do not count targets."""
    words = ("p", "low", "high", "rate", "value", "control_value", "difference", "statistic")
    names = [
        name
        for name in table.columns
        if (
            name in words
            or name.startswith("p_")
            or name == "p"
            or name.endswith(("_low", "_high"))
        )
        and not name.startswith("ks")
    ]
    return table[names].astype(float)


SHOWN = [ATTACKS, DETECTION, PAIRED, WORST, TRENDS, TRADEOFF, CONTROLS, SPECIFICITY, PRICE]
"""Tables with intervals or tests over the targets of one victim."""


@pytest.mark.parametrize("table", SHOWN, ids=lambda table: table.name)
def test_identical_targets_of_a_model_count_as_one(table: Table) -> None:
    single, copied, apart = (_analysis(kind).table(table) for kind in ("single", "copied", "apart"))
    if table is CONTROLS:  # a KS against its null has no interval
        single, copied, apart = (
            lines[lines["control"].ne("confidence")].reset_index(drop=True)
            for lines in (single, copied, apart)
        )
        assert set(single["control"]) == {"noise", "fine-tuning", "endpoints", "calibration"}
    assert len(single) == len(copied) > 0
    wanted = _uncertain(single)
    assert len(wanted.columns) > 1
    pd.testing.assert_frame_equal(_uncertain(copied), wanted, rtol=1e-6, atol=1e-9)
    assert not np.allclose(_uncertain(apart), wanted, equal_nan=True)


def test_load_has_the_intervals_of_the_other_tables() -> None:
    analysis = _analysis("copied")
    table = analysis.numbered(LOAD)
    assert set(table["serves"]) == {COPIES}
    assert set(table["models"]) == {TARGETS}
    rates = analysis.numbered(DETECTION).query("fpr_nominal == .05")
    both = table.merge(rates, on=["row", "detector"]).merge(analysis.numbered(ATTACKS), on="row")
    assert len(both) == len(table) > 0
    for name in ("rate", "low", "high"):
        assert list(both[f"{name}_x"]) == list(both[f"{name}_y"])
    for name in ("kl_low", "specificity_high"):
        assert list(both[f"{name}_x"]) == list(both[f"{name}_y"])
    assert _analysis("apart").table(LOAD).empty


def test_a_comparison_of_detectors_counts_them_once() -> None:
    costs = pd.DataFrame(columns=[*tables.KEYS, "detector", "seconds", "inputs"])
    names = _analysis("single").records.scores["detector"].unique()
    rivals = tuple(str(name) for name in names if name not in ("curvature", "any"))
    for per in ("attack", "worst"):
        selection = tables.Selection(("curvature",), rivals, per)
        each = [
            detector.numbers(_analysis(kind), costs, selection).tables
            for kind in ("single", "copied")
        ]
        for name, columns in (("paired", {"p", "p_corrected"}), ("rates", {"low", "high"})):
            single, copied = (_uncertain(compared[name]) for compared in each)
            assert len(single) > 0
            assert columns <= set(single.columns)
            pd.testing.assert_frame_equal(copied, single, rtol=1e-6, atol=1e-9)


def test_a_comparison_of_suites_counts_them_once() -> None:
    differences = []
    for kind in ("single", "copied"):
        analysis = _analysis(kind)
        contents = identity.contents(analysis.records)
        (titles,) = identity.titles([contents])
        (first,) = between.sides(Path("suite"), analysis, contents, titles)
        other = first.decided.assign(flagged=first.decided["rank"].gt(0.5))
        differences.append(between.between(first, replace(first, decided=other)).table)
    assert len(differences[0]) > 0
    pd.testing.assert_frame_equal(*map(_uncertain, differences), rtol=1e-6, atol=1e-9)


def test_models_of_either_side_join_their_targets() -> None:
    """Only one attack of a pair shares models: its clusters are those of the pair."""
    mixed = Analysis(tables.number(copied(attacks=("imc-head",))), add_any=False)
    single = _analysis("single").table(PAIRED)
    head = single["attack"].eq("imc-head")
    names = ["p_mcnemar", "p_signed_rank"]
    paired = mixed.table(PAIRED)[head]
    assert paired[names].to_numpy() == pytest.approx(single.loc[head, names].to_numpy())
    ratios, wanted = (
        each.table(TRADEOFF).query("end == ''") for each in (mixed, _analysis("single"))
    )
    names = ["specificity", "specificity_low", "specificity_high", "kl_low", "kl_high"]
    # The images of R are drawn anew for the pair.
    approximate = pytest.approx(wanted[names].to_numpy(), rel=0.06, nan_ok=True)
    assert ratios[names].to_numpy() == approximate
    apart = _analysis("apart").table(TRADEOFF).query("end == ''")
    assert apart[names].to_numpy() != approximate


def test_clusters_are_chained() -> None:
    rows = {
        1: {"a": "a", "b": "a", "c": "c", "d": "d"},
        2: {"a": "a", "b": "b", "c": "b", "d": "d"},
    }
    clusters = Clusters(rows)
    assert clusters.joint([1, 2, 3], ["a", "b", "c", "d"]).tolist() == [0, 0, 0, 1]  # type: ignore[union-attr]
    assert clusters.joint([1, 2], ["d", "b", "a"]).tolist() == [0, 1, 1]  # type: ignore[union-attr]
    assert clusters.joint([3], ["a", "b"]) is None
    assert clusters.joint([1], ["b", "c", "d"]) is None
    assert clusters.joint([1], []) is None


def test_figure_5_has_the_band_of_models(monkeypatch: pytest.MonkeyPatch) -> None:
    bands: dict[str, list[Floats]] = {"single": [], "copied": []}
    for kind, drawn in bands.items():
        monkeypatch.setattr(
            "matplotlib.axes.Axes.fill_between",
            lambda self, x, low, high, drawn=drawn, **_: drawn.append(np.array([low, high])),
        )
        (study,) = studies(_analysis(kind))
        with style.PAGE.settings():
            assert figure5.draw(study) is not None
    assert len(bands["single"]) > 2
    for single, shared in zip(bands["single"], bands["copied"], strict=True):
        assert shared == pytest.approx(single, nan_ok=True)


def test_the_page_has_an_interval_of_as_many_targets_as_models() -> None:
    lines = {}
    for kind in ("single", "copied"):
        analysis = _analysis(kind)
        by_cell = ranks.ranks(analysis)
        names = sorted({name for _, name in by_cell})
        (shown,) = matrix.matrices(analysis.records, by_cell, names)
        lines[kind] = [*shown.lines, *matrix.worst(analysis.table(WORST), names)]
    shares = {kind: matrix.shares(shown) for kind, shown in lines.items()}
    compared = 0
    for single, shared in zip(lines["single"], lines["copied"], strict=True):
        for first, several in zip(single.squares, shared.squares, strict=True):
            if first and several and not several.lacks:
                assert (several.k, several.n) == (COPIES * first.k, COPIES * first.n)
                words = [
                    shares[k][s.sizes][s.k] for k, s in (("single", first), ("copied", several))
                ]
                assert first.interval == several.interval
                assert first.interval or words[0] == words[1]
                compared += 1
    assert compared > 20


def test_a_single_model_has_no_interval() -> None:
    frames = copied()
    targets = frames["targets"]
    frames["targets"] = targets.assign(group=sorted(targets["target_id"])[0])
    analysis = Analysis(tables.number(frames), add_any=False)
    for table in (ATTACKS, DETECTION, WORST):
        lines = analysis.table(table)
        ends = [name for name in lines.columns if name.endswith(("low", "high"))]
        ends = [name for name in ends if not name.startswith("survive")]
        assert lines[ends].isna().all(axis=None), table.name
    written = files(analysis)
    words = written["detection.md"].decode()
    assert WORDS in words
    assert "nan" not in words
    assert "[, ]" not in written["attacks.md"].decode()
    assert WORDS not in files(_analysis("single"))["detection.md"].decode()
