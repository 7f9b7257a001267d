"""Lines with the bands of their intervals."""

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from evil_twins.bench.analysis.plots.canvas import canvas
from evil_twins.bench.analysis.plots.style import Look


def curve(
    axes: Axes,
    name: str,
    x: ArrayLike,
    y: ArrayLike,
    band: tuple[ArrayLike, ArrayLike],
    look: Look,
) -> None:
    """Draw a line with the band of its intervals, in the order of x."""
    order = np.argsort(np.asarray(x), kind="stable")
    x, y, low, high = (np.asarray(values)[order] for values in (x, y, *band))
    axes.fill_between(x, low, high, color=look.color, alpha=0.13, linewidth=0)
    axes.plot(*(x, y), **look.line, mec="white", label=name)
    canvas(axes).record(axes, name, {"x": x, "y": y, "low": low, "high": high})
