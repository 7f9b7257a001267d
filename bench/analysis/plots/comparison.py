"""Figures of new detectors and others: rates along φ, differences, ranks over victims."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MultipleLocator, PercentFormatter

from evil_twins.bench.analysis.plots import style
from evil_twins.bench.analysis.plots.canvas import Canvas, canvas
from evil_twins.bench.analysis.plots.curves import curve
from evil_twins.bench.analysis.plots.study import Study
from evil_twins.bench.analysis.tables import Numbers, text
from evil_twins.bench.analysis.tables.compare.words import in_reading_order
from evil_twins.bench.analysis.tables.families import Family
from evil_twins.bench.analysis.tables.frames import column, lines
from evil_twins.bench.analysis.tables.recipes import numbered
from evil_twins.bench.analysis.tables.victim_differences import LEVEL

CURVES = 8
COLUMNS = 4


def along_phi(numbers: Numbers, study: Study) -> Canvas | None:
    """Draw the rates along φ, new detectors in front; None without a sweep or rates by attack."""
    families = [family for family in study.families if family.along == "phi"]
    if numbers.selection.per != "attack" or not families:
        return None
    table = numbered(study.rows, numbers.tables["rates"])
    shown = families[:CURVES]
    columns = min(COLUMNS, len(shown))
    height = 2.0 * -(-len(shown) // columns) + 1.6
    drawn = Canvas(study.design, max(5.0, 2.5 * columns), height)
    several = len({str(family.key["layers"]) for family in shown}) > 1
    panels = drawn.panels(len(shown), columns, "fidelity budget φ")
    for axes, family in zip(panels, shown, strict=True):
        _sweep(axes, table, family, numbers)
        drawn.entitle(axes, study.label(family, several))
        axes.axhline(study.fpr, **style.REFERENCE)
    drawn.supylabel("flagged targets", fontsize=8.5, color=style.INK)
    note = (
        f"Share of targets flagged at a false-positive rate of {text.percent(study.fpr)} (dotted); "
        f"the new detectors have {study.bands}. Left end Poisoning, right end PGD. "
        f"{_footer(numbers, study)}"
    ) + style.further(len(families), CURVES, "sweeps are in the tables")
    title = f"Detection along the fidelity budget: {study.title}"
    drawn.caption(title, note, _entries(drawn, numbers))
    return drawn


def _footer(numbers: Numbers, study: Study) -> str:
    """Return the end of each caption: n and failed cells."""
    counts = sorted({int(n) for n in numbers.tables["rates"]["n"]})
    n = "–".join(str(count) for count in dict.fromkeys([counts[0], counts[-1]]))
    return f"n = {n} targets{study.scope}; {study.failures}."


def _entries(drawn: Canvas, numbers: Numbers) -> list[Line2D]:
    selection = numbers.selection
    grey = [
        Line2D([], [], color=style.GREY, linestyle=look.linestyle, label=name)
        for name, look in drawn.design.styled(selection.rivals)
    ]
    return [*drawn.entries(selection.labels), *grey]


def _sweep(axes: Axes, table: pd.DataFrame, family: Family, numbers: Numbers) -> None:
    """Draw the rates of all detectors along one sweep."""
    levels = dict(family.line())
    rows = table[table["row"].isin(levels)]
    rows = rows.assign(level=rows["row"].map(levels)).sort_values("level")
    drawn = canvas(axes)
    for name, look in drawn.design.styled(numbers.selection.rivals):
        cells = rows[rows["detector"] == name]
        x, y = column(cells, "level"), column(cells, "rate")
        axes.plot(x, y, color=style.GREY, linestyle=look.linestyle, zorder=1)
        drawn.record(axes, name, {"x": x, "y": y})
    for name, look in drawn.design.styled(numbers.selection.labels):
        cells = rows[rows["detector"] == name]
        x, rate, low, high = (column(cells, key) for key in ("level", "rate", "low", "high"))
        curve(axes, name, x, rate, (low, high), look)
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.yaxis.set_major_locator(MultipleLocator(0.25))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.grid(axis="y", color=style.FAINT, linewidth=0.5)


def differences(numbers: Numbers, study: Study) -> Canvas | None:
    """Draw each difference with its interval, a panel for each other detector; None without any."""
    table = numbers.tables["paired"]
    if table.empty:
        return None
    groups = _groups(numbers)
    names = [name for name in numbers.selection.names if name in set(table["against"])]
    labels = [name for name in numbers.selection.labels if name in set(table["detector"])]
    columns = min(COLUMNS, len(names))
    height = 0.5 + len(groups) * (0.1 + 0.1 * len(labels))
    size = 2.0 * columns + 2.2, height * -(-len(names) // columns) + 1.7
    drawn = Canvas(study.design, *size)
    panels = drawn.panels(len(names), columns, "difference of rates")
    for axes, name in zip(panels, names, strict=True):
        _forest(axes, table[table["against"] == name], groups, labels)
        drawn.entitle(axes, name)
    interval = "95 % intervals, not corrected"
    note = (
        f"Rate of a new detector minus that of the detector above the panel, with {interval}; "
        f"right of the dotted line the new one flags more. Full markers: p < {LEVEL:g}, corrected "
        f"over all pairs under the same attacks. {_footer(numbers, study)}"
    )
    title = f"Differences on the same targets: {study.title}"
    drawn.caption(title, note, drawn.entries(labels))
    return drawn


def _groups(numbers: Numbers) -> dict[tuple[str, ...], str]:
    """Return the groups of attacks in reading order -> their words, with κ."""
    per = numbers.selection.groups
    result = {}
    for line in lines(in_reading_order(numbers.tables["rates"], numbers.selection)):
        title = per.title(line)
        if "attack" not in line and not pd.isna(line["kappa"]):
            title += f" κ {text.level(float(line['kappa']))}"
        result[tuple(str(line[key]) for key in per.keys)] = title
    return result


def _forest(
    axes: Axes, table: pd.DataFrame, groups: dict[tuple[str, ...], str], labels: Sequence[str]
) -> None:
    keys = list(table.columns[: list(table.columns).index("detector")])
    places = {key: place for place, key in enumerate(groups)}
    axes.axvline(0, **style.REFERENCE)
    drawn = canvas(axes)
    for turn, (name, look) in enumerate(drawn.design.styled(labels)):
        shift = 0.6 * ((turn + 0.5) / len(labels) - 0.5)
        for line in lines(table[table["detector"] == name]):
            y = places[tuple(str(line[key]) for key in keys)] + shift
            x, *ends = (line[f"difference{end}"] for end in ("", "_low", "_high"))
            axes.plot(ends, [y, y], color=look.color, linewidth=1.0)
            full = look.color if line["p_corrected"] < LEVEL else "white"
            axes.plot(x, y, look.marker, color=look.color, mfc=full, ms=3.5)
            drawn.record(axes, name, {"x": [x], "y": [y], "low": ends[0], "high": ends[1]})
    axes.set_yticks(range(len(groups)), list(groups.values()), fontsize=7, parse_math=False)
    axes.set_ylim(len(groups) - 0.4, -0.6)
    axes.set_xlim(-1.05, 1.05)
    axes.xaxis.set_major_formatter("{x:g}")


def ranks(numbers: Numbers, study: Study) -> Canvas | None:
    """Draw the mean ranks over victims with the critical difference; None for one victim."""
    table = numbers.tables.get("ranks", pd.DataFrame())
    if table.empty:
        return None
    kappas = sorted({float(kappa) for kappa in table["kappa"]})
    columns = min(COLUMNS, len(kappas))
    count = table["detector"].nunique()
    height = (0.22 * count + 0.6) * -(-len(kappas) // columns)
    drawn = Canvas(study.design, max(5.0, 3.2 * columns + 1.0), height + 1.6)
    panels = drawn.panels(len(kappas), columns, "mean rank over victims; 1: highest rate")
    names = sorted(
        set(table["detector"]),
        key=lambda name: table.loc[table["detector"] == name, "mean_rank"].mean(),
    )
    for axes, kappa in zip(panels, kappas, strict=True):
        _ranked(axes, table[table["kappa"] == kappa], names, numbers.selection.labels)
        friedman = text.p_value(float(table.loc[table["kappa"] == kappa, "p_friedman"].iloc[0]))
        test = f", Friedman's p {friedman}" if friedman else ""
        drawn.entitle(axes, f"κ {text.level(kappa)}{test}")
    note = (
        "In each victim the detectors are ranked by their mean rate over attacks. A bar is one "
        "critical difference wide (Nemenyi's test, Demsar 2006): two detectors differ at the level "
        f"{LEVEL:g} if their bars do not overlap. {_footer(numbers, study)}"
    )
    drawn.caption(f"Ranks over victims: {study.title}", note)
    return drawn


def _ranked(axes: Axes, table: pd.DataFrame, names: list[str], labels: Sequence[str]) -> None:
    drawn = canvas(axes)
    looks = dict(drawn.design.styled(labels))
    for line in lines(table):
        name, mean = str(line["detector"]), line["mean_rank"]
        color = looks[name].color if name in looks else style.MUTED
        half = line["critical_difference"] / 2
        y = names.index(name)
        axes.plot([mean - half, mean + half], [y, y], color=color, linewidth=3, alpha=0.35)
        axes.plot(mean, y, looks[name].marker if name in looks else "o", color=color)
        drawn.record(axes, name, {"x": [mean], "y": [y], "low": mean - half, "high": mean + half})
    axes.set_yticks(range(len(names)), names, fontsize=7.5, parse_math=False)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.xaxis.set_major_locator(MultipleLocator(1))
    axes.grid(axis="x", color=style.FAINT, linewidth=0.5)


FIGURES = {"detection-phi": along_phi, "differences": differences, "ranks": ranks}
"""The figures of a comparison by the stem of their files."""
