"""Specificity against fidelity, both divided by the pure attacks (Figure 4 of the paper)."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evil_twins.bench.analysis.plots import style
from evil_twins.bench.analysis.plots.study import Study
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.families import FAMILY
from evil_twins.bench.analysis.tables.frames import column, lines

CURVES = 6
HIGHEST = 2.0
SIDES = (("specificity", "disagreement on R"), ("kl", "mean KL on R"))


def curve(axes: Axes, line: pd.DataFrame, name: str, look: style.Look) -> None:
    """Draw the normalised loss `name` of one sweep against its normalised fidelity loss."""
    low, high = column(line, f"{name}_low"), column(line, f"{name}_high")
    style.curve(axes, column(line, "fidelity"), column(line, name), (low, high), look)


def frame(axes: Axes, title: str, loss: str) -> None:
    """Add the diagonal, the labels and the limits of a trade-off."""
    axes.plot([0, 1], [1, 0], **style.REFERENCE)
    axes.set_title(title)
    axes.set_xlabel("fidelity loss ‖x* − x°‖∞ / PGD's")
    axes.set_ylabel(f"{loss} / Poisoning's")
    axes.set_xlim(-0.03, 1.05)
    axes.set_ylim(-0.03, min(HIGHEST, max(1.1, axes.get_ylim()[1])))
    axes.grid(color=style.FAINT, linewidth=0.5)


def draw(study: Study) -> Figure | None:
    """Draw the normalised trade-off of every family; None without both endpoints."""
    table = study.tradeoff.dropna(subset=["fidelity", "kl"])
    curves = {}
    for _, line in table.groupby([*FAMILY, "along"], dropna=False, sort=True):
        key = lines(line)[0] | {"phi": float("nan"), "lam": float("nan")}
        curves[text.name(key) + (" along λ" if key["along"] == "lam" else "")] = line
    if not curves:
        return None
    drawn, shown = style.figure(7.2, 4.3), dict(list(curves.items())[:CURVES])
    for axes, (name, title) in zip(drawn.subplots(1, 2), SIDES, strict=True):
        for line, look in style.styled(shown.values()):
            curve(axes, line, name, look)
        frame(axes, title, title)
    note = (
        "Top left Poisoning, bottom right PGD; below the dotted diagonal little of one loss buys "
        "much of the other. Disagreement is pooled over targets × R with a crossed bootstrap, KL "
        "is a mean over targets with a paired one; bands are 95 %, cut at twice the endpoint. "
    ) + study.footer()
    note += style.further(len(curves), CURVES, "sweeps are in the tables")
    title = f"Specificity against fidelity: {study.title}"
    style.caption(drawn, title, note, style.entries(shown))
    return drawn
