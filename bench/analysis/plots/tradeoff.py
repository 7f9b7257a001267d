"""Specificity against fidelity, both divided by the pure attacks (Figure 4 of the paper)."""

import pandas as pd
from matplotlib.axes import Axes

from evil_twins.bench.analysis.plots import style
from evil_twins.bench.analysis.plots.canvas import Canvas, canvas
from evil_twins.bench.analysis.plots.curves import curve
from evil_twins.bench.analysis.plots.study import Study
from evil_twins.bench.analysis.tables.families import FAMILY
from evil_twins.bench.analysis.tables.frames import column, lines

CURVES = 6
HIGHEST = 2.0
PANEL = (13.0, 13.0)
"""Width and height of a panel in letters."""
SIDES = (("specificity", "disagreement on R"), ("kl", "mean KL on R"))


def sweep(axes: Axes, label: str, line: pd.DataFrame, loss: str, look: style.Look) -> None:
    """Draw the normalised `loss` of one sweep against its normalised fidelity loss."""
    low, high = column(line, f"{loss}_low"), column(line, f"{loss}_high")
    curve(axes, label, column(line, "fidelity"), column(line, loss), (low, high), look)


def frame(axes: Axes, title: str, loss: str) -> None:
    """Add the diagonal, the labels and the limits of a trade-off."""
    axes.plot([0, 1], [1, 0], **style.REFERENCE)
    canvas(axes).entitle(axes, title)
    axes.set_xlabel("fidelity loss ‖x* − x°‖∞ / PGD's")
    axes.set_ylabel(f"{loss} / Poisoning's")
    axes.set_xlim(-0.03, 1.05)
    axes.set_ylim(-0.03, min(HIGHEST, max(1.1, axes.get_ylim()[1])))
    axes.grid(color=style.FAINT, linewidth=0.5)


def draw(study: Study) -> Canvas | None:
    """Draw the normalised trade-off of every family; None without both endpoints."""
    table = study.tradeoff.dropna(subset=["fidelity", "kl"])
    curves = {}
    for _, line in table.groupby([*FAMILY, "along"], dropna=False, sort=True):
        key = lines(line)[0] | {"phi": float("nan"), "lam": float("nan")}
        curves[study.attack(key) + (" along λ" if key["along"] == "lam" else "")] = line
    if not curves:
        return None
    drawn, shown = Canvas(study.design, 7.2, 4.3), dict(list(curves.items())[:CURVES])
    for axes, (loss, title) in zip(drawn.grid(2, 2, PANEL), SIDES, strict=True):
        for (label, line), look in study.design.styled(shown.items()):
            sweep(axes, label, line, loss, look)
        frame(axes, title, title)
    note = (
        "Top left Poisoning, bottom right PGD; below the dotted diagonal little of one loss buys "
        "much of the other. Disagreement is pooled over targets × R with a crossed bootstrap, KL "
        "is a mean over targets with a paired one; bands are 95 %, cut at twice the endpoint. "
    ) + study.footer()
    note += style.further(len(curves), CURVES, "sweeps are in the tables")
    title = f"Specificity against fidelity: {study.title}"
    drawn.caption(title, note, drawn.entries(shown))
    return drawn
