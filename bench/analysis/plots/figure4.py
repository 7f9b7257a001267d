"""Figure 4 of the paper: the normalised trade-off at both κ, its stored points beside ours."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from evil_twins.bench.analysis.paper import Beside, beside
from evil_twins.bench.analysis.plots import style
from evil_twins.bench.analysis.plots.study import Study
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.frames import column

MOST = 3
HIGHEST = 2.0
NORM = "linf"


def draw(study: Study) -> Figure | None:
    """One panel a sweep along φ, all κ in it; None without both endpoints."""
    linf = {one.key["attack"] for one in study.families if one.norm == NORM}
    known = study.tradeoff[study.tradeoff["along"] == "phi"]
    known = known[known["attack"].isin(linf)].dropna(subset=["fidelity", "specificity"])
    curves = list(known.groupby(["layers", "attack"], sort=True))[::-1][:MOST]
    if not curves:
        return None
    kappas = sorted(set(known["kappa"]))
    looks = dict(zip(kappas, style.looks(len(kappas)), strict=True))
    paper = beside(study.dataset)
    made = style.figure(max(6.0, 1.2 + 3.4 * len(curves)), 5.0)
    grid = made.subplots(1, len(curves), squeeze=False)[0]
    for axes, (_, part) in zip(grid, curves, strict=True):
        _panel(axes, part, looks, paper)
    entries = [style.entry(look, f"κ {text.short(kappa)}") for kappa, look in looks.items()]
    if paper:
        entries += [_theirs(looks[kappa], kappa) for kappa in kappas if kappa in paper.paper.curves]
    title = f"Trade-off of fidelity and specificity (Figure 4): {study.title}"
    style.caption(made, title, _note(paper) + study.footer(), entries)
    return made


def _panel(
    axes: Axes, part: pd.DataFrame, looks: dict[float, style.Look], paper: Beside | None
) -> None:
    axes.plot([0, 1], [1, 0], color=style.MUTED, linewidth=0.8, linestyle=(0, (2, 2)), zorder=0)
    for kappa in sorted(set(part["kappa"])):
        look, curve = looks[kappa], part[part["kappa"] == kappa]
        curve = curve.sort_values("fidelity", kind="stable")
        x, y = column(curve, "fidelity"), column(curve, "specificity")
        low, high = column(curve, "specificity_low"), column(curve, "specificity_high")
        axes.fill_between(x, low, high, color=look.color, alpha=0.13, linewidth=0)
        axes.plot(
            *(x, y),
            color=look.color,
            linestyle=look.linestyle,
            marker=look.marker,
            mec="white",
        )
        if paper and kappa in paper.paper.curves:
            points = paper.paper.curves[kappa].points
            axes.plot(
                *([x for x, _ in points], [y for _, y in points]),
                **_hollow(look),
                linestyle="",
                zorder=3,
            )
    axes.set_title(str(part["attack"].iloc[0]))
    axes.set_xlabel("fidelity loss ‖x* − x°‖∞ / PGD's")
    axes.set_ylabel("specificity loss / Poisoning's")
    axes.set_xlim(-0.03, 1.05)
    axes.set_ylim(-0.03, min(HIGHEST, max(1.1, axes.get_ylim()[1])))
    axes.grid(color=style.FAINT, linewidth=0.5)


def _hollow(look: style.Look) -> dict[str, Any]:
    """Small and hollow: the paper's own points."""
    return {"marker": look.marker, "ms": 3.5, "mfc": "none", "mec": look.color, "mew": 0.8}


def _theirs(look: style.Look, kappa: float) -> Line2D:
    label = f"κ {text.short(kappa)}, stored by the paper's authors"
    return Line2D([], [], linestyle="", label=label, **_hollow(look))


def _note(paper: Beside | None) -> str:
    note = (
        "Top left Poisoning, bottom right PGD; below the dotted diagonal little of one loss buys "
        "much of the other. Lines join measured points; specificity loss is the disagreement "
        "pooled over targets × R, bands are a crossed 95 % bootstrap, cut at twice the endpoint. "
    )
    if paper is None:
        return note + "The paper does not study this data set. "
    curves = sorted(paper.paper.curves.items())
    first = ", ".join(f"{curve.first:.2f} (κ {text.short(kappa)})" for kappa, curve in curves)
    odd = [f"{x:.2f} (κ {text.short(kappa)})" for kappa, curve in curves for x in curve.odd]
    return (
        f"{note}Small and hollow: raw points for {paper.paper.name} ({paper.data}, "
        f"{paper.paper.architecture}), a drop of accuracy in place of disagreement, over their own "
        f"endpoints; between 0 and {first} they hold no point, so the steep part of the printed "
        "curves is interpolation. "
        + f"The entry at {', '.join(odd)} is out of sequence. "
        * bool(odd)
    )
