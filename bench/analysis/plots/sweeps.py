"""Detection rate along a sweep (the form of Figure 5 of the paper), for every detector."""

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator, PercentFormatter

from evil_twins.bench.analysis.plots import style
from evil_twins.bench.analysis.plots.study import Study, label
from evil_twins.bench.analysis.stats import FPR as ALPHA
from evil_twins.bench.analysis.tables.families import Family
from evil_twins.bench.analysis.tables.frames import lines

MOST = 6
COLUMNS = 4
Place = Callable[[Family, int, float], float]


def _curve(axes: Axes, xs: list[float], found: list[dict[str, Any]], look: style.Look) -> None:
    order = np.argsort(xs, kind="stable")
    x = np.array(xs)[order]
    rate, low, high = (np.array([one[k] for one in found])[order] for k in ("rate", "low", "high"))
    axes.fill_between(x, low, high, color=look.color, alpha=0.13, linewidth=0)
    axes.plot(x, rate, color=look.color, linestyle=look.linestyle, marker=look.marker, mec="white")


def _points(
    study: Study, detector: str, family: Family, place: Place
) -> tuple[list[float], list[dict[str, Any]]]:
    """Where a sweep has been scored, and the lines of the detection table there."""
    found = study.detection[study.detection["detector"] == detector]
    by_row = {int(one["row"]): one for one in lines(found)}
    points = [
        (place(family, row, level), by_row[row])
        for row, level in family.line()
        if row in by_row and np.isfinite(place(family, row, level))
    ]
    return [x for x, _ in points], [one for _, one in points]


def _shadow(axes: Axes, xs: list[float], found: list[dict[str, Any]], look: style.Look) -> None:
    """The curve of another panel, for comparison."""
    order = np.argsort(xs, kind="stable")
    rate = np.array([one["rate"] for one in found])[order]
    axes.plot(np.array(xs)[order], rate, color=style.GREY, linestyle=look.linestyle, zorder=1)


def _panel(
    axes: Axes, study: Study, detector: str, families: list[Family], place: Place, own: str
) -> None:
    found = study.detection[study.detection["detector"] == detector]
    for family, look in zip(families, style.looks(len(families)), strict=True):
        if own not in ("", detector):
            _shadow(axes, *_points(study, own, family, place), look)
        _curve(axes, *_points(study, detector, family, place), look)
    axes.axhline(ALPHA, color=style.MUTED, linewidth=0.8, linestyle=(0, (2, 2)), zorder=0)
    axes.set_title(f"{detector}  ({found['knowledge'].max()})")
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.yaxis.set_major_locator(MultipleLocator(0.25))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.grid(axis="y", color=style.FAINT, linewidth=0.5)


def _draw(
    study: Study, families: list[Family], place: Place, xlabel: str, title: str, own: str = ""
) -> Figure:
    names = sorted(study.detectors(), key=lambda name: name != own)
    rows = -(-len(names) // COLUMNS)
    made = style.figure(9.2, 1.55 * rows + 1.4)
    drawn = families[:MOST]
    for place_of, (axes, name) in enumerate(
        zip(style.panels(made, len(names), COLUMNS), names, strict=True)
    ):
        _panel(axes, study, name, drawn, place, own)
        if place_of + COLUMNS >= len(names):
            axes.set_xlabel(xlabel)
    made.supylabel("flagged targets", fontsize=8.5, color=style.INK)
    left = f" {len(families) - MOST} further sweeps are in the tables." * (len(families) > MOST)
    text = (
        f"Share of targets flagged at a false-positive rate of {100 * ALPHA:g} % (dotted), with "
        "Clopper–Pearson 95 % bands; left end Poisoning, right end PGD. In brackets what the "
        f"detector knows; {_third(own)}. " + study.footer() + left
    )
    several = len({str(one.key["layers"]) for one in drawn}) > 1
    entries = [
        style.entry(look, label(family, several))
        for family, look in zip(drawn, style.looks(len(drawn)), strict=True)
    ]
    style.caption(made, title, text, entries)
    return made


def _third(own: str) -> str:
    return f"grey is {own}" if own else '"any" is the OR of all at the same total rate'


def along_phi(study: Study, own: str = "") -> Figure | None:
    """Detection rate against phi; None without a sweep along phi.

    Args:
        study: The study.
        own: A detector that stands first, and in grey behind every other.
    """
    families = [family for family in study.families if family.along == "phi"]
    if not families or not study.detectors():
        return None
    title = f"Detection along the fidelity budget: {study.title}"
    return _draw(study, families, lambda _f, _r, level: level, "fidelity budget φ", title, own)


def along_fidelity(study: Study) -> Figure | None:
    """Detection rate against fidelity loss over PGD's; None without endpoints to divide by."""
    keys = ["attack", "method", "layers", "kappa", "along"]
    known: dict[tuple[object, ...], float] = {
        (*(one[key] for key in keys), float(one["level"])): float(one["fidelity"])
        for one in lines(study.tradeoff)
    }

    def place(family: Family, _row: int, level: float) -> float:
        own = {**family.key, "along": family.along}
        return known.get((*(own[key] for key in keys), level), float("nan"))

    families = [
        family
        for family in study.families
        if sum(np.isfinite(place(family, row, level)) for row, level in family.line()) > 1
    ]
    if not families or not study.detectors():
        return None
    title = f"Detection against fidelity loss: {study.title}"
    return _draw(study, families, place, "fidelity loss ‖x* − x°‖∞ / PGD's", title)
