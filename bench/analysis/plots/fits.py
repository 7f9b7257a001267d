"""Whether a figure of a fixed size holds its panels and its text."""

from collections.abc import Iterator
from itertools import combinations

from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from evil_twins.bench.errors import UserError

SLACK = 0.01
"""Inches by which the layout may go beyond the edge."""
SMALLEST = 0.3
"""Smallest width and height of a panel, in inches."""


def check(drawn: Figure) -> None:
    """Check a figure whose layout is done.

    Raises:
        UserError: Text is cut off, two texts overlap, or a panel is too small.
    """
    drawn.draw_without_rendering()
    if reason := _trouble(drawn):
        wide, high = drawn.get_size_inches()
        raise UserError(
            f"the figure does not fit into {wide:.3g} × {high:.3g} inches: {reason}",
            "remedy: another width or height, fewer attacks, detectors or κ, or shorter labels",
        )


def _trouble(drawn: Figure) -> str:
    renderer = FigureCanvasAgg(drawn).get_renderer()
    wide, high = drawn.get_size_inches()
    box = drawn.get_tightbbox(renderer)
    if min(box.x0, box.y0, wide - box.x1, high - box.y1) < -SLACK:
        return "text is cut off"
    for axes in drawn.axes:
        panel = axes.get_window_extent(renderer)
        if min(panel.width, panel.height) < SMALLEST * drawn.dpi:
            return "its panels are too small"
    boxes = [(text, text.get_window_extent(renderer).shrunk(0.98, 0.7)) for text in _texts(drawn)]
    for (text, first), (other, second) in combinations(boxes, 2):
        if first.overlaps(second):
            names = (" ".join(each.get_text().split()) for each in (text, other))
            return "{!r} overlaps {!r}".format(*names)
    return ""


def _texts(drawn: Figure) -> Iterator[Text]:
    """Yield every text that is drawn."""
    texts = [*drawn.texts, *(text for legend in drawn.legends for text in legend.get_texts())]
    texts += [legend.get_title() for legend in drawn.legends]
    for axes in drawn.axes:
        if axes.axison:
            texts += [child for child in axes.get_children() if isinstance(child, Text)]
            texts += [text for axis in (axes.xaxis, axes.yaxis) for text in _of_axis(axis)]
        else:
            texts += axes.texts
    for text in dict.fromkeys(texts):
        if text.get_visible() and text.get_text().strip():
            yield text


def _of_axis(axis: Axis) -> Iterator[Text]:
    """Yield the label of an axis, and those of the ticks within its limits."""
    yield axis.label
    low, high = sorted(axis.get_view_interval())
    for place, text in zip(axis.get_majorticklocs(), axis.get_ticklabels(), strict=False):
        if low <= place <= high:
            yield text
