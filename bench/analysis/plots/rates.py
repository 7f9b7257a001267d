"""The rate of each detector on each attack, with its interval."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from evil_twins.bench.analysis.plots import style
from evil_twins.bench.analysis.plots.canvas import Canvas
from evil_twins.bench.analysis.plots.dots import dots, entries
from evil_twins.bench.analysis.plots.study import Study
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.any_of import NEEDS
from evil_twins.bench.analysis.tables.frames import line, lines

ATTACKS = 6
WIDTH = 20.0
"""Width of a panel in letters."""

ByPlace = dict[tuple[int, str], dict[str, float]]


def _grids(study: Study) -> Iterator[tuple[str, list[int]]]:
    """Yield the words of each κ and the numbers of its attacks that have a rate, in order."""
    rows = study.choice.lines(study.rows)
    rated = study.detection.dropna(subset=["rate"])
    rows = rows[rows["role"].eq("attack") & rows.index.isin(rated["row"])]
    for kappa, group in rows.groupby("kappa", dropna=False, sort=True):
        words = "no κ" if pd.isna(kappa) else f"κ {text.level(float(str(kappa)))}"
        yield words, text.ordered(group)


def _panel(
    axes: Axes, study: Study, rows: list[int], names: list[str], rates: ByPlace, shown: list[str]
) -> None:
    numbers = {_attack(study, row): row for row in rows}
    places = {label: numbers.get(label, -1) for label in shown}
    series = {
        label: {name: rates[row, name] for name in names if (row, name) in rates}
        for label, row in places.items()
    }
    dots(axes, {name: study.detector(name) for name in names}, series, study.fpr)


def _attack(study: Study, row: int) -> str:
    """Return a row in words without κ, which the panel has."""
    return study.attack(line(study.rows, row) | {"kappa": float("nan")})


def draw(study: Study) -> Canvas | None:
    """Draw a panel for each κ: detectors down, rates across; None without rates."""
    grids = list(_grids(study))
    table = study.detection.dropna(subset=["rate"])
    rates: ByPlace = {(int(cell["row"]), cell["detector"]): cell for cell in lines(table)}
    names = style.detector_order(table["detector"].astype(str))
    if not grids or not names:
        return None
    # Panels share one legend: an attack has one look under every κ.
    order = list(dict.fromkeys(_attack(study, row) for _, rows in grids for row in rows))
    places = np.linspace(0, len(order) - 1, min(ATTACKS, len(order))).round().astype(int)
    shown = [order[place] for place in places]
    drawn = Canvas(study.design, 3.6 * len(grids) + 1.4, 0.09 * len(shown) * len(names) + 1.9)
    height = len(names) * max(1.5, 0.5 * len(shown)) + 1.0
    panels = drawn.panels(len(grids), len(grids), "flagged targets", (WIDTH, height))
    for axes, (words, rows) in zip(panels, grids, strict=True):
        drawn.entitle(axes, words)
        _panel(axes, study, rows, names, rates, shown)
    lacking = set(study.detectors) - set(names)
    note = (
        f"Share of targets flagged at a false-positive rate of {text.percent(study.fpr)} (dotted), "
        f"with {study.bands.replace('bands', 'intervals')}. "
        + f"Not shown: {', '.join(sorted(lacking))}, whose rate {NEEDS}. "
        * bool(lacking)
    ) + study.footer()
    note += style.further(len(order), len(shown), "attacks are in the tables")
    drawn.caption(f"Detection of each attack: {study.title}", note, entries(study.design, shown))
    return drawn
