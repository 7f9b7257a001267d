"""Detection rate along a sweep (the form of Figure 5 of the paper), for every detector."""

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MultipleLocator, PercentFormatter

from evil_twins.bench.analysis.plots import style
from evil_twins.bench.analysis.plots.canvas import Canvas, canvas
from evil_twins.bench.analysis.plots.curves import curve
from evil_twins.bench.analysis.plots.study import Study
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.any_of import NEEDS
from evil_twins.bench.analysis.tables.families import Family
from evil_twins.bench.analysis.tables.frames import ends, lines

CURVES = 6
COLUMNS = 4
Place = Callable[[Family, float], float]
"""The x of a level of a family."""


def _points(
    study: Study, detector: str, family: Family, place: Place
) -> tuple[list[float], list[dict[str, Any]]]:
    """Return x and the line of the detection table for each scored level of a sweep."""
    table = study.detection[study.detection["detector"] == detector]
    by_row = {int(line["row"]): line for line in lines(table)}
    points = [
        (place(family, level), by_row[row])
        for row, level in family.line()
        if row in by_row and np.isfinite(place(family, level))
    ]
    return [x for x, _ in points], [line for _, line in points]


def _panel(axes: Axes, study: Study, detector: str, families: list[Family], place: Place) -> None:
    drawn, several = canvas(axes), _several(families)
    lacking = _lacks_rates(study, detector)
    names = ends("auroc").split() if lacking else ["rate", "low", "high"]
    for family, look in study.design.styled(families):
        name = study.label(family, several)
        x, points = _points(study, detector, family, place)
        rates, low, high = ([p[name] for p in points] for name in names)
        curve(axes, name, x, rates, (low, high), look)
    if not lacking:
        axes.axhline(study.fpr, **style.REFERENCE)
    knowledge = study.detection.loc[study.detection["detector"] == detector, "knowledge"].max()
    drawn.entitle(axes, f"{study.detector(detector)}  ({knowledge})" + ": AUROC" * lacking)
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.yaxis.set_major_locator(MultipleLocator(study.design.step))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.grid(axis="y", color=style.FAINT, linewidth=0.5)


def _several(families: list[Family]) -> bool:
    """Check whether the families change several groups of layers."""
    return len({str(family.key["layers"]) for family in families}) > 1


def _lacks_rates(study: Study, detector: str) -> bool:
    """Check whether a detector has too few calibration scores for a rate under some attack."""
    return bool(study.detection.loc[study.detection["detector"] == detector, "rate"].isna().any())


def _draw(
    study: Study, families: list[Family], place: Place, xlabel: str, title: str
) -> Canvas | None:
    names, scored = study.detectors, set(study.detection["row"])
    families = [family for family in families if scored.intersection(r for r, _ in family.line())]
    if not families or not names:
        return None
    drawn = Canvas(study.design, 9.2, 1.55 * -(-len(names) // COLUMNS) + 1.4)
    shown = families[:CURVES]
    panels = drawn.panels(len(names), COLUMNS, xlabel)
    for axes, name in zip(panels, names, strict=True):
        _panel(axes, study, name, shown, place)
    drawn.supylabel("flagged targets", fontsize=8.5, color=style.INK)
    remark = '"any" is the OR of all at the same total rate'
    if any(_lacks_rates(study, name) for name in names):
        remark += f", drawn by its AUROC: a rate {NEEDS}"
    note = (
        f"Share of targets flagged at a false-positive rate of {text.percent(study.fpr)} (dotted), "
        f"with {study.bands}; left end Poisoning, right end PGD. In brackets what the "
        f"detector knows; {remark}. {study.footer()}"
    ) + style.further(len(families), CURVES, "sweeps are in the tables")
    labels = [study.label(family, _several(shown)) for family in shown]
    drawn.caption(title, note, drawn.entries(labels))
    return drawn


def along_phi(study: Study) -> Canvas | None:
    """Draw detection rate against phi; None without a sweep along phi."""
    families = [family for family in study.families if family.along == "phi"]
    title = f"Detection along the fidelity budget: {study.title}"
    return _draw(study, families, lambda _, level: level, "fidelity budget φ", title)


def along_fidelity(study: Study) -> Canvas | None:
    """Draw detection rate against fidelity loss over PGD's; None without endpoints."""
    keys = ["attack", "method", "layers", "kappa", "along"]
    losses: dict[tuple[object, ...], float] = {
        (*(line[key] for key in keys), float(line["level"])): float(line["fidelity"])
        for line in lines(study.tradeoff)
    }

    def place(family: Family, level: float) -> float:
        key = {**family.key, "along": family.along}
        return losses.get((*(key[name] for name in keys), level), float("nan"))

    families = [
        family
        for family in study.families
        if sum(np.isfinite(place(family, level)) for _, level in family.line()) > 1
    ]
    title = f"Detection against fidelity loss: {study.title}"
    return _draw(study, families, place, "fidelity loss ‖x* − x°‖∞ / PGD's", title)
