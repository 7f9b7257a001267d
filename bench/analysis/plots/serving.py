"""Specificity loss and detection along the number of targets that one poisoned model serves."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evil_twins.bench.analysis.plots import style
from evil_twins.bench.analysis.plots.study import Study
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.any_of import NAME as ANY
from evil_twins.bench.analysis.tables.frames import column, ends, lines
from evil_twins.bench.analysis.tables.load import LOAD

ROW = ["method", "layers", "kappa", "phi", "lam"]
"""Keys of the rows that differ in `serves` only."""


def _curve(axes: Axes, curve: pd.DataFrame, names: str, look: style.Look) -> None:
    x, y, low, high = (column(curve, name) for name in ("serves", *names.split()))
    if len(x) == 1:  # a band would have no width
        axes.vlines(x, low, high, color=look.color, alpha=0.4)
    style.curve(axes, x, y, (low, high), look)


def _frame(axes: Axes, serves: list[int], title: str, unit: str) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(serves, [str(m) for m in serves])
    axes.set_xlabel("targets that one model serves")
    axes.set_ylabel(unit)
    axes.set_title(title)
    axes.grid(color=style.FAINT, linewidth=0.5)


def draw(study: Study) -> Figure | None:
    """Draw a panel for each attack; None if each model serves one target."""
    table = study.table(LOAD)
    if table.empty:
        return None
    table = table[table["detector"] != ANY]  # the table has the OR of all
    attacks = [attack for _, attack in table.groupby(ROW, sort=True, dropna=False)]
    names = [text.name(key | {"attack": key["method"]}) for key in (lines(a)[0] for a in attacks)]
    detectors = style.detector_order(table["detector"].astype(str))
    serves = sorted({int(m) for m in table["serves"]})
    drawn = style.figure(3.4 * (len(attacks) + 1), 3.8)
    first, *panels = drawn.subplots(1, len(attacks) + 1, squeeze=False).flat
    for attack, look in style.styled(attacks):
        _curve(first, attack.drop_duplicates("serves"), ends("specificity"), look)
    _frame(first, serves, "specificity loss", "disagreement on R")
    first.set_yscale("log")
    first.legend(handles=style.entries(names))
    looks = dict(style.styled(detectors))
    for axes, attack, name in zip(panels, attacks, names, strict=True):
        for detector, curve in attack.groupby("detector", sort=True):
            _curve(axes, curve, "rate low high", looks[str(detector)])
        _frame(axes, serves, name, f"targets flagged at {text.percent(study.fpr)} FPR")
        axes.set_ylim(-0.03, 1.03)
    note = (
        "Left: share of R on which victim and poisoned model disagree. Bands: 95 % intervals over "
        f"models; with one model there is none. {study.footer()}"
    )
    title = f"One model for several targets: {study.title}"
    style.caption(drawn, title, note, style.entries(detectors))
    return drawn
