"""Mean confidence over fidelity and specificity budgets (Figure 6 of the paper)."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evil_twins.bench.analysis.plots import style
from evil_twins.bench.analysis.plots.study import Study
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.frames import column, lines

DARK = 0.55
"""Confidence from which on a cell is so dark that its numbers are white."""


def _panel(axes: Axes, grid: pd.DataFrame, kappa: float) -> None:
    phis, shares = (np.unique(column(grid, name)) for name in ("phi", "distance"))
    image = np.full((len(shares), len(phis)), np.nan)
    for one in lines(grid):
        across, up = (
            int(np.searchsorted(levels, one[name]))
            for levels, name in ((phis, "phi"), (shares, "distance"))
        )
        image[up, across] = one["confidence"]
        axes.text(
            *(float(across), float(up)),
            f"{one['confidence']:.2f}\n{one['low']:.2f}–{one['high']:.2f}",
            ha="center",
            va="center",
            fontsize=7,
            color="white" if one["confidence"] > DARK else style.INK,
        )
    axes.imshow(image, origin="lower", vmin=0, vmax=1, cmap="Blues", aspect="auto")
    far = [255 * _mean(grid, "phi", phi, "linf") for phi in phis]
    changed = [_mean(grid, "distance", share, "delta") for share in shares]
    below = [f"{text.short(a)}\n{b:.1f}/255" for a, b in zip(phis, far, strict=True)]
    beside = [f"{text.short(a)}\n{b:.2g}" for a, b in zip(shares, changed, strict=True)]
    axes.set_xticks(range(len(phis)), below)
    axes.set_yticks(range(len(shares)), beside)
    axes.set_title(f"κ {text.short(kappa)}")
    axes.set_xlabel("fidelity budget φ, mean ‖x* − x°‖∞")
    axes.set_ylabel("model budget, mean δ")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def _mean(grid: pd.DataFrame, axis: str, level: float, name: str) -> float:
    return float(column(grid[grid[axis].eq(level)], name).mean())


def draw(study: Study) -> Figure | None:
    """One panel a κ; None without a grid."""
    if study.budgets.empty:
        return None
    grids = list(study.budgets.groupby("kappa", sort=True))
    made = style.figure(max(5.2, 3.6 * len(grids) + 0.6), 4.0)
    panels = made.subplots(1, len(grids), squeeze=False).flat
    for axes, (kappa, grid) in zip(panels, grids, strict=True):
        _panel(axes, grid, float(str(kappa)))
    sizes = ", ".join(str(n) for n in sorted({int(n) for n in study.budgets["n"]}))
    note = (
        "Mean of f_t(x*; θ*), its 95 % interval below it, where the attack may go so far and no "
        "loss is kept small. Budgets are shares of each target's smallest PGD radius and of the "
        "shortest change of its head that reach κ alone; below them the mean distances. "
        f"n = {sizes} targets; {text.failed(study.failed)}."
    )
    style.caption(made, f"Confidence within fixed budgets: {study.title}", note)
    return made
