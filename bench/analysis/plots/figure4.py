"""Figure 4 of the paper: the normalised trade-off at both κ, with the points of the paper."""

from typing import Any

from matplotlib.lines import Line2D

from evil_twins.bench.analysis.paper import Comparison, comparison
from evil_twins.bench.analysis.plots import style, tradeoff
from evil_twins.bench.analysis.plots.canvas import Canvas
from evil_twins.bench.analysis.plots.study import Study
from evil_twins.bench.analysis.tables import text

PANELS = 3
NORM = "linf"


def draw(study: Study) -> Canvas | None:
    """Draw one panel per sweep along φ, with all κ in it; None without both endpoints."""
    linf = {family.key["attack"] for family in study.families if family.norm == NORM}
    table = study.tradeoff[study.tradeoff["along"] == "phi"]
    table = table[table["attack"].isin(linf)].dropna(subset=["fidelity", "specificity"])
    sweeps = list(table.groupby(["layers", "attack"], sort=True))[::-1][:PANELS]
    if not sweeps:
        return None
    kappas = sorted(set(table["kappa"]))
    looks = dict(study.design.styled(kappas))
    paper = comparison(study.dataset)
    drawn = Canvas(study.design, max(6.0, 1.2 + 3.4 * len(sweeps)), 5.0)
    panels = drawn.grid(len(sweeps), len(sweeps), tradeoff.PANEL)
    for axes, (_, sweep) in zip(panels, sweeps, strict=True):
        for kappa, curve in sweep.groupby("kappa", sort=True):
            level = float(str(kappa))
            tradeoff.sweep(axes, _label(level), curve, "specificity", looks[level])
            if paper and level in paper.paper.curves:
                x, y = zip(*paper.paper.curves[level].points, strict=True)
                axes.plot(*(x, y), **_hollow(looks[level]), zorder=3, label=_stored(level))
                drawn.record(axes, _stored(level), {"x": x, "y": y})
        label = str(sweep["attack"].iloc[0])
        tradeoff.frame(axes, study.design.labels.attacks.get(label, label), "specificity loss")
    entries = drawn.entries(map(_label, kappas))
    for kappa in kappas:
        if paper and kappa in paper.paper.curves:
            entries.append(Line2D([], [], label=_stored(kappa), **_hollow(looks[kappa])))
    title = f"Trade-off of fidelity and specificity (Figure 4): {study.title}"
    drawn.caption(title, _note(paper) + study.footer(), entries)
    return drawn


def _label(kappa: float) -> str:
    return f"κ {text.level(kappa)}"


def _stored(kappa: float) -> str:
    return f"{_label(kappa)}, stored by the paper's authors"


def _hollow(look: style.Look) -> dict[str, Any]:
    """Return the style of the paper's points, small and hollow."""
    line = {"linestyle": "", "marker": look.marker}
    return line | {"ms": 3.5, "mfc": "none", "mec": look.color, "mew": 0.8}


def _note(paper: Comparison | None) -> str:
    note = (
        "Top left Poisoning, bottom right PGD; below the dotted diagonal little of one loss buys "
        "much of the other. Lines join measured points; specificity loss is the disagreement "
        "pooled over targets × R, bands are a crossed 95 % bootstrap, cut at twice the endpoint. "
    )
    if paper is None:
        return note + "The paper does not study this data set. "
    curves = sorted(paper.paper.curves.items())
    first = ", ".join(f"{curve.first:.2f} (κ {text.level(kappa)})" for kappa, curve in curves)
    odd = [f"{x:.2f} (κ {text.level(kappa)})" for kappa, curve in curves for x in curve.odd]
    return (
        f"{note}Small and hollow: raw points for {paper.paper.name} ({paper.data}, "
        f"{paper.paper.architecture}), a drop of accuracy in place of disagreement, over their own "
        f"endpoints; between 0 and {first} they hold no point, so the steep part of the printed "
        "curves is interpolation. "
        + f"The entry at {', '.join(odd)} is out of sequence. "
        * bool(odd)
    )
