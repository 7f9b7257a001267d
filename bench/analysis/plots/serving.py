"""Specificity loss and detection along the number of targets that one poisoned model serves."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.transforms import ScaledTranslation

from evil_twins.bench.analysis.plots import style
from evil_twins.bench.analysis.plots.canvas import Canvas, canvas
from evil_twins.bench.analysis.plots.curves import curve
from evil_twins.bench.analysis.plots.study import Study
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.any_of import NAME as ANY
from evil_twins.bench.analysis.tables.frames import column, ends, lines
from evil_twins.bench.analysis.tables.load import LOAD

PANEL = (16.0, 12.0)
"""Width and height of a panel in letters."""
ROW = ["method", "layers", "kappa", "phi", "lam"]
"""Keys of the rows that differ in `serves` only."""


def _curve(axes: Axes, label: str, line: pd.DataFrame, names: str, look: style.Look) -> None:
    x, y, low, high = (column(line, name) for name in ("serves", *names.split()))
    if len(x) == 1:  # a band would have no width
        axes.vlines(x, low, high, color=look.color, alpha=0.4)
    curve(axes, label, x, y, (low, high), look)


def _frame(axes: Axes, serves: list[int], title: str, unit: str) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(serves, [str(m) for m in serves])
    axes.set_xlabel("targets that one model serves")
    axes.set_ylabel(unit)
    canvas(axes).entitle(axes, title)
    axes.grid(color=style.FAINT, linewidth=0.5)


def _legend(axes: Axes, names: list[str]) -> None:
    """Name the attacks below their panel, where they cover no data."""
    drawn = canvas(axes)
    down = (4.6 if drawn.design.letters is None else 3.6) * drawn.design.em
    below = axes.transAxes + ScaledTranslation(0, -down, drawn.dpi_scale_trans)
    axes.legend(
        handles=drawn.entries(names),
        loc="upper left",
        bbox_to_anchor=(0, 0),
        bbox_transform=below,
        borderaxespad=0,
    )
    if not drawn.design.natural and drawn.design.height is None:
        drawn.set_figheight(drawn.get_figheight() + 1.4 * len(names) * drawn.design.em)


def draw(study: Study) -> Canvas | None:
    """Draw a panel for each attack; None if each model serves one target."""
    table = study.table(LOAD)
    if table.empty:
        return None
    table = table[table["detector"] != ANY]  # the table has the OR of all
    attacks = [attack for _, attack in table.groupby(ROW, sort=True, dropna=False)]
    names = [study.attack(lines(attack)[0]) for attack in attacks]
    detectors = style.detector_order(table["detector"].astype(str))
    serves = sorted({int(m) for m in table["serves"]})
    drawn = Canvas(study.design, 3.4 * (len(attacks) + 1), 3.8 + 0.15 * len(names))
    first, *panels = drawn.grid(len(attacks) + 1, len(attacks) + 1, PANEL)
    for (attack, name), look in study.design.styled(zip(attacks, names, strict=True)):
        _curve(first, name, attack.drop_duplicates("serves"), ends("specificity"), look)
    _frame(first, serves, "specificity loss", "disagreement on R")
    first.set_yscale("log")
    _legend(first, names)
    looks = dict(study.design.styled(detectors))
    for axes, attack, name in zip(panels, attacks, names, strict=True):
        for detector, line in attack.groupby("detector", sort=True):
            label = study.detector(str(detector))
            _curve(axes, label, line, "rate low high", looks[str(detector)])
        _frame(axes, serves, name, f"targets flagged at {text.percent(study.fpr)} FPR")
        axes.set_ylim(-0.03, 1.03)
    note = (
        "Left: share of R on which victim and poisoned model disagree. Bands: 95 % intervals over "
        f"models; with one model there is none. {study.footer()}"
    )
    title = f"One model for several targets: {study.title}"
    drawn.caption(title, note, drawn.entries(map(study.detector, detectors)))
    return drawn
