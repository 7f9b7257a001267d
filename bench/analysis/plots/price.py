"""The costs of evading detectors, along the fidelity budget."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from evil_twins.bench.analysis.plots import style
from evil_twins.bench.analysis.plots.canvas import Canvas, canvas
from evil_twins.bench.analysis.plots.study import Study
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.families import FAMILY
from evil_twins.bench.analysis.tables.frames import column, lines
from evil_twins.bench.analysis.tables.price import PRICE

CURVES = 6
OFFSET = 0.012
"""Distance between two attacks at one φ, so that none hides another."""
LEAST_LIMIT = 0.1
"""Smallest limit of each axis, so that rounding errors of zero do not look like effects."""

PANEL = (18.0, 11.0)
"""Width and height of a panel in letters."""
PANELS = (
    ("linf", 255, "fidelity", "more ‖x* − x°‖∞ · 255"),
    ("specificity", 1000, "disagreement on R", "more flipped images in a thousand"),
    ("kl", 1000, "mean KL on R", "more KL · 1000"),
)


def _panel(axes: Axes, curves: dict[str, pd.DataFrame], name: str, unit: int) -> None:
    axes.axhline(0, **style.REFERENCE)
    drawn = canvas(axes)
    for i, ((label, curve), look) in enumerate(drawn.design.styled(curves.items())):
        x = column(curve, "phi") + OFFSET * (i - (len(curves) - 1) / 2)
        y, low, high = (unit * column(curve, name + end) for end in ("", "_low", "_high"))
        axes.vlines(x, low, high, color=look.color, linewidth=1, alpha=0.6)
        axes.plot(*(x, y), **look.line, mec="white", label=label)
        drawn.record(axes, label, {"x": x, "y": y, "low": low, "high": high})
    bottom, top = axes.get_ylim()
    axes.set_ylim(min(bottom, -LEAST_LIMIT), max(top, LEAST_LIMIT))
    axes.set_xlabel("fidelity budget φ, share of PGD's radius")
    axes.grid(color=style.FAINT, linewidth=0.5)


def draw(study: Study) -> Canvas | None:
    """Draw a line for each attack that knows detectors and has a counterpart; None without one."""
    families = study.table(PRICE).groupby(FAMILY, dropna=False, sort=True)
    curves = [curve.sort_values("phi") for _, curve in families]
    if not curves:
        return None
    drawn = Canvas(study.design, 9.6, 3.9)
    shown = {
        study.attack(lines(curve)[0] | {"phi": float("nan")}): curve for curve in curves[:CURVES]
    }
    for axes, (name, unit, title, label) in zip(drawn.grid(3, 3, PANEL), PANELS, strict=True):
        _panel(axes, shown, name, unit)
        drawn.entitle(axes, title)
        axes.set_ylabel(label)
        budgets = np.unique(np.concatenate([column(curve, "phi") for curve in shown.values()]))
        axes.set_xticks(budgets, [text.short(phi) for phi in budgets])
        axes.set_xlim(budgets[0] - 0.1, budgets[-1] + 0.1)
    note = (
        "Extra losses of an attack that knows detectors over one that does not, at the same φ on "
        "the same targets; above the dotted line evasion costs. Lines: 95 % intervals of the "
        "paired difference, of disagreement by a crossed bootstrap over targets × R. "
    ) + study.footer()
    note += style.further(len(curves), CURVES, "attacks are in the table")
    drawn.caption(f"The price of evasion: {study.title}", note, drawn.entries(shown))
    return drawn
