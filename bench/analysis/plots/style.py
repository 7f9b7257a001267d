"""The look of all figures: calm, readable in grey, equal bytes for equal records."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import cycle
from textwrap import fill
from typing import Any, Literal, TypeVar

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from evil_twins.bench.analysis.plots.literal import write_literally

Item = TypeVar("Item")
INK, MUTED, GREY, FAINT = "#222222", "#6f6f6f", "#b3b3b3", "#d9d9d9"
GROUPS = ("manifold", "smoothing", "curvature", "confidence")
DPI = 160
REFERENCE: dict[str, Any] = {
    "color": MUTED,
    "linewidth": 0.8,
    "linestyle": (0, (2, 2)),
    "zorder": 0,
}
"""The style of dotted lines behind the data."""


@dataclass(frozen=True)
class Look:
    """The style of one line; dash and marker distinguish it without its colour."""

    color: str
    dash: tuple[float, ...]
    marker: str

    @property
    def linestyle(self) -> Literal["-"] | tuple[float, tuple[float, ...]]:
        """The dash in matplotlib's form."""
        return (0, self.dash) if self.dash else "-"

    @property
    def line(self) -> dict[str, Any]:
        """Arguments of `Axes.plot`."""
        return {"color": self.color, "linestyle": self.linestyle, "marker": self.marker}


# Dark to light and back, so that neighbours differ in grey as well.
LOOKS = (
    Look("#1b3a6b", (), "o"),
    Look("#d1603d", (5, 1.5), "s"),
    Look("#2a8c82", (1.2, 1.2), "^"),
    Look("#8a4f9e", (6, 1.5, 1.2, 1.5), "D"),
    Look("#c79a2b", (3, 1), "v"),
    Look("#7f7f7f", (8, 2), "p"),
)


def styled(items: Iterable[Item]) -> Iterator[tuple[Item, Look]]:
    """Yield each item with its look; looks repeat after six."""
    return zip(items, cycle(LOOKS), strict=False)


@contextmanager
def look() -> Iterator[None]:
    """Apply the settings of all figures, and undo them on leaving."""
    settings = {
        **sns.axes_style("ticks"),
        **sns.plotting_context("paper", font_scale=0.9),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": MUTED,
        "axes.labelcolor": INK,
        "axes.linewidth": 0.7,
        "axes.titlesize": 8.5,
        "axes.titlelocation": "left",
        "axes.titlepad": 5.0,
        "axes.titley": 1.0,  # fixed: to place titles above ticks takes a pass over all ticks
        "font.family": ["DejaVu Sans"],
        "image.composite_image": False,
        "lines.linewidth": 1.3,
        "lines.markersize": 4.0,
        "legend.frameon": False,
        "legend.handlelength": 3.2,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "svg.hashsalt": "evil-twins",
        "svg.fonttype": "path",
    }
    with mpl.rc_context(settings):
        yield


def figure(width: float, height: float) -> Figure:
    """Return an empty figure; sizes in inches."""
    empty = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    empty.get_layout_engine().set(w_pad=0.1, h_pad=0.08)  # type: ignore[union-attr, call-arg]
    return empty


def panels(parent: Figure, count: int, columns: int, xlabel: str) -> list[Axes]:
    """Add small multiples with shared axes, and the label below the lowest of each column."""
    rows = -(-count // columns)
    grid = parent.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    flat: list[Axes] = list(grid.flat)
    for axes in flat[count:]:
        axes.remove()
    for place, axes in enumerate(flat[:count]):
        lowest = place + columns >= count
        axes.xaxis.set_tick_params(labelbottom=lowest)
        if lowest:
            axes.set_xlabel(xlabel)
    return flat[:count]


def curve(
    axes: Axes, x: ArrayLike, y: ArrayLike, band: tuple[ArrayLike, ArrayLike], look: Look
) -> None:
    """Draw a line with the band of its intervals, in the order of x."""
    order = np.argsort(np.asarray(x), kind="stable")
    x, y, low, high = (np.asarray(values)[order] for values in (x, y, *band))
    axes.fill_between(x, low, high, color=look.color, alpha=0.13, linewidth=0)
    axes.plot(*(x, y), **look.line, mec="white")


def entries(names: Iterable[str], *, marker: bool = True) -> list[Line2D]:
    """Return the legend entries of lines under the looks in order."""
    shape: dict[str, Any] = {} if marker else {"marker": ""}
    return [
        Line2D([], [], **look.line | shape, mec="white", label=name) for name, look in styled(names)
    ]


def further(count: int, shown: int, noun: str) -> str:
    """Return the sentence about lines that the figure does not show, or nothing."""
    return f" {count - shown} further {noun}." if count > shown else ""


def caption(parent: Figure, title: str, text: str, entries: Sequence[Line2D] = ()) -> None:
    """Add title and legend above and an explanation below, within the figure."""
    if entries:
        parent.legend(
            handles=list(entries),
            loc="outside upper left",
            ncols=min(3 if parent.get_figwidth() > 8 else 2, len(entries)),
            title=title,
            alignment="left",
            title_fontproperties={"size": 10},
            borderaxespad=0.2,
            columnspacing=2.5,
        )
    else:
        parent.suptitle(title, x=0.01, ha="left", fontsize=10, color=INK)
    width = int(parent.get_figwidth() * 18)
    parent.supxlabel(fill(text, width), x=0.01, ha="left", fontsize=7, color=MUTED)


def svg(drawn: Figure) -> bytes:
    """Return a figure as SVG, without a date."""
    _lay_out(drawn)
    stream = BytesIO()
    FigureCanvasSVG(drawn).print_svg(stream, metadata={"Date": None})
    return stream.getvalue()


def png(drawn: Figure) -> bytes:
    """Return a figure as PNG, without a date."""
    _lay_out(drawn)
    drawn.set_dpi(DPI)  # `print_svg` leaves another value
    stream = BytesIO()
    FigureCanvasAgg(drawn).print_png(stream, metadata={"Software": None})
    return stream.getvalue()


def _lay_out(drawn: Figure) -> None:
    """Place everything once: it costs more than drawing."""
    write_literally(drawn)
    engine = drawn.get_layout_engine()
    if not isinstance(engine, ConstrainedLayoutEngine):
        return
    engine.execute(drawn)
    wide, high = drawn.get_size_inches()
    box = drawn.get_tightbbox(FigureCanvasAgg(drawn).get_renderer())
    if (over := max(box.x1 - wide, -box.x0, 0.0)) > 0:  # long names: no text is cut off
        drawn.set_size_inches(wide + over + 0.1, high)
        engine.execute(drawn)
    drawn.set_layout_engine("none")


def detector_order(names: Iterable[str]) -> list[str]:
    """Sort detectors by group, with the OR of all at the end."""

    def place(name: str) -> tuple[int, str]:
        if name == "any":
            return len(GROUPS) + 1, name
        group = [i for i, head in enumerate(GROUPS) if name.startswith(head)]
        return (group[0] if group else len(GROUPS)), name

    return sorted(set(names), key=place)
