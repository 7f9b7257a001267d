"""Rates as dots with their intervals: detectors down, several series across each line."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MultipleLocator, PercentFormatter
from numpy.typing import ArrayLike

from evil_twins.bench.analysis.plots import style
from evil_twins.bench.analysis.plots.canvas import canvas
from evil_twins.bench.analysis.plots.style import Design

SPREAD = 0.7
"""The share of a detector's line over which the series are spread."""

_ENDS = ("rate", "low", "high")


def dots(
    axes: Axes,
    detectors: Mapping[str, str],
    series: Mapping[str, Mapping[str, Mapping[str, float]]],
    fpr: float,
) -> None:
    """Draw and record the rates of detectors in several series.

    Args:
        axes: The panel.
        detectors: Detector -> its words, from top to bottom.
        series: Label -> detector -> its rate, low and high in [0, 1]; a detector may be missing,
            and an interval may be NaN. The labels have the looks of the design in this order.
        fpr: The nominal false-positive rate, a dotted line.
    """
    drawn, names = canvas(axes), list(detectors)
    for i, ((label, cells), look) in enumerate(drawn.design.styled(series.items())):
        places = np.flatnonzero([name in cells for name in names])
        y = places + SPREAD * ((i + 0.5) / len(series) - 0.5)
        present = [cells[names[place]] for place in places]
        rate, low, high = (np.array([cell[end] for cell in present]) for end in _ENDS)
        axes.hlines(y, low, high, color=look.color, alpha=0.7)
        axes.plot(*(rate, y), **look.line | {"linestyle": ""}, mec="white", label=label)
        words = [detectors[names[place]] for place in places]
        columns: dict[str, ArrayLike] = {"detector": words, "x": rate, "y": y}
        drawn.record(axes, label, columns | {"low": low, "high": high})
    axes.axvline(fpr, **style.REFERENCE)
    axes.set_yticks(range(len(names)), list(detectors.values()), parse_math=False)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(-0.02, 1.02)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.xaxis.set_major_locator(MultipleLocator(0.25))
    for place in range(1, len(names)):
        axes.axhline(place - 0.5, color=style.FAINT, linewidth=0.5, zorder=0)


def entries(design: Design, labels: Sequence[str]) -> list[Line2D]:
    """Return the legend of the series: a marker and its interval, which has no dashes."""
    return [
        Line2D([], [], **look.line | {"linestyle": "-"}, mec="white", label=name)
        for name, look in design.styled(labels)
    ]
