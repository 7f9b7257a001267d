"""Mean confidence over fidelity and specificity budgets (Figure 6 of the paper)."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.plots import style
from bench.plots.study import Study
from bench.tables import text
from bench.tables.frames import lines

DARK = 0.55
"""Confidence from which on a cell is so dark that its numbers are white."""


def _panel(axes: Axes, grid: pd.DataFrame, kappa: float) -> None:
    wide = grid.pivot(index="distance", columns="phi", values="confidence")
    axes.imshow(wide.to_numpy(), origin="lower", vmin=0, vmax=1, cmap="Blues", aspect="auto")
    for one in lines(grid):
        place = (wide.columns.get_loc(one["phi"]), wide.index.get_loc(one["distance"]))
        axes.text(
            *place,
            f"{one['confidence']:.2f}\n{one['low']:.2f}–{one['high']:.2f}",
            ha="center",
            va="center",
            fontsize=7,
            color="white" if one["confidence"] > DARK else style.INK,
        )
    far = 255 * grid.groupby("phi")["linf"].mean()
    changed = grid.groupby("distance")["delta"].mean()
    across = [f"{text.short(phi)}\n{far[phi]:.1f}/255" for phi in wide.columns]
    upwards = [f"{text.short(share)}\n{text.number(changed[share], 2)}" for share in wide.index]
    axes.set_xticks(range(len(across)), across)
    axes.set_yticks(range(len(upwards)), upwards)
    axes.set_title(f"κ {text.short(kappa)}")
    axes.set_xlabel("fidelity budget φ, mean ‖x* − x°‖∞")
    axes.set_ylabel("model budget, mean δ")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


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
