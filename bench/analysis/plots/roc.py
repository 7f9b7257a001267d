"""ROC curves of every detector."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator
from sklearn.metrics import roc_curve

from evil_twins.bench.analysis.plots import style
from evil_twins.bench.analysis.plots.study import Study
from evil_twins.bench.analysis.stats import FPR as ALPHA
from evil_twins.bench.analysis.tables.decisions import Cell

COLUMNS = 4


def _rocs(axes: Axes, cells: list[Cell | None]) -> None:
    axes.plot([0, 1], [0, 1], color=style.FAINT, linewidth=0.8, zorder=0)
    axes.axvline(ALPHA, color=style.MUTED, linewidth=0.8, linestyle=(0, (2, 2)), zorder=0)
    for cell, look in zip(cells, style.looks(len(cells)), strict=True):
        if cell is None or not len(cell.score) or not len(cell.fresh.score):
            continue
        pooled = np.concatenate([cell.score, cell.fresh.score])
        ranks = np.unique(pooled, return_inverse=True)[1]  # finite, also for infinite scores
        truth = np.repeat([1, 0], [len(cell.score), len(cell.fresh.score)])
        false, true, _ = roc_curve(truth, ranks)
        axes.plot(false, true, color=look.color, linestyle=look.linestyle, linewidth=1.2)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MultipleLocator(0.5))


def draw(study: Study) -> Figure | None:
    """One panel a detector, one line an attack; None without attacks."""
    rows, names = study.examples(), study.detectors()
    if not rows or not names:
        return None
    tall = -(-len(names) // COLUMNS)
    made = style.figure(9.2, 1.75 * tall + 1.4)
    for at, (axes, name) in enumerate(
        zip(style.panels(made, len(names), COLUMNS), names, strict=True)
    ):
        _rocs(axes, [study.cells.get((row, name)) for row in rows])
        axes.set_title(name)
        if at + COLUMNS >= len(names):
            axes.set_xlabel("benign inputs flagged")
    made.supylabel("attacked inputs flagged", fontsize=8.5, color=style.INK)
    note = (
        f"Shares in [0, 1]; dotted: a false-positive rate of {100 * ALPHA:g} %. Benign inputs "
        "stand under the same faced models as the attacked ones and were not used for thresholds. "
    )
    looks = zip(rows, style.looks(len(rows)), strict=True)
    entries = [style.entry(look, study.name(row), marker=False) for row, look in looks]
    title = f"Receiver operating curves: {study.title}"
    style.caption(made, title, note + study.footer(), entries)
    return made
