"""The image sheet: originals, attacked inputs and what was added."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from evil_twins.bench.analysis.plots import style
from evil_twins.bench.analysis.plots.study import Study
from evil_twins.bench.analysis.tables.frames import lines
from evil_twins.bench.errors import UserError

Floats = NDArray[np.float64]
MOST = 8


def pair(one: dict[str, Any]) -> tuple[Floats, Floats]:
    """Original and attacked image of a line of the gallery, both (H, W, C) in [0, 1].

    Raises:
        UserError: The bytes are no image of the shape that is said.
    """
    # As the attack had it: in float64 what was never moved would differ by rounding.
    original = (_image(one, "original", "u1") / 255).astype(np.float32).astype(np.float64)
    return original, _image(one, "attacked", "<f4")


def _image(one: dict[str, Any], side: str, kind: str) -> Floats:
    try:
        channels, height, width = (int(part) for part in one["shape"].split(","))
        flat = np.frombuffer(one[side], dtype=kind).astype(np.float64)
        image: Floats = flat.reshape(channels, height, width).transpose(1, 2, 0)
        if channels not in (1, 3) or not flat.size or not np.isfinite(flat).all():
            raise ValueError("neither grey nor coloured, or not of numbers")
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"gallery.parquet: the {side} image of {str(one['target_id'])[:60]!r} is damaged\n"
            "remedy: run the suite again; stored cells are re-used"
        ) from error
    return image


def gain(pairs: Iterable[tuple[Floats, Floats]]) -> int:
    """How many times differences are amplified, so that the largest just fits around grey."""
    largest = max((float(np.abs(x - original).max()) for original, x in pairs), default=0.0)
    return max(1, int(0.5 / largest)) if largest > 0 else 1


def _show(axes: Axes, image: Floats, note: str) -> None:
    grey = image.shape[2] == 1
    shown = np.clip(image[:, :, 0] if grey else image, 0, 1)
    axes.imshow(shown, cmap="gray" if grey else None, vmin=0, vmax=1, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.set_xlabel(note, fontsize=7, labelpad=2, color=style.INK)


def draw(study: Study) -> Figure | None:
    """Targets across; the original, then each attack with its amplified difference below."""
    stored = {(int(one["row"]), one["target_id"]): one for one in lines(study.gallery)}
    rows = [row for row in study.examples(4) if any(key[0] == row for key in stored)]
    names = sorted({name for row, name in stored if row in rows})[:MOST]
    names = [name for name in names if all((row, name) in stored for row in rows)]
    if not rows or not names:
        return None
    pairs = {key: pair(one) for key, one in stored.items() if key[0] in rows and key[1] in names}
    times = gain(pairs.values())
    made = style.figure(0.95 * len(names) + 1.3, 1.06 * (1 + 2 * len(rows)) + 1.1)
    grid = made.subplots(1 + 2 * len(rows), len(names), squeeze=False)
    for at, name in enumerate(names):
        one = stored[rows[0], name]
        _show(grid[0][at], pairs[rows[0], name][0], f"{one['label']}, goal {one['goal']}")
        for down, row in enumerate(rows):
            original, x = pairs[row, name]
            distance = 255 * float(np.abs(x - original).max())
            _show(grid[1 + 2 * down][at], x, f"seen as {stored[row, name]['predicted']}")
            _show(grid[2 + 2 * down][at], 0.5 + times * (x - original), f"{distance:.1f}/255")
    _heads(study, grid[:, 0], rows, times)
    note = (
        "Original x° with its true label and goal class; below it for each attack x* with the "
        f"class the faced model sees, and x* − x° around grey, amplified {times} times, with its "
        "l∞ norm. "
    )
    style.caption(made, f"Images: {study.title}", note + study.footer())
    return made


def _heads(study: Study, column: NDArray[np.object_], rows: list[int], times: int) -> None:
    heads = ["original x°"]
    for row in rows:
        heads += [study.name(row).replace(" κ", "\nκ"), f"difference\n× {times}"]
    for axes, head in zip(column, heads, strict=True):
        axes.set_ylabel(head, rotation=0, ha="right", va="center", fontsize=7.5)
