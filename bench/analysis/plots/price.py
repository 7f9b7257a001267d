"""What evading detectors costs, along the fidelity budget."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evil_twins.bench.analysis.plots import style
from evil_twins.bench.analysis.plots.study import Study
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.families import FAMILY
from evil_twins.bench.analysis.tables.frames import column, lines

MOST = 6
APART = 0.012
"""Between two attacks at one φ, so that none hides another."""
LEAST = 0.1
"""Each axis reaches so far from 0: what rounding leaves of nothing is not drawn as something."""

PANELS = (
    ("linf", 255, "fidelity", "more ‖x* − x°‖∞ · 255"),
    ("specificity", 1000, "disagreement on R", "more flipped images in a thousand"),
    ("kl", 1000, "mean KL on R", "more KL · 1000"),
)


def _panel(axes: Axes, curves: list[pd.DataFrame], name: str, unit: int) -> None:
    axes.axhline(0, color=style.MUTED, linewidth=0.8, linestyle=(0, (2, 2)), zorder=0)
    for i, (curve, look) in enumerate(zip(curves, style.looks(len(curves)), strict=True)):
        x = column(curve, "phi") + APART * (i - (len(curves) - 1) / 2)
        y, low, high = (unit * column(curve, name + end) for end in ("", "_low", "_high"))
        axes.vlines(x, low, high, color=look.color, linewidth=1, alpha=0.6)
        axes.plot(
            *(x, y), color=look.color, linestyle=look.linestyle, marker=look.marker, mec="white"
        )
    bottom, top = axes.get_ylim()
    axes.set_ylim(min(bottom, -LEAST), max(top, LEAST))
    axes.set_xlabel("fidelity budget φ, share of PGD's radius")
    axes.grid(color=style.FAINT, linewidth=0.5)


def draw(study: Study) -> Figure | None:
    """A line for each attack that knows detectors; None without one that has its like."""
    families = study.price.groupby(FAMILY, dropna=False, sort=True)
    curves = [part.sort_values("phi") for _, part in families]
    if not curves:
        return None
    shown = curves[:MOST]
    made = style.figure(9.6, 3.9)
    for axes, (name, unit, title, label) in zip(made.subplots(1, 3), PANELS, strict=True):
        _panel(axes, shown, name, unit)
        axes.set_title(title)
        axes.set_ylabel(label)
        budgets = np.unique(np.concatenate([column(curve, "phi") for curve in shown]))
        axes.set_xticks(budgets, [text.short(phi) for phi in budgets])
        axes.set_xlim(budgets[0] - 0.1, budgets[-1] + 0.1)
    left = f" {len(curves) - MOST} further attacks are in the table." * (len(curves) > MOST)
    note = (
        "What an attack that knows detectors loses more than one that does not, at the same φ on "
        "the same targets; above the dotted line evasion costs. Lines: 95 % intervals of the "
        "paired difference, of disagreement by a crossed bootstrap over targets × R. "
    )
    names = [text.name(lines(one)[0] | {"phi": float("nan")}) for one in shown]
    entries = [
        style.entry(look, name) for look, name in zip(style.looks(len(names)), names, strict=True)
    ]
    style.caption(
        made, f"The price of evasion: {study.title}", note + study.footer() + left, entries
    )
    return made
