"""Figure 5 of the paper: detection along φ in three readings, for its three detectors."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MultipleLocator, PercentFormatter

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.paper import KAPPA, Comparison, comparison
from evil_twins.bench.analysis.plots import style
from evil_twins.bench.analysis.plots.study import STRICT, Study, float_of
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.families import Family
from evil_twins.bench.analysis.tables.frames import lines

DETECTORS = ("manifold", "smoothing-gap", "smoothing-instability", "curvature")
"""Labels of the paper's detectors in suites; smoothing in both directions."""

KS = "curvature"
FALLING = {"manifold": "manifold", "smoothing-gap": "smoothing"}
"""Detector that the paper's authors read by a loss of confidence -> name of its stored points."""
SWEEPS = 3
READINGS = ("flagged targets", "success of the attack")
ByRow = dict[int, dict[str, Any]]
Values = Callable[[dict[str, Any]], tuple[float, float, float]]
_PAPER: dict[str, Any] = {"linestyle": "", "marker": "x", "ms": 4.0, "color": style.INK, "mew": 0.9}


def draw(study: Study) -> Figure | None:
    """Draw a column per detector, a row per reading, KS at the right; None without a sweep."""
    swept = [sweep for sweep in study.families if sweep.along == "phi" and sweep.norm == "linf"]
    kappas = {float_of(sweep, "kappa") for sweep in swept}
    kappa = KAPPA if KAPPA in kappas else min(kappas, default=KAPPA)
    families = [sweep for sweep in swept if float_of(sweep, "kappa") == kappa][::-1][:SWEEPS]
    names = [name for name in DETECTORS if name in study.detectors]
    if not families or not names:
        return None
    across = len(names) + (KS in names)
    drawn = style.figure(max(6.5, 1.0 + 1.9 * across), 4.9)
    grid = drawn.subplots(2, across, sharex=True, squeeze=False)
    paper = comparison(study.dataset) if kappa == KAPPA else None
    for name, (rates, success) in zip(names, grid.T, strict=False):
        _lines(rates, _by_row(study.detection, name), families, _rate)
        _lines(rates, _by_row(study.strict, name), families, _rate, hollow=True)
        for fpr in (STRICT, study.fpr):
            rates.axhline(fpr, **style.REFERENCE)
        _lines(success, _by_row(study.detection, name), families, _success)
        if name != KS:
            rates.plot(*_printed(paper, name), **_PAPER)
        rates.set_title(name)
        success.set_xlabel("fidelity budget φ")
    if KS in names:
        _separation(grid[0, -1], study, families, paper)
        _falls(grid[1, -1], study, families, paper)
    for axes, reading in zip(grid[:, 0], READINGS, strict=True):
        axes.set_ylabel(reading)
    title = f"Detection along the fidelity budget (Figure 5): {study.title}"
    note = _note(study, families, kappa, paper)
    style.caption(drawn, title, note, _entries(families, paper, KS in names))
    return drawn


def _by_row(table: pd.DataFrame, detector: str) -> ByRow:
    return {int(line["row"]): line for line in lines(table[table["detector"] == detector])}


def _rate(line: dict[str, Any]) -> tuple[float, float, float]:
    """Return rate and interval; NaN if there are too few calibration scores for a threshold."""
    if np.isfinite(line["threshold"]):
        return line["rate"], line["low"], line["high"]
    return stats.clopper_pearson(0, 0)


def _success(line: dict[str, Any]) -> tuple[float, float, float]:
    return line["success"] / line["n"], line["success_low"], line["success_high"]


def _lines(
    axes: Axes, table: ByRow, families: list[Family], values: Values, hollow: bool = False
) -> None:
    for family, look in style.styled(families):
        points = [(level, *values(table[row])) for row, level in family.line() if row in table]
        x, y, low, high = np.array(points, dtype=np.float64).reshape(-1, 4).T
        axes.fill_between(x, low, high, color=look.color, alpha=0.06 if hollow else 0.13, lw=0)
        axes.plot(*(x, y), **_look(look, hollow=hollow))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    _frame(axes)


def _look(look: style.Look, *, hollow: bool) -> dict[str, Any]:
    if hollow:
        return look.line | {"linewidth": 0.8, "mfc": "white", "mec": look.color, "ms": 3.5}
    return look.line | {"mec": "white"}


def _frame(axes: Axes) -> None:
    axes.set_ylim(-0.03, 1.03)
    axes.yaxis.set_major_locator(MultipleLocator(0.25))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlim(-0.04, 1.04)
    axes.grid(axis="y", color=style.FAINT, linewidth=0.5)


def _separation(axes: Axes, study: Study, families: list[Family], paper: Comparison | None) -> None:
    """Draw KS of the curvature against benign inputs, all and those of equal confidence."""
    table = _by_row(study.detection, KS)
    for family, look in style.styled(families):
        points = [(level, table[row]) for row, level in family.line() if row in table]
        x = [level for level, _ in points]
        for name, hollow in (("ks", False), ("ks_matched", True)):
            axes.plot(x, [line[name] for _, line in points], **_look(look, hollow=hollow))
        axes.plot(x, [line["ks_null95"] for _, line in points], **style.REFERENCE)
    axes.plot(*_printed(paper, KS), **_PAPER)
    axes.set_title("KS, curvature")
    axes.set_xlabel("fidelity budget φ")
    axes.xaxis.set_tick_params(labelbottom=True)
    _frame(axes)


def _fallen(study: Study, families: list[Family]) -> bool:
    """Return whether the records have the loss of confidence by manifold or smoothing."""
    table = study.outcomes[study.outcomes["row"].isin(_rows(families))]
    return bool(table.loc[table["detector"].isin(FALLING), "fall"].notna().any())


def _rows(families: list[Family]) -> set[int]:
    return {row for family in families for row, _ in family.line()}


def _falls(axes: Axes, study: Study, families: list[Family], paper: Comparison | None) -> None:
    """Draw the mean loss of confidence, full after reforming and hollow under noise."""
    if not _fallen(study, families):
        axes.axis("off")
        return
    for hollow, (name, published) in enumerate(FALLING.items()):
        table = _by_row(study.outcomes, name)
        for family, look in style.styled(families):
            points = [(level, table[row]["fall"]) for row, level in family.line() if row in table]
            axes.plot(*np.array(points).reshape(-1, 2).T, **_look(look, hollow=bool(hollow)))
        axes.plot(*_stored(paper, published), **_PAPER | {"marker": "+" if hollow else "x"})
    axes.set_title("loss of confidence")
    axes.set_xlabel("fidelity budget φ")
    _frame(axes)


def _printed(paper: Comparison | None, name: str) -> tuple[list[float], list[float]]:
    """Return the paper's points: stored ones of the curvature, else those that the text prints."""
    if paper is None:
        return [], []
    if name == KS and KS in paper.paper.stored:
        return _stored(paper, KS)
    points = paper.paper.rates.get(name, ())
    return [x for x, _ in points], [y for _, y in points]


def _stored(paper: Comparison | None, name: str) -> tuple[list[float], list[float]]:
    """Return the points of the authors' scripts, at their normalised fidelity loss."""
    if paper is None or name not in paper.paper.stored:
        return [], []
    return [x for x, _ in paper.paper.curves[KAPPA].points], list(paper.paper.stored[name])


def _entries(families: list[Family], paper: Comparison | None, separated: bool) -> list[Line2D]:
    strict = f"at {text.percent(STRICT)}" + "; KS at equal confidence" * separated
    grey = _look(style.Look(style.MUTED, (), "o"), hollow=True)
    entries = style.entries(str(family.key["attack"]) for family in families)
    entries.append(Line2D([], [], label=strict, **grey))
    if paper and any(len(_printed(paper, name)[0]) for name in DETECTORS):
        label = f"the paper's {paper.paper.name} ({paper.data})"
        entries.append(Line2D([], [], label=label, **_PAPER))
    return entries


def _note(study: Study, families: list[Family], kappa: float, paper: Comparison | None) -> str:
    points = "The paper has no points for this data set and κ. "
    if paper:
        points = "The paper's points lie at its own normalised fidelity loss and are not joined. "
    measure = "is not stored and has no panel"
    if _fallen(study, families):
        measure = (
            "lies below it: by how much the class of x falls on average, gains counted as 0, after "
            "reforming (full; their points ×) and when logits are averaged under noise (hollow; +)"
        )
    return (
        f"Left Poisoning, right PGD. Above: targets flagged at a false-positive rate of "
        f"{text.percent(study.fpr)} (full markers) and {text.percent(STRICT)} (hollow); below: "
        f"targets that are at κ, within ε and not flagged at {text.percent(study.fpr)}, of all; "
        "both with 95 % bands. Right: KS of the curvature, as the code of the "
        "paper's authors measured it: full against benign inputs, hollow against those of nearest "
        "confidence; dotted the 95th percentile of its null. Their measure for manifold and "
        f"smoothing, a mean change of confidence, {measure}. "
        f"{points}n = {study.targets(_rows(families))} targets, κ = {text.level(kappa)}"
        f"{study.scope}; {study.failures}."
    )
