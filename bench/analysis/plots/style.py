"""The look of all figures: calm, readable in grey, equal bytes for equal records."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import cycle
from typing import Any, Literal, TypeVar

import matplotlib as mpl
import seaborn as sns
from matplotlib.colors import to_hex

from evil_twins.bench.analysis.plots.labels import Labels
from evil_twins.bench.errors import UserError, unknown

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

PALETTES = (
    *("deep", "muted", "bright", "pastel", "dark", "colorblind"),
    *("Set1", "Set2", "Set3", "Dark2", "Paired", "Accent", "tab10"),
    *("rocket", "mako", "flare", "crest", "viridis", "cividis", "cubehelix", "husl", "hls"),
)
"""Palettes of seaborn that a message lists; it knows more."""

STYLES: dict[str, tuple[float | None, tuple[float, float] | None]] = {
    "page": (None, None),
    "paper": (8.0, (3.3, 6.9)),
    "talk": (16.0, (10.0, 12.0)),
}
"""Style -> points of all letters, and width in inches of a figure and of a wide one; None: each has
its own."""

WIDEST = 40.0
"""Largest width and height of a figure, in inches."""


@dataclass(frozen=True)
class Design:
    """How figures look.

    Attributes:
        style: "page" for the page and the screen, with an explanation below each figure; "paper"
            for a column of a paper; "talk" for a slide.
        width: Width in inches, or None for that of the style.
        height: Height in inches, or None for what the panels need.
        title: Whether the figure has a title.
        palette: A palette of seaborn; empty: the default one, which is safe for colour-blind
            readers. Dashes and markers stay.
        labels: Words in place of labels.

    Raises:
        UserError: There is no such style or palette, or a size is no size.
    """

    style: str = "page"
    width: float | None = None
    height: float | None = None
    title: bool = True
    palette: str = ""
    labels: Labels = field(default_factory=Labels)

    def __post_init__(self) -> None:
        if self.style not in STYLES:
            raise unknown("style of figures", self.style, STYLES)
        for name in ("width", "height"):
            size = getattr(self, name)
            if size is not None and not 0.5 <= size <= WIDEST:
                raise UserError(
                    f"{name} {size:g} is no {name} of a figure",
                    f"expected: 0.5 to {WIDEST:g} inches",
                )
        _ = self.looks

    @property
    def natural(self) -> bool:
        """Whether each figure has its own size."""
        return self.style == "page" and self.width is None and self.height is None

    @property
    def columns(self) -> tuple[float, float] | None:
        """Width in inches of a figure and of a wide one; None: each figure has its own."""
        return STYLES[self.style][1]

    @property
    def step(self) -> float:
        """The distance between two ticks on an axis of shares."""
        return 0.25 if self.natural else 0.5

    @property
    def letters(self) -> float | None:
        """Points of all letters; None: each text has its own."""
        return STYLES[self.style][0]

    @property
    def em(self) -> float:
        """The size of letters in inches."""
        return (self.letters or 7.5) / 72

    @cached_property
    def looks(self) -> tuple[Look, ...]:
        """The looks of lines, in order."""
        if not self.palette:
            return LOOKS
        try:
            colors = sns.color_palette(self.palette, len(LOOKS))
        except ValueError as error:
            raise unknown("palette", self.palette, PALETTES) from error
        return tuple(
            Look(to_hex(color), look.dash, look.marker)
            for color, look in zip(colors, LOOKS, strict=True)
        )

    def styled(self, items: Iterable[Item]) -> Iterator[tuple[Item, Look]]:
        """Yield each item with its look; looks repeat after six."""
        return zip(items, cycle(self.looks), strict=False)

    @contextmanager
    def settings(self) -> Iterator[None]:
        """Apply the settings of figures, and undo them on leaving."""
        settings: Any = _PAGE if self.letters is None else _scaled(self.letters)
        with mpl.rc_context(settings):
            yield


PAGE = Design()

_PAGE = {
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
    "pdf.fonttype": 42,  # TrueType: publishers refuse the default
    "ps.fonttype": 42,
}


def _scaled(letters: float) -> dict[str, Any]:
    """Return settings in which all letters have one size, and lines go with it."""
    unit = letters / 8
    sizes = (
        *("font.size", "axes.titlesize", "axes.labelsize", "legend.fontsize"),
        *("legend.title_fontsize", "figure.titlesize", "figure.labelsize"),
    )
    ticks = {
        f"{axis}tick.{name}": size
        for axis in "xy"
        for name, size in {
            "labelsize": letters,
            "labelcolor": INK,
            "major.size": 2.2 * unit,
            "major.width": 0.6 * unit,
            "major.pad": 2.0 * unit,
            "minor.size": 1.4 * unit,
            "minor.width": 0.4 * unit,
        }.items()
    }
    lines = {
        "axes.linewidth": 0.6 * unit,
        "axes.titlepad": 2.5 * unit,
        "axes.labelpad": 2.0 * unit,
        "lines.linewidth": 1.1 * unit,
        "lines.markersize": 3.8 * unit,
        "lines.markeredgewidth": 0.5 * unit,
        "legend.handlelength": 2.6,
        "legend.handletextpad": 0.5,
        "legend.labelspacing": 0.3,
    }
    return _PAGE | dict.fromkeys(sizes, letters) | ticks | lines


def detector_order(names: Iterable[str]) -> list[str]:
    """Sort detectors by group, with the OR of all at the end."""

    def place(name: str) -> tuple[int, str]:
        if name == "any":
            return len(GROUPS) + 1, name
        group = [i for i, head in enumerate(GROUPS) if name.startswith(head)]
        return (group[0] if group else len(GROUPS)), name

    return sorted(set(names), key=place)


def further(count: int, shown: int, noun: str) -> str:
    """Return the sentence about lines that the figure does not show, or nothing."""
    return f" {count - shown} further {noun}." if count > shown else ""
