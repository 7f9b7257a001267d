"""Figure 5 of the paper: detection along φ in three readings, for its three detectors."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MultipleLocator, PercentFormatter

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.paper import KAPPA, Comparison, comparison
from evil_twins.bench.analysis.plots import style
from evil_twins.bench.analysis.plots.canvas import Canvas, canvas
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


def draw(study: Study) -> Canvas | None:
    """Draw a column per detector, a row per reading, KS at the right; None without a sweep."""
    swept = [sweep for sweep in study.families if sweep.along == "phi" and sweep.norm == "linf"]
    kappas = {float_of(sweep, "kappa") for sweep in swept}
    kappa = KAPPA if KAPPA in kappas else min(kappas, default=KAPPA)
    families = [sweep for sweep in swept if float_of(sweep, "kappa") == kappa][::-1][:SWEEPS]
    names = [name for name in DETECTORS if name in study.detectors]
    if not families or not names:
        return None
    across = len(names) + (KS in names)
    drawn = Canvas(study.design, max(6.5, 1.0 + 1.9 * across), 4.9, wide=True)
    drawn.heighten(2, 9.0)
    grid = drawn.subplots(2, across, sharex=True, squeeze=False)
    paper = comparison(study.dataset) if kappa == KAPPA else None
    for name, (rates, success) in zip(names, grid.T, strict=False):
        _lines(rates, _by_row(study.detection, name), families, _rate, "")
        strict = f" at {text.percent(STRICT)}"
        _lines(rates, _by_row(study.strict, name), families, _rate, strict, hollow=True)
        for fpr in (STRICT, study.fpr):
            rates.axhline(fpr, **style.REFERENCE)
        _lines(success, _by_row(study.detection, name), families, _success, "")
        drawn.name_panel(success, f"{study.detector(name)}, {READINGS[1]}")
        if name != KS:
            _points(rates, _printed(paper, name))
        drawn.entitle(rates, study.detector(name))
        success.set_xlabel("fidelity budget φ")
    if KS in names:
        _separation(grid[0, -1], study, families, paper)
        _falls(grid[1, -1], study, families, paper)
    for axes, reading in zip(grid[:, 0], READINGS, strict=True):
        axes.set_ylabel(reading)
    title = f"Detection along the fidelity budget (Figure 5): {study.title}"
    note = _note(study, families, kappa, paper)
    drawn.caption(title, note, _entries(drawn, families, paper, KS in names))
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
    axes: Axes,
    table: ByRow,
    families: list[Family],
    values: Values,
    ending: str,
    hollow: bool = False,
) -> None:
    """Draw rates with their bands; `ending` follows the attack in the name of a line."""
    drawn = canvas(axes)
    for family, look in drawn.design.styled(families):
        points = [(level, *values(table[row])) for row, level in family.line() if row in table]
        x, y, low, high = np.array(points, dtype=np.float64).reshape(-1, 4).T
        axes.fill_between(x, low, high, color=look.color, alpha=0.06 if hollow else 0.13, lw=0)
        name = _name(axes, family) + ending
        axes.plot(*(x, y), **_look(look, hollow=hollow), label=name)
        drawn.record(axes, name, {"x": x, "y": y, "low": low, "high": high})
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    _frame(axes)


def _name(axes: Axes, family: Family) -> str:
    label = str(family.key["attack"])
    return canvas(axes).design.labels.attacks.get(label, label)


def _points(
    axes: Axes, points: tuple[list[float], list[float]], marker: str = "x", ending: str = ""
) -> None:
    """Draw the paper's points."""
    x, y = points
    name = f"the paper{ending}"
    axes.plot(*(x, y), **_PAPER | {"marker": marker}, label=name)
    canvas(axes).record(axes, name, {"x": x, "y": y})


def _look(look: style.Look, *, hollow: bool) -> dict[str, Any]:
    if hollow:
        return look.line | {"linewidth": 0.8, "mfc": "white", "mec": look.color, "ms": 3.5}
    return look.line | {"mec": "white"}


def _frame(axes: Axes) -> None:
    axes.set_ylim(-0.03, 1.03)
    axes.yaxis.set_major_locator(MultipleLocator(canvas(axes).design.step))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlim(-0.04, 1.04)
    axes.grid(axis="y", color=style.FAINT, linewidth=0.5)


def _separation(axes: Axes, study: Study, families: list[Family], paper: Comparison | None) -> None:
    """Draw KS of the curvature against benign inputs, all and those of equal confidence."""
    table = _by_row(study.detection, KS)
    drawn = canvas(axes)
    for family, look in drawn.design.styled(families):
        points = [(level, table[row]) for row, level in family.line() if row in table]
        x = [level for level, _ in points]
        readings = (
            ("ks", "", _look(look, hollow=False)),
            ("ks_matched", " at equal confidence", _look(look, hollow=True)),
            ("ks_null95", ", 95 % of the null", style.REFERENCE),
        )
        for column, ending, shape in readings:
            y, name = [line[column] for _, line in points], _name(axes, family) + ending
            axes.plot(*(x, y), **shape, label=name)
            drawn.record(axes, name, {"x": x, "y": y})
    _points(axes, _printed(paper, KS))
    drawn.entitle(axes, f"KS, {study.detector(KS)}")
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
        for family, look in study.design.styled(families):
            points = [(level, table[row]["fall"]) for row, level in family.line() if row in table]
            x, y = np.array(points).reshape(-1, 2).T
            line = f"{_name(axes, family)}, {study.detector(name)}"
            axes.plot(*(x, y), **_look(look, hollow=bool(hollow)), label=line)
            canvas(axes).record(axes, line, {"x": x, "y": y})
        marker = "+" if hollow else "x"
        _points(axes, _stored(paper, published), marker, f", {study.detector(name)}")
    canvas(axes).entitle(axes, "loss of confidence")
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


def _entries(
    drawn: Canvas, families: list[Family], paper: Comparison | None, separated: bool
) -> list[Line2D]:
    strict = f"at {text.percent(STRICT)}" + "; KS at equal confidence" * separated
    grey = _look(style.Look(style.MUTED, (), "o"), hollow=True)
    words, labels = drawn.design.labels.attacks, [str(f.key["attack"]) for f in families]
    entries = drawn.entries(words.get(label, label) for label in labels)
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
