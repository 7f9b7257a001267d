"""A figure that knows its design and the numbers that it shows."""

from collections.abc import Iterable, Sequence
from io import BytesIO
from textwrap import fill
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from numpy.typing import ArrayLike

from evil_twins.bench.analysis.plots.lettering import LETTER, broken, width_of
from evil_twins.bench.analysis.plots.style import DPI, INK, MUTED, Design

COLUMNS = ["panel", "line", "x", "y", "low", "high"]
"""Columns of the numbers of a figure."""

PANEL = (10.0, 7.5)
"""Width and height of a panel in a paper or a talk with what is around it, in letters."""
NARROWEST = 7.0
"""Smallest width of a panel where the height is limited, in letters."""
HANDLE = 4.4
"""Width of the line of a legend with the space around it, in letters."""


class Canvas(Figure):
    """A figure of matplotlib; a notebook shows it, and whoever has it may change it.

    Attributes:
        design: How it looks.
        words: The explanation of what it shows: title and caption.
    """

    def __init__(self, design: Design, width: float, height: float, *, wide: bool = False) -> None:
        """Make an empty figure.

        Args:
            design: How it looks.
            width: Width in inches, unless the design has another.
            height: Height in inches, unless the design has another.
            wide: Whether it takes both columns of a paper.
        """
        column = design.columns[wide] if design.columns else width
        size = design.width or column, design.height or height
        super().__init__(figsize=size, dpi=DPI, layout="constrained")
        pads = (0.1, 0.08) if design.letters is None else (0.03, 0.03)
        self.get_layout_engine().set(w_pad=pads[0], h_pad=pads[1])  # type: ignore[union-attr, call-arg]
        self.design, self.words = design, ""
        self._names: dict[Axes, str] = {}
        self._records: list[tuple[Axes, str, pd.DataFrame]] = []

    @property
    def numbers(self) -> pd.DataFrame:
        """The numbers that the figure shows: panel, line, x, y, low, high.

        A figure of another kind than lines has further columns; empty columns are skipped.
        """
        parts = [
            numbers.assign(panel=panel or self._names.get(axes, ""))
            for axes, panel, numbers in self._records
        ]
        table = pd.concat([pd.DataFrame(columns=COLUMNS).astype(object), *parts], ignore_index=True)
        return table.infer_objects().dropna(axis="columns", how="all")

    def record(self, axes: Axes, line: str, columns: dict[str, ArrayLike], panel: str = "") -> None:
        """Record what was drawn.

        Args:
            axes: The panel.
            line: Name of the line.
            columns: Its numbers, all of one length.
            panel: Name of the panel, or "" for that of `entitle` or `name_panel`.
        """
        self._records.append((axes, panel, pd.DataFrame({"line": line, **columns})))

    def name_panel(self, axes: Axes, name: str) -> None:
        """Name a panel in the numbers."""
        self._names[axes] = name

    def entitle(self, axes: Axes, title: str) -> None:
        """Give a panel its title, in several lines where it is narrow, and its name."""
        self.name_panel(axes, title)
        grid = axes.get_gridspec()
        across = 1 if grid is None else grid.ncols
        most = self.letters_across(1 / across) - (3 if across == 1 else 5)
        axes.set_title(title if self.design.natural else fill(title, max(8, most)))

    def equalise_letters(self) -> None:
        """Give all texts the letters of the design."""
        if self.design.letters is not None:
            for text in self.findobj(Text):
                assert isinstance(text, Text)
                text.set_fontsize(self.design.letters)

    def savefig(self, *args: Any, **kwargs: Any) -> None:
        """Save the figure as matplotlib does, with the fonts of its design."""
        with self.design.settings():
            super().savefig(*args, **kwargs)

    def _repr_png_(self) -> bytes:
        """Return the image that a notebook shows."""
        stream = BytesIO()
        self.savefig(stream, format="png", dpi=DPI)
        return stream.getvalue()

    def grid(
        self, count: int, columns: int, panel: tuple[float, float] = PANEL, *, share: bool = False
    ) -> list[Axes]:
        """Add panels in rows of at most `columns`.

        Args:
            count: Number of panels.
            columns: Number of columns on a page. A narrower figure has fewer.
            panel: Width and height of a panel with what is around it, in letters.
            share: Whether panels share their axes.
        """
        if not self.design.natural:
            columns = self._columns(count, columns, panel)
            self.heighten(-(-count // columns), panel[1])
        rows = -(-count // columns)
        axes = self.subplots(rows, columns, sharex=share, sharey=share, squeeze=False)
        flat: list[Axes] = list(axes.flat)
        for spare in flat[count:]:
            spare.remove()
        return flat[:count]

    def heighten(self, rows: int, panel: float) -> None:
        """Give the figure the height of rows of panels in letters, where the design has none."""
        if not self.design.natural and self.design.height is None:
            self.set_figheight(self.design.em * (rows * (panel + 1.5) + 2.5))

    def columns_for(self, panel: tuple[float, float], most: int, margin: float) -> int:
        """Return how many panels fit next to each other, at most `most`.

        Args:
            panel: Width and height of a panel in letters.
            most: Their number on a page.
            margin: Width of what is next to them, in letters.
        """
        wide = self.get_figwidth() / self.design.em - margin
        return most if self.design.natural else max(1, min(most, int(wide / panel[0])))

    def _columns(self, count: int, most: int, panel: tuple[float, float]) -> int:
        """Return the number of columns: few enough for the width, enough for the height."""
        wide, most = self.get_figwidth() / self.design.em - 3, max(1, min(most, count))
        columns = min(most, max(1, int(wide / panel[0])))
        if self.design.height is not None:
            high = self.design.height / self.design.em - 5
            while -(-count // columns) * 5.5 > high and columns < most:
                if wide / (columns + 1) < NARROWEST:
                    break
                columns += 1
        return columns

    def panels(
        self, count: int, columns: int, xlabel: str, panel: tuple[float, float] = PANEL
    ) -> list[Axes]:
        """Add small multiples with shared axes, and the label below the lowest of each column."""
        panels = self.grid(count, columns, panel, share=True)
        across = panels[0].get_gridspec().ncols  # type: ignore[union-attr]
        for place, axes in enumerate(panels):
            lowest = place + across >= count
            axes.xaxis.set_tick_params(labelbottom=lowest)
            if lowest:
                axes.set_xlabel(xlabel)
        return panels

    def letters_across(self, share: float = 1.0) -> int:
        """Return how many letters a line across a share of the figure holds."""
        return max(4, int(share * self.get_figwidth() / self.design.em / LETTER))

    def entries(self, names: Iterable[str], *, marker: bool = True) -> list[Line2D]:
        """Return the legend entries of lines under the looks in order."""
        shape: dict[str, Any] = {} if marker else {"marker": ""}
        return [
            Line2D([], [], **look.line | shape, mec="white", label=name)
            for name, look in self.design.styled(names)
        ]

    def caption(self, title: str, text: str, entries: Sequence[Line2D] = ()) -> None:
        """Add title and legend above and, on a page, an explanation below."""
        self.words = f"{title}\n{text}"
        if not self.design.natural:
            self._wrap_labels()
        page = self.design.letters is None
        shown = title if page else broken(title, self.letters_across())
        shown = shown if self.design.title else ""
        if entries:
            self._legend(entries, shown)
        elif shown:
            self.suptitle(shown, x=0.01, ha="left", fontsize=10 if page else None, color=INK)
        if page:
            width = int(self.get_figwidth() * 18)
            self.supxlabel(fill(text, width), x=0.01, ha="left", fontsize=7, color=MUTED)

    def _wrap_labels(self) -> None:
        """Break the labels of axes where they are longer than their panels."""
        high = int(self.get_figheight() / self.design.em / LETTER)
        for axes in self.axes:
            grid = axes.get_gridspec()
            rows, columns = (1, 1) if grid is None else (grid.nrows, grid.ncols)
            across, down = self.letters_across(1 / columns), high // rows
            axes.set_xlabel(broken(axes.get_xlabel(), max(8, across - 4)))
            if axes.yaxis.label.get_rotation():
                axes.set_ylabel(broken(axes.get_ylabel(), max(8, down - 4)))

    def _legend(self, entries: Sequence[Line2D], title: str) -> None:
        page = self.design.letters is None
        across = 3 if self.get_figwidth() > 8 else 2
        if not self.design.natural:
            longest = max(width_of(str(entry.get_label())) for entry in entries)
            across = max(1, int(self.get_figwidth() / self.design.em / (longest + HANDLE)))
        across = min(across, len(entries))
        self.legend(
            handles=list(entries),
            loc="outside upper left",
            ncols=across,
            title=title or None,
            alignment="left",
            title_fontproperties={"size": 10 if page else self.design.letters},
            borderaxespad=0.2,
            columnspacing=2.5 if page else 1.0,
        )
        if not self.design.natural and self.design.height is None:
            lines = -(-len(entries) // across) + title.count("\n") + bool(title)
            self.set_figheight(self.get_figheight() + 1.4 * lines * self.design.em)


def canvas(axes: Axes) -> Canvas:
    """Return the figure of a panel."""
    figure = axes.figure
    assert isinstance(figure, Canvas)
    return figure
