"""Attacked against benign scores."""

from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import NDArray

from evil_twins.bench.analysis.plots import style
from evil_twins.bench.analysis.plots.canvas import Canvas, canvas
from evil_twins.bench.analysis.plots.lettering import LETTER
from evil_twins.bench.analysis.plots.study import Study
from evil_twins.bench.analysis.tables.decisions import Cell
from evil_twins.bench.analysis.tables.frames import lines

Floats = NDArray[np.float64]
HEAVY = 200.0
"""Ratio of the outer quantiles above which a positive score is drawn on a log axis."""
NAME_WIDTH = 24
HEAD_WIDTH = 30
"""Characters of a line of a detector's and of an attack's name."""
PANEL = (10.3, 6.5)
"""Width and height of a panel in letters."""
MARGIN = 8.0
"""Width of the names of detectors in letters."""
_NOTE = (
    "Scores (higher = more suspicious, own scale a detector, 0.5 % at either end drawn at the "
    "edge): benign inputs under the same faced models grey, attacked inputs as a line. KS "
    "compares equally many of both; null: its mean to its 95th percentile under shuffled "
    "labels; printed dark where KS exceeds it. "
)


def _range(values: list[Floats]) -> tuple[float, float, bool]:
    """Return the common limits of a detector's panels, and whether their axis is logarithmic."""
    pooled = np.concatenate(values or [np.empty(0)])
    pooled = pooled[np.isfinite(pooled)]
    if not len(pooled):
        return 0.0, 1.0, False
    low, high = (float(q) for q in np.quantile(pooled, [0.005, 0.995]))
    if low == high:
        return low - 0.5, high + 0.5, False
    heavy = bool(pooled.min() > 0 and high / low > HEAVY)
    pad = 0.0 if heavy else 0.02 * (high - low)
    return low - pad, high + pad, heavy


def _histograms(axes: Axes, panel: str, cell: Cell, limits: tuple[float, float, bool]) -> None:
    drawn = canvas(axes)
    low, high, heavy = limits
    edges = np.geomspace(low, high, 21) if heavy else np.linspace(low, high, 21)
    if heavy:
        axes.set_xscale("log")
    for score, filled in ((cell.fresh.score, True), (cell.score, False)):
        share = np.histogram(np.clip(score, low, high), edges)[0] / len(score)
        color = "#c4c4c4" if filled else drawn.design.looks[0].color
        axes.stairs(share, edges, fill=filled, color=color, linewidth=0 if filled else 1.1)
        line = "benign" if filled else "attacked"
        drawn.record(axes, line, {"x": edges[:-1], "x_end": edges[1:], "y": share}, panel)
    axes.set_ylim(bottom=0)
    axes.set(xlabel="", ylabel="", xlim=(low, high))
    axes.yaxis.set_major_locator(NullLocator())
    axes.spines["left"].set_visible(False)
    if not heavy:
        axes.xaxis.set_major_locator(MaxNLocator(3))


def _head(name: str, width: int) -> str:
    """Write a row in lines of this width, κ and φ in one of them."""
    if len(name) <= width:
        return name
    return "\n".join(fill(part, width) for part in name.replace(" κ", "\nκ", 1).split("\n"))


def draw(study: Study) -> Canvas | None:
    """Draw detectors down, attacks across, KS and its null in each panel; None without scores."""
    names = study.detectors
    drawn = Canvas(study.design, 9.4, 0.92 * len(names) + 1.5)
    rows = study.examples(drawn.columns_for(PANEL, 4, MARGIN))
    if study.design.natural:
        drawn.set_figwidth(2.1 * len(rows) + 1.0)
    if not rows or not names:
        return None
    facts = {(int(line["row"]), line["detector"]): line for line in lines(study.detection)}
    grid = drawn.subplots(len(names), len(rows), squeeze=False, sharey=False)
    drawn.heighten(len(names), PANEL[1])
    wide = NAME_WIDTH if study.design.letters is None else int(MARGIN / LETTER)
    for name, across in zip(names, grid, strict=True):
        cells = [study.cell(row, name) for row in rows]
        limits = _range([s for cell in cells if cell for s in (cell.score, cell.fresh.score)])
        for row, cell, axes in zip(rows, cells, across, strict=True):
            if cell is None or not len(cell.fresh.score):
                axes.axis("off")
                continue
            _histograms(axes, f"{study.detector(name)}, {study.name(row)}", cell, limits)
            fact = facts[row, name]
            null = f"null {fact['ks_null']:.2f} to {fact['ks_null95']:.2f}"
            axes.set_title(
                f"KS {fact['ks']:.2f}," + ("  " if study.design.letters is None else "\n") + null,
                fontsize=6.5,
                color=style.INK if fact["ks"] > fact["ks_null95"] else style.MUTED,
                pad=2,
            )
        parts = study.detector(name).replace("-", "-\n", 1).split("\n")
        words = "\n".join(fill(part, wide) for part in parts)
        across[0].set_ylabel(words, rotation=0, ha="right", va="center", fontsize=7.5)
    place = {"xycoords": "axes fraction", "textcoords": "offset points", "fontsize": 8.5}
    page, letters = study.design.letters is None, study.design.letters or 0
    across, up = (HEAD_WIDTH, 17) if page else (int(PANEL[0] / LETTER), 3 * letters)
    for row, axes in zip(rows, grid[0], strict=True):
        axes.annotate(_head(study.name(row), across), (0, 1), (0, up), **place)
    drawn.caption(f"Benign and attacked scores: {study.title}", _NOTE + study.footer())
    return drawn
