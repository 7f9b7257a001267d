"""Detection rates for a paper: Markdown, CSV or LaTeX, the best detector of each attack marked."""

from collections.abc import Iterator
from math import isnan
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.analysis import Analysis
from evil_twins.bench.analysis.tables.any_of import NAME as ANY
from evil_twins.bench.analysis.tables.any_of import NEEDS
from evil_twins.bench.analysis.tables.frames import frame, line, lines
from evil_twins.bench.analysis.tables.records import KEYS, STUDY, Records
from evil_twins.bench.analysis.tables.write import csv

Form = Literal["md", "csv", "latex"]
_RATES = ["row", "detector", "n", "detected", "rate", "low", "high", "best", "auroc"]
"""`auroc` is that of the OR of all, NaN of others."""
_OPTIONS = ("[", "*")
"""First characters of a cell that the line break before it takes for its options."""
_SYMBOLS = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"κ": r"$\kappa$", "φ": r"$\varphi$", "λ": r"$\lambda$"}
)


def typeset(results_dir: Path, form: Form, fpr: float = stats.FPR) -> str:
    """Write the rates at a false-positive rate: detectors down, the attacks at one κ across.

    The best detector flags most targets of an attack; several may. The OR of all is no candidate,
    and no detector is best for a control or a yardstick.

    Args:
        results_dir: `<results>/<suite>`, with the records of a run.
        form: "csv" has one line a rate, the others one table a study and κ.
        fpr: The nominal false-positive rate.

    Raises:
        UserError: Records are missing, damaged or of another version.
    """
    analysis = Analysis(results_dir, fpr)
    rows, table = analysis.records.rows, rates(analysis)
    if form == "csv":
        joined = table.merge(rows, left_on="row", right_index=True)
        return csv(joined[[*KEYS, *_RATES[1:]]].astype({"best": int})).decode()
    write = _markdown if form == "md" else _latex
    share = f"Targets flagged at a false-positive rate of {text.percent(fpr)}, in %"
    grids = _grids(analysis.records, table)
    return "\n".join(write(f"{share}: {title}.", names, cells) for title, names, cells in grids)


def rates(analysis: Analysis) -> pd.DataFrame:
    """Return one line per row and detector, with the columns `_RATES`."""
    rows, table = analysis.records.rows, []
    for (row, detector), cell in analysis.cells.items():
        k, n = int((cell.score > cell.threshold(analysis.fpr).value).sum()), len(cell.score)
        rate = cell.rate(analysis.fpr)
        candidate = k > 0 and detector != ANY and rows.at[row, "role"] == "attack"
        area = cell.auroc.value if detector == ANY else np.nan
        table.append([row, detector, n, k if cell.has_rate else np.nan, *rate, candidate, area])
    rated = frame((dict(zip(_RATES, cells, strict=True)) for cells in table), _RATES)
    best = rated["best"].astype(bool)
    most = rated["rate"].where(best, -np.inf).groupby(rated["row"]).transform("max")
    return rated.assign(best=best & rated["rate"].eq(most))


def _grids(
    records: Records, table: pd.DataFrame
) -> Iterator[tuple[str, list[str], dict[str, list[dict[str, Any] | None]]]]:
    """Yield a title, the names of the rows and the cells by detector for each study and κ."""
    cells = {(cell["row"], cell["detector"]): cell for cell in lines(table)}
    detectors = sorted(set(table["detector"]), key=lambda name: (name == ANY, name))
    if not detectors:
        return
    for _, rows in records.rows.groupby([*STUDY, "kappa"], dropna=False, sort=True):
        order = text.ordered(rows)
        kappa = float(rows["kappa"].iloc[0])
        keys = [line(rows, row) | {"kappa": float("nan")} for row in order]
        level = "no κ" if isnan(kappa) else f"κ {text.level(kappa)}"
        title = f"{text.study(keys[0])}, {level}"
        grid = {name: [cells.get((row, name)) for row in order] for name in detectors}
        yield title, list(map(text.name, keys)), grid


def _rate(cell: dict[str, Any] | None, bold: str) -> str:
    """Write a cell of a grid; `bold` is the form of a best rate."""
    if cell is None:
        return ""
    rate = text.number(100 * cell["rate"])
    rate = bold.format(rate) if cell["best"] else rate
    words = f"{rate} [{100 * cell['low']:.0f}, {100 * cell['high']:.0f}]" if rate else NEEDS
    area = text.number(cell["auroc"], 2)
    return f"{words}; AUROC {area}" if area else words


def _markdown(title: str, names: list[str], grid: dict[str, list[dict[str, Any] | None]]) -> str:
    body = [[name, *(_rate(cell, "**{}**") for cell in cells)] for name, cells in grid.items()]
    return f"{title}\n\n{text.markdown(['detector', *names], body)}"


def _latex(title: str, names: list[str], grid: dict[str, list[dict[str, Any] | None]]) -> str:
    body = [[_rate(cell, r"\textbf{{{}}}") for cell in cells] for cells in grid.values()]
    style = pd.DataFrame(body, index=pd.Index(grid), columns=pd.Index(names, name="detector")).style
    for axis in (0, 1):
        style = style.format_index(_label, axis=axis)
    table = style.to_latex(hrules=True, column_format=f"l{'r' * len(names)}")
    return f"% needs \\usepackage{{booktabs}}\n% {title}\n{table}"


def _label(name: object) -> str:
    label = str(name).translate(_SYMBOLS)
    return f"{{}}{label}" if label.lstrip().startswith(_OPTIONS) else label
