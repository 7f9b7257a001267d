"""Specificity against fidelity, both divided by the pure attacks (Figure 4 of the paper)."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evil_twins.bench.analysis.plots import style
from evil_twins.bench.analysis.plots.study import Study
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.families import FAMILY
from evil_twins.bench.analysis.tables.frames import column, lines

MOST = 6
HIGHEST = 2.0
SIDES = (("specificity", "disagreement on R"), ("kl", "mean KL on R"))


def _panel(axes: Axes, curves: list[tuple[str, pd.DataFrame]], name: str, title: str) -> None:
    axes.plot([0, 1], [1, 0], color=style.MUTED, linewidth=0.8, linestyle=(0, (2, 2)), zorder=0)
    for (_, curve), look in zip(curves, style.looks(len(curves)), strict=True):
        x, y = column(curve, "fidelity"), column(curve, name)
        low, high = column(curve, f"{name}_low"), column(curve, f"{name}_high")
        axes.fill_between(x, low, high, color=look.color, alpha=0.13, linewidth=0)
        axes.plot(
            *(x, y),
            color=look.color,
            linestyle=look.linestyle,
            marker=look.marker,
            mec="white",
        )
    axes.set_title(title)
    axes.set_xlabel("fidelity loss ‖x* − x°‖∞ / PGD's")
    axes.set_ylabel(f"{title} / Poisoning's")
    axes.set_xlim(-0.03, 1.05)
    axes.set_ylim(-0.03, min(HIGHEST, max(1.1, axes.get_ylim()[1])))
    axes.grid(color=style.FAINT, linewidth=0.5)


def draw(study: Study) -> Figure | None:
    """The normalised trade-off of every family; None without both endpoints."""
    known = study.tradeoff.dropna(subset=["fidelity", "kl"])
    curves = []
    for _, part in known.groupby([*FAMILY, "along"], dropna=False, sort=True):
        one = lines(part)[0] | {"phi": float("nan"), "lam": float("nan")}
        suffix = " along λ" if one["along"] == "lam" else ""
        curves.append((text.name(one) + suffix, part.sort_values("fidelity", kind="stable")))
    if not curves:
        return None
    made = style.figure(7.2, 4.3)
    for axes, (name, title) in zip(made.subplots(1, 2), SIDES, strict=True):
        _panel(axes, curves[:MOST], name, title)
    left = f" {len(curves) - MOST} further sweeps are in the tables." * (len(curves) > MOST)
    note = (
        "Top left Poisoning, bottom right PGD; below the dotted diagonal little of one loss buys "
        "much of the other. Disagreement is pooled over targets × R with a crossed bootstrap, KL "
        "is a mean over targets with a paired one; bands are 95 %, cut at twice the endpoint. "
    )
    entries = [
        style.entry(look, name)
        for (name, _), look in zip(curves[:MOST], style.looks(len(curves[:MOST])), strict=True)
    ]
    title = f"Specificity against fidelity: {study.title}"
    style.caption(made, title, note + study.footer() + left, entries)
    return made
