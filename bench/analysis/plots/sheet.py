"""The image sheet: originals, attacked inputs and their differences."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from evil_twins.bench.analysis.plots import style
from evil_twins.bench.analysis.plots.canvas import Canvas
from evil_twins.bench.analysis.plots.study import Study
from evil_twins.bench.analysis.tables.frames import lines
from evil_twins.bench.errors import UserError

Floats = NDArray[np.float64]
COLUMNS = 8
WIDTH, HEIGHT = 1.16, 1.27
"""Size of a place in the grid, in sides of an image."""
PANEL = (7.5, 7.5)
"""The same in letters, at least."""
MARGIN = 11.0
"""Width of the names of rows in letters."""


def pair(line: dict[str, Any]) -> tuple[Floats, Floats]:
    """Return original and attacked image of a line of the gallery, both (H, W, C) in [0, 1].

    Raises:
        UserError: The bytes are no image of the stated shape.
    """
    # Rounded as the attack had it: in float64 pixels that never moved would differ by rounding.
    original = (_image(line, "original", "u1") / 255).astype(np.float32).astype(np.float64)
    return original, _image(line, "attacked", "<f4")


def _image(line: dict[str, Any], side: str, kind: str) -> Floats:
    try:
        channels, height, width = (int(size) for size in line["shape"].split(","))
        flat = np.frombuffer(line[side], dtype=kind).astype(np.float64)
        image: Floats = flat.reshape(channels, height, width).transpose(1, 2, 0)
        if channels not in (1, 3) or not flat.size or not np.isfinite(flat).all():
            raise ValueError("neither grey nor coloured, or not of numbers")
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"gallery.parquet: the {side} image of {str(line['target_id'])[:60]!r} is damaged",
            "remedy: run the suite again; stored cells are re-used",
        ) from error
    return image


def gain(pairs: Iterable[tuple[Floats, Floats]]) -> int:
    """Return the factor of differences with which the largest just fits around grey."""
    largest = max((float(np.abs(x - original).max()) for original, x in pairs), default=0.0)
    return max(1, int(0.5 / largest)) if largest > 0 else 1


def _show(axes: Axes, across: int, down: int, image: Floats, note: str) -> None:
    """Show an image at its place in the grid, with a note below it."""
    grey = image.shape[2] == 1
    pixels = np.clip(image[:, :, 0] if grey else image, 0, 1)
    x, y = across * WIDTH, -down * HEIGHT
    high, wide = np.divide(image.shape[:2], max(image.shape[:2]))
    extent = (x - wide / 2, x + wide / 2, y - high / 2, y + high / 2)
    cmap = "gray" if grey else None
    axes.imshow(pixels, cmap, vmin=0, vmax=1, interpolation="nearest", extent=extent)
    axes.text(x, y - high / 2 - 0.03, note, ha="center", va="top", fontsize=7, color=style.INK)


def draw(study: Study) -> Canvas | None:
    """Draw targets across; down the original, then each attack with its amplified difference."""
    stored = {(int(line["row"]), line["target_id"]): line for line in lines(study.gallery)}
    rows = [row for row in study.examples(4) if any(key[0] == row for key in stored)]
    drawn = Canvas(study.design, 9.0, 9.0, wide=True)
    most = drawn.columns_for(PANEL, COLUMNS, MARGIN)
    names = sorted({name for row, name in stored if row in rows})[:most]
    names = [name for name in names if all((row, name) in stored for row in rows)]
    if not rows or not names:
        return None
    pairs = {(row, name): pair(stored[row, name]) for row in rows for name in names}
    times, deep = gain(pairs.values()), 1 + 2 * len(rows)
    _resize(drawn, len(names), deep)
    # One pair of axes: drawing takes time for each.
    axes = drawn.subplots()
    axes.set_axis_off()
    axes.set_anchor("E")  # the names of rows are at the left
    for across, name in enumerate(names):
        line = stored[rows[0], name]
        original = pairs[rows[0], name][0]
        _show(axes, across, 0, original, f"{line['label']}, goal {line['goal']}")
        drawn.record(axes, "original x°", {"value": [0.0]}, name)
        for i, row in enumerate(rows):
            original, x = pairs[row, name]
            distance = 255 * float(np.abs(x - original).max())
            drawn.record(axes, study.name(row), {"value": [distance / 255]}, name)
            _show(axes, across, 1 + 2 * i, x, f"seen as {stored[row, name]['predicted']}")
            _show(axes, across, 2 + 2 * i, 0.5 + times * (x - original), f"{distance:.1f}/255")
    axes.set(xlim=(-0.55, WIDTH * (len(names) - 1) + 0.55), ylim=(-HEIGHT * (deep - 1) - 0.7, 0.55))
    _heads(axes, study, rows, times)
    note = (
        "Original x° with its true label and goal class; below it for each attack x* with the "
        f"class the faced model sees, and x* − x° around grey, amplified {times} times, with its "
        "l∞ norm. "
    )
    drawn.caption(f"Images: {study.title}", note + study.footer())
    return drawn


def _resize(drawn: Canvas, across: int, deep: int) -> None:
    """Give the figure the size of its images, where the design has none."""
    design = drawn.design
    if design.natural:
        drawn.set_size_inches(0.95 * across + 1.3, 1.06 * deep + 1.1)
    elif design.height is None:
        side = (drawn.get_figwidth() - MARGIN * design.em) / (WIDTH * across)
        drawn.set_figheight(HEIGHT * deep * side + 2 * design.em)


def _heads(axes: Axes, study: Study, rows: list[int], times: int) -> None:
    heads = ["original x°"]
    for row in rows:
        heads += [study.name(row).replace(" κ", "\nκ"), f"difference\n× {times}"]
    for down, head in enumerate(heads):
        axes.text(-0.6, -down * HEIGHT, head, ha="right", va="center", fontsize=7.5)
