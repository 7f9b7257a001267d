"""Mean confidence over fidelity and specificity budgets (Figure 6 of the paper)."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from evil_twins.bench.analysis.plots import style
from evil_twins.bench.analysis.plots.canvas import Canvas, canvas
from evil_twins.bench.analysis.plots.study import Study
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.budgets import BUDGETS
from evil_twins.bench.analysis.tables.frames import column, lines

PANEL = (38.0, 20.0)
"""Width and height of a panel in letters."""
DARK = 0.55
"""The confidence from which a cell is so dark that its numbers are white."""


def _panel(axes: Axes, grid: pd.DataFrame, kappa: float) -> None:
    drawn = canvas(axes)
    phis, shares = (np.unique(column(grid, name)) for name in ("phi", "distance"))
    image = np.full((len(shares), len(phis)), np.nan)
    for point in lines(grid):
        x, y = np.searchsorted(phis, point["phi"]), np.searchsorted(shares, point["distance"])
        image[y, x] = point["confidence"]
        label = f"{point['confidence']:.2f}\n{point['low']:.2f}–{point['high']:.2f}"
        color = "white" if point["confidence"] > DARK else style.INK
        axes.text(float(x), float(y), label, ha="center", va="center", fontsize=7, color=color)
    axes.imshow(image, origin="lower", vmin=0, vmax=1, cmap="Blues", aspect="auto")
    far = [255 * _mean(grid, "phi", phi, "linf") for phi in phis]
    changes = [_mean(grid, "distance", share, "delta") for share in shares]
    xlabels = [f"{text.short(phi)}\n{mean:.1f}/255" for phi, mean in zip(phis, far, strict=True)]
    ylabels = [f"{text.short(s)}\n{mean:.2g}" for s, mean in zip(shares, changes, strict=True)]
    axes.set_xticks(range(len(phis)), xlabels)
    axes.set_yticks(range(len(shares)), ylabels)
    drawn.entitle(axes, f"κ {text.level(kappa)}")
    columns = {"x": "phi", "y": "distance", "value": "confidence", "low": "low", "high": "high"}
    drawn.record(axes, "", {name: column(grid, source) for name, source in columns.items()})
    axes.set_xlabel("fidelity budget φ, mean ‖x* − x°‖∞")
    axes.set_ylabel("model budget, mean δ")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def _mean(grid: pd.DataFrame, axis: str, level: float, name: str) -> float:
    return float(column(grid[grid[axis].eq(level)], name).mean())


def draw(study: Study) -> Canvas | None:
    """Draw one panel per κ; None without a grid."""
    table = study.table(BUDGETS)
    if table.empty:
        return None
    grids = list(table.groupby("kappa", sort=True))
    drawn = Canvas(study.design, max(5.2, 3.6 * len(grids) + 0.6), 4.0, wide=True)
    panels = drawn.grid(len(grids), len(grids), PANEL)
    for axes, (kappa, grid) in zip(panels, grids, strict=True):
        _panel(axes, grid, float(str(kappa)))
    sizes = ", ".join(str(n) for n in sorted({int(n) for n in table["n"]}))
    note = (
        "Mean of f_t(x*; θ*), its 95 % interval below it, where the attack may go so far and no "
        "loss is kept small. Budgets are shares of each target's smallest PGD radius and of the "
        "shortest change of its head that reaches κ; below them the mean distances. "
        f"n = {sizes} targets{study.scope}; {study.failures}."
    )
    drawn.caption(f"Confidence within fixed budgets: {study.title}", note)
    return drawn
