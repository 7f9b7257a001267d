"""Files of figures: SVG, PNG and PDF, and CSV and text of what they show."""

import warnings
from collections.abc import Callable, Iterator
from io import BytesIO

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from evil_twins.bench import printable
from evil_twins.bench.analysis.plots import fits
from evil_twins.bench.analysis.plots.canvas import Canvas
from evil_twins.bench.analysis.plots.literal import write_literally
from evil_twins.bench.analysis.plots.style import DPI
from evil_twins.bench.analysis.tables.write import csv

CLOUD = 2000
"""Most markers of a cloud of points that a vector file draws one by one."""
PRINT_DPI = 600
"""Dots in an inch of what is no vector in a paper or a talk."""


def svg(drawn: Figure) -> bytes:
    """Return a figure as SVG, without a date."""
    _lay_out(drawn)
    stream = BytesIO()
    FigureCanvasSVG(drawn).print_svg(stream, metadata={"Date": None})
    return stream.getvalue()


def png(drawn: Figure) -> bytes:
    """Return a figure as PNG, without a date."""
    _lay_out(drawn)
    drawn.set_dpi(DPI if _on_page(drawn) else PRINT_DPI)  # `print_svg` leaves another value
    stream = BytesIO()
    FigureCanvasAgg(drawn).print_png(stream, metadata={"Software": None})
    return stream.getvalue()


def pdf(drawn: Figure) -> bytes:
    """Return a figure as PDF, without a date; its fonts are embedded as TrueType."""
    _lay_out(drawn)
    stream = BytesIO()
    metadata = {"Creator": None, "Producer": None, "CreationDate": None}
    drawn.set_dpi(72)
    FigureCanvasPdf(drawn).print_pdf(stream, metadata=metadata)
    return stream.getvalue()


def numbers(drawn: Figure) -> bytes:
    """Return the numbers that a figure shows as CSV."""
    assert isinstance(drawn, Canvas)
    return csv(drawn.numbers)


def words(drawn: Figure) -> bytes:
    """Return title and explanation of a figure as text."""
    assert isinstance(drawn, Canvas)
    return f"{printable.lines(drawn.words)}\n".encode()


IMAGES: dict[str, Callable[[Figure], bytes]] = {"svg": svg, "png": png, "pdf": pdf}
"""Formats of a figure: ending of its file -> its content."""
FORMATS = {"svg": svg, "png": png, "csv": numbers}
"""The same of the files in the folder of a suite."""


def _on_page(drawn: Figure) -> bool:
    return not isinstance(drawn, Canvas) or drawn.design.letters is None


def _lay_out(drawn: Figure) -> None:
    """Place everything once: it costs more than drawing."""
    write_literally(drawn)
    engine = drawn.get_layout_engine()
    if not isinstance(engine, ConstrainedLayoutEngine):
        return
    for cloud in _clouds(drawn):
        cloud.set_rasterized(True)
    natural = not isinstance(drawn, Canvas) or drawn.design.natural
    with warnings.catch_warnings(record=not natural, action="always"):  # `fits` states the reason
        engine.execute(drawn)
    wide, high = drawn.get_size_inches()
    box = drawn.get_tightbbox(FigureCanvasAgg(drawn).get_renderer())
    over = max(box.x1 - wide, -box.x0, 0.0)
    if over > 0 and natural:  # long names: no text is cut off
        drawn.set_size_inches(wide + over + 0.1, high)
        engine.execute(drawn)
    drawn.set_layout_engine("none")
    if not natural:
        fits.check(drawn)


def _clouds(drawn: Figure) -> Iterator[Line2D | PathCollection]:
    """Yield the artists with many markers that no line joins."""
    for line in drawn.findobj(Line2D):
        assert isinstance(line, Line2D)
        bare = line.get_linestyle() == "None" and line.get_marker() not in ("", "None", None)
        if bare and len(line.get_xydata()) > CLOUD:  # type: ignore[arg-type]
            yield line
    for points in drawn.findobj(PathCollection):
        assert isinstance(points, PathCollection)
        if len(points.get_offsets()) > CLOUD:  # type: ignore[arg-type]
            yield points
