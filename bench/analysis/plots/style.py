"""The look of all figures: calm, readable in grey, the same bytes for the same records."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from textwrap import fill
from typing import Literal

import matplotlib as mpl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

INK, MUTED, GREY, FAINT = "#222222", "#6f6f6f", "#b3b3b3", "#d9d9d9"
GROUPS = ("manifold", "smoothing", "curvature", "confidence")


@dataclass(frozen=True)
class Look:
    """How one line is told from others without its colour: dash and marker go with it."""

    color: str
    dash: tuple[float, ...]
    marker: str

    @property
    def linestyle(self) -> Literal["-"] | tuple[float, tuple[float, ...]]:
        """The dash in matplotlib's form."""
        return (0, self.dash) if self.dash else "-"


# Dark to light and back, so that neighbours differ in grey as well.
LOOKS = (
    Look("#1b3a6b", (), "o"),
    Look("#d1603d", (5, 1.5), "s"),
    Look("#2a8c82", (1.2, 1.2), "^"),
    Look("#8a4f9e", (6, 1.5, 1.2, 1.5), "D"),
    Look("#c79a2b", (3, 1), "v"),
    Look("#7f7f7f", (8, 2), "p"),
)


def looks(count: int) -> list[Look]:
    """As many looks as asked for; after six they repeat."""
    return [LOOKS[i % len(LOOKS)] for i in range(count)]


@contextmanager
def look() -> Iterator[None]:
    """Settings of all figures, undone on leaving."""
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
        "font.family": ["DejaVu Sans"],
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
    """An empty figure; sizes in inches."""
    made = Figure(figsize=(width, height), layout="constrained")
    made.get_layout_engine().set(w_pad=0.06, h_pad=0.05)  # type: ignore[union-attr, call-arg]
    return made


def panels(made: Figure, count: int, columns: int) -> list[Axes]:
    """Small multiples with shared axes; places that stay empty are taken away."""
    rows = -(-count // columns)
    grid = made.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    flat: list[Axes] = list(grid.flat)
    for axes in flat[count:]:
        axes.remove()
    for place, axes in enumerate(flat[:count]):
        axes.xaxis.set_tick_params(labelbottom=place + columns >= count)
    return flat[:count]


def entry(one: Look, name: str, *, marker: bool = True) -> Line2D:
    """A legend entry."""
    return Line2D(
        *([], []),
        color=one.color,
        linestyle=one.linestyle,
        marker=one.marker if marker else "",
        mec="white",
        label=name,
    )


def caption(made: Figure, title: str, text: str, entries: Sequence[Line2D] = ()) -> None:
    """Title and legend above, an explanation below, within the figure."""
    if entries:
        made.legend(
            handles=list(entries),
            loc="outside upper left",
            ncols=min(3 if made.get_figwidth() > 8 else 2, len(entries)),
            title=title,
            alignment="left",
            title_fontproperties={"size": 10},
            borderaxespad=0.2,
            columnspacing=2.5,
        )
    else:
        made.suptitle(title, x=0.01, ha="left", fontsize=10, color=INK)
    width = int(made.get_figwidth() * 18)
    made.supxlabel(fill(text, width), x=0.01, ha="left", fontsize=7, color=MUTED)


def save(made: Figure, directory: Path, name: str) -> list[Path]:
    """The figure as SVG and PNG, without dates."""
    paths = [directory / f"{name}.svg", directory / f"{name}.png"]
    paths[0].write_bytes(svg(made))
    _write(made, paths[1], {"Software": None})
    return paths


def svg(made: Figure) -> bytes:
    """The figure as SVG, the bytes that `save` writes."""
    # Laid out once: it costs more than drawing, and a PNG drawn later then agrees.
    made.draw_without_rendering()
    made.set_layout_engine("none")
    stream = BytesIO()
    _write(made, stream, {"Date": None}, "svg")
    return stream.getvalue()


def _write(
    made: Figure, into: Path | BytesIO, facts: dict[str, None], kind: str | None = None
) -> None:
    # Long names may reach beyond the margin; nothing of them is cut.
    made.savefig(into, format=kind, dpi=160, bbox_inches="tight", pad_inches=0.1, metadata=facts)


def detector_order(names: Sequence[str]) -> list[str]:
    """Detectors by group, the OR of all at the end."""

    def place(name: str) -> tuple[int, str]:
        if name == "any":
            return len(GROUPS) + 1, name
        group = [i for i, head in enumerate(GROUPS) if name.startswith(head)]
        return (group[0] if group else len(GROUPS)), name

    return sorted(set(names), key=place)
