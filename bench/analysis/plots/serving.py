"""Specificity loss and detection along the number of targets that one poisoned model serves."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evil_twins.bench.analysis.plots import style
from evil_twins.bench.analysis.plots.study import Study
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.frames import column

ANY = "any"
"""The OR of all; it stands in the table."""

ROW = ["method", "layers", "kappa", "phi", "lam"]
"""What rows share that differ in `serves` alone."""


def _curve(
    axes: Axes, part: pd.DataFrame, name: str, ends: tuple[str, str], one: style.Look
) -> None:
    part = part.sort_values("serves")
    x, y, low, high = (column(part, each) for each in ("serves", name, *ends))
    if len(x) == 1:  # a band would have no width
        axes.vlines(x, low, high, color=one.color, alpha=0.4)
    axes.fill_between(x, low, high, color=one.color, alpha=0.13, linewidth=0)
    axes.plot(x, y, color=one.color, linestyle=one.linestyle, marker=one.marker, mec="white")


def _frame(axes: Axes, serves: list[int], title: str, unit: str) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(serves, [str(m) for m in serves])
    axes.set_xlabel("targets that one model serves")
    axes.set_ylabel(unit)
    axes.set_title(title)
    axes.grid(color=style.FAINT, linewidth=0.5)


def draw(study: Study) -> Figure | None:
    """A panel for each attack; None where each model serves one target."""
    if study.load.empty:
        return None
    table = study.load[study.load["detector"] != ANY]
    attacks = list(table.groupby(ROW, sort=True, dropna=False))
    detectors = style.detector_order([str(name) for name in table["detector"]])
    serves = sorted({int(m) for m in table["serves"]})
    made = style.figure(3.4 * (len(attacks) + 1), 3.8)
    first, *panels = made.subplots(1, len(attacks) + 1, squeeze=False).flat
    names = style.looks(len(attacks))
    for (_, part), one in zip(attacks, names, strict=True):
        alone = part.drop_duplicates("serves")
        _curve(first, alone, "specificity", ("specificity_low", "specificity_high"), one)
    _frame(first, serves, "specificity loss", "disagreement on R")
    first.set_yscale("log")
    told = [style.entry(one, _name(part)) for (_, part), one in zip(attacks, names, strict=True)]
    first.legend(handles=told)
    looks = dict(zip(detectors, style.looks(len(detectors)), strict=True))
    for axes, (_, part) in zip(panels, attacks, strict=True):
        for detector, own in part.groupby("detector", sort=True):
            _curve(axes, own, "rate", ("low", "high"), looks[str(detector)])
        _frame(axes, serves, _name(part), "targets flagged at 5 % FPR")
        axes.set_ylim(-0.03, 1.03)
    note = (
        "Left: share of R on which victim and poisoned model disagree. Bands: 95 % intervals over "
        f"models; with one model there is none. {study.footer()}"
    )
    entries = [style.entry(looks[name], name) for name in detectors]
    style.caption(made, f"One model for several targets: {study.title}", note, entries)
    return made


def _name(part: pd.DataFrame) -> str:
    key = {str(k): v for k, v in part.iloc[0].to_dict().items()}
    return text.name(key | {"attack": key["method"]})
