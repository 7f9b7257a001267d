"""ROC curves of every detector."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MultipleLocator
from sklearn.metrics import roc_curve

from evil_twins.bench.analysis.plots import style
from evil_twins.bench.analysis.plots.canvas import Canvas, canvas
from evil_twins.bench.analysis.plots.study import Study
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.decisions import Cell

COLUMNS = 4


def _panel(axes: Axes, cells: dict[str, Cell | None], fpr: float) -> None:
    drawn = canvas(axes)
    axes.plot([0, 1], [0, 1], color=style.FAINT, linewidth=0.8, zorder=0)
    axes.axvline(fpr, **style.REFERENCE)
    for (name, cell), look in drawn.design.styled(cells.items()):
        if cell is None or not len(cell.score) or not len(cell.fresh.score):
            continue
        pooled = np.concatenate([cell.score, cell.fresh.score])
        ranks = np.unique(pooled, return_inverse=True)[1]  # finite, also for infinite scores
        truth = np.repeat([1, 0], [len(cell.score), len(cell.fresh.score)])
        false, true, _ = roc_curve(truth, ranks)
        shape = look.line | {"marker": ""}
        if drawn.design.letters is None:
            shape["linewidth"] = 1.2
        axes.plot(*(false, true), **shape, label=name)
        drawn.record(axes, name, {"x": false, "y": true})
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MultipleLocator(0.5))


def draw(study: Study) -> Canvas | None:
    """Draw one panel per detector, one line per attack; None without attacks."""
    rows, names = study.examples(), study.detectors
    if not rows or not names:
        return None
    drawn = Canvas(study.design, 9.2, 1.75 * -(-len(names) // COLUMNS) + 1.4)
    panels = drawn.panels(len(names), COLUMNS, "benign inputs flagged")
    for axes, name in zip(panels, names, strict=True):
        _panel(axes, {study.name(row): study.cell(row, name) for row in rows}, study.fpr)
        drawn.entitle(axes, study.detector(name))
    drawn.supylabel("attacked inputs flagged", fontsize=8.5, color=style.INK)
    note = (
        f"Shares in [0, 1]; dotted: a false-positive rate of {text.percent(study.fpr)}. Benign "
        "inputs face the same faced models as the attacked ones and were not used for "
        "thresholds. "
    ) + study.footer()
    entries = drawn.entries((study.name(row) for row in rows), marker=False)
    drawn.caption(f"Receiver operating curves: {study.title}", note, entries)
    return drawn
